// SPDX-License-Identifier: Apache-2.0
// How an owner of gRPC calls waits until gRPC's threads have let go of them, so that the loop they
// post to may be destroyed. A call object, with its ClientContext, must itself end on the owner's
// side: the context holds the channel, and a channel whose last reference goes on one of gRPC's
// callback threads makes that thread wait for itself and free its queue twice (seen in 1.51).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>

namespace margay::transport {

class PendingCalls {
 public:
  void add() {
    const std::lock_guard lock(mu_);
    ++count_;
  }
  // The last thing that a call's end does; on a copy of the shared pointer.
  void done() {
    const std::lock_guard lock(mu_);
    if (--count_ == 0) idle_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mu_);
    idle_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mu_;
  std::condition_variable idle_;
  std::size_t count_ = 0;
};
using PendingCallsPtr = std::shared_ptr<PendingCalls>;

}  // namespace margay::transport
