// SPDX-License-Identifier: Apache-2.0
// Source: where an agent's updates come from - margay-typha over gRPC, a Store directly, or a file.
// It connects, resumes, falls back to a new snapshot and backs off by itself, and keeps two
// promises: after every in_sync the receiver has exactly the source's keys (deletes missed
// meanwhile are made up), and while disconnected nothing is deleted. All callbacks come on the loop
// it was made with, never from inside its constructor. Must not know what the resources mean; must
// not show gRPC.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "base/types.h"
#include "datastore/store.h"

namespace margay::sync {

struct Update : datastore::Event {  // {key path, value JSON, deleted, revision}
  bool known = false;         // the receiver has been given an earlier version, and no delete since
  Clock::time_point since{};  // when it was committed, as far as the server tells, or received
  bool more = false;          // of a delta: another one of the same revision follows
};

inline constexpr std::size_t kMaxBatch = 1000;  // updates in one call

struct Status {
  bool connected = false;
  bool in_sync = false;  // has been in sync since the last snapshot began; stays over a reconnect
  Clock::time_point since;  // of the last change of `connected`
  Revision revision;        // everything up to it has been handed over
  std::string store_id;
  std::string endpoint;  // of whom we are, or want to be, connected to
  std::string error;     // why not connected; empty when connected
  std::string warning;   // connected or not: what else is wrong (certificates on disk)
  // When what has been handed over was last known to be all there is; unset: it is now. `behind`:
  // why, when it is the server we are connected to that is cut off.
  std::optional<Clock::time_point> stale_since;
  std::string behind;
  std::uint64_t connects = 0;
  std::uint64_t snapshots = 0;  // begun, the first included
  std::uint64_t updates = 0;    // handed over
};

struct Callbacks {
  // At most kMaxBatch updates, each key's in revision order. One batch per turn of the loop; the
  // source reads no further (and so the server stops sending) until the batches at hand are taken.
  std::function<void(std::vector<Update>&&)> updates;
  // All that was missing has been handed over: after the start, and after each reconnect.
  std::function<void()> in_sync;
  // `connected`, `in_sync` or `error` has changed.
  std::function<void(const Status&)> status;
};

// How to reach margay-typha. Without the three files the address must be loopback or unix:.
struct TyphaConfig {
  // "host:port", "[v6]:port" or "unix:/path"; several, separated by commas, take each other's
  // place. A host that is a name stands for all its addresses.
  std::string address;
  std::string node_name;
  std::string version;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_cn;       // one of the two must match the server's certificate
  std::string server_uri_san;  //
  Clock::duration read_timeout = std::chrono::seconds(30);  // silence longer than this: reconnect
  Clock::duration backoff_min = std::chrono::milliseconds(100);
  Clock::duration backoff_max = std::chrono::seconds(10);
  std::string syncer_type = "felix";
  friend bool operator==(const TyphaConfig&, const TyphaConfig&) = default;
};

class Source {  // destroying it ends it: no callback afterwards. Not from inside a callback.
 public:
  virtual ~Source() = default;
  [[nodiscard]] virtual const Status& status() const = 0;
  // Another margay-typha, or another way to it: connects anew and asks only for what it missed. An
  // error (as of make_typha_source) leaves everything as it was. A Store has nothing of this.
  [[nodiscard]] virtual Result<void> configure(TyphaConfig config) = 0;
  // Reads again what does not tell of its changes: a file. An error leaves what was in force.
  [[nodiscard]] virtual Result<void> reload() { return {}; }
};

// Code::invalid when the configuration cannot work (files missing, no name to expect, ...).
[[nodiscard]] Result<std::unique_ptr<Source>> make_typha_source(EventLoop& loop, TyphaConfig config,
                                                                Callbacks callbacks);

// Everything below `prefix` of `store`, which must live on the same loop and outlive the source.
[[nodiscard]] std::unique_ptr<Source> make_store_source(EventLoop& loop, datastore::Store& store,
                                                        std::string prefix, Callbacks callbacks);

// The resources of a file, as margayctl takes them. An error: it cannot be read or parsed.
[[nodiscard]] Result<std::unique_ptr<Source>> make_file_source(EventLoop& loop, std::string path,
                                                               Callbacks callbacks);

}  // namespace margay::sync
