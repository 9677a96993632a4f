// SPDX-License-Identifier: Apache-2.0
// What one sync connection may say, and what follows from it: checks the order and the bounds of
// the server's messages and turns them into updates. Garbage (Code::invalid) is an Error, after
// which the connection is to be ended; what was handed over before stays in force. So is a view of
// the store that is older than what has been seen of it (Code::conflict): nothing is taken of that.
// Pure: no gRPC, no clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/sync/merger.h"
#include "base/result.h"
#include "margay/sync.pb.h"

namespace margay::sync {

class Session {
 public:
  struct Effects {
    std::vector<Update> updates;
    bool snapshot_begun = false;
    bool in_sync = false;  // after the updates
    // How old the server says its view is; unset: it says nothing about that.
    std::optional<std::chrono::milliseconds> age;
    std::string age_reason;
  };

  // What to ask a server for. Starts a new connection's checks.
  void connected(v1::SubscribeRequest* request);
  // Takes the message's contents.
  Result<Effects> handle(v1::SyncMessage* message);

  // Everything up to it has been received; none while a snapshot is incomplete.
  [[nodiscard]] Revision revision() const { return revision_; }
  [[nodiscard]] const std::string& store_id() const { return merger_.store_id(); }
  [[nodiscard]] const Merger& merger() const { return merger_; }

 private:
  enum class Phase { opening, snapshot, following };
  [[nodiscard]] Result<void> not_older(const std::string& store_id, Revision revision) const;
  void see(Revision revision) { seen_ = std::max(seen_, revision); }
  Result<void> collect(v1::SyncMessage* message, std::vector<Update>* updates);
  Result<void> add(v1::Entry* entry, std::vector<Update>* updates);
  Result<Effects> begin_snapshot(v1::SyncMessage* message);
  Result<Effects> snapshot(v1::SyncMessage* message);
  Result<Effects> end_snapshot(const v1::SyncMessage& message);
  Result<Effects> delta(v1::SyncMessage* message);
  Result<Effects> in_sync(const v1::SyncMessage& message);
  Result<Effects> heartbeat(const v1::SyncMessage& message);

  Merger merger_;
  Phase phase_ = Phase::opening;
  bool resuming_ = false;
  Revision revision_;
  std::string seen_store_;         // the store of which anything has been taken last,
  Revision seen_;                  // and the newest view of it that it was taken from
  std::string last_key_;           // of the snapshot: keys must ascend
  std::optional<Update> partial_;  // a value of which the rest is still to come
};

}  // namespace margay::sync
