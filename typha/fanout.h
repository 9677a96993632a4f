// SPDX-License-Identifier: Apache-2.0
// Every client is a cursor over the cache: first the bodies of a shared snapshot, then deltas; one
// message under way at a time, so that the slowest part of the path sets the pace and nothing
// queues. A client that falls so far behind that the deltas are gone, or are more than a snapshot,
// is moved to a newer snapshot. Must not know gRPC: Downstream is the seam.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/metrics.h"
#include "base/result.h"
#include "typha/cache.h"
#include "typha/feed.h"

namespace margay::typha {

class Downstream {
 public:
  virtual ~Downstream() = default;
  // One at a time: the next one after Fanout::sent().
  virtual void send(Message message) = 0;
  // Ends the subscription: this server cannot serve it. May be called from inside Fanout::add().
  virtual void refuse(std::string reason) = 0;
};

struct Subscriber {
  std::string node_name;
  std::string version;
  std::string peer;
  std::string resume_store_id;
  Revision resume_revision;   // 0: cannot go on from anything
  Revision seen_revision{0};  // of that store; what is older is not to be sent
};

class Fanout {
 public:
  using Id = std::uint64_t;

  Fanout(EventLoop& loop, Cache& cache, metrics::Registry& metrics, Clock::duration heartbeat);

  // `downstream` must outlive the client's removal.
  Id add(Downstream& downstream, Subscriber subscriber);
  void remove(Id id);
  void sent(Id id);  // the message is off; ready for the next
  void changed();    // the cache has news
  // Whether the cache is being kept up to date: clients are told at once when that changes.
  void set_lag(std::optional<Lag> lag);

  struct ClientStatus {
    std::string node_name;
    std::string version;
    std::string peer;
    std::string stage;  // waiting, snapshot, following
    Revision revision;  // sent up to here
    std::uint64_t snapshots = 0;
    std::size_t behind = 0;  // bytes of deltas not sent
    Clock::time_point since;
  };
  [[nodiscard]] std::vector<ClientStatus> status() const;
  [[nodiscard]] std::size_t size() const { return clients_.size(); }

 private:
  enum class Stage { waiting, snapshot, following };
  struct Client {
    Downstream* downstream;
    Subscriber subscriber;
    Stage stage = Stage::waiting;
    bool busy = false;
    bool tell_in_sync = true;
    std::shared_ptr<const Snapshot> snapshot;
    std::size_t next_body = 0;
    std::uint64_t next_delta = 0;
    Body head;  // the rest of a delta that a resuming client has in part
    Revision sent;
    Revision head_upto;
    std::uint64_t snapshots = 0;
    Clock::time_point since;
  };

  void advance(Client& c);
  void place(Client& c);
  void refuse(Client& c);
  void begin_snapshot(Client& c);
  void go_on_with_snapshot(Client& c);
  void follow(Client& c);
  [[nodiscard]] bool too_far_behind(const Client& c) const;
  void send(Client& c, Kind kind, Revision revision, std::vector<Body> bodies = {},
            std::string_view store_id = {});
  void send(Client& c, Message message);
  void beat();
  [[nodiscard]] Staleness staleness() const;

  EventLoop& loop_;
  Cache& cache_;
  Clock::duration heartbeat_;
  std::optional<Lag> lag_;
  std::map<Id, Client> clients_;
  Id last_id_ = 0;
  EventLoop::Timer timer_;
  metrics::Gauge& connected_;
  metrics::Counter& connections_;
  metrics::Counter& messages_;
  metrics::Counter& bytes_;
  metrics::Counter& snapshots_;
  metrics::Counter& resumes_;
  metrics::Counter& overtaken_;
  metrics::Counter& refused_;
};

}  // namespace margay::typha
