// SPDX-License-Identifier: Apache-2.0
// One Subscribe call, between gRPC's threads and the loop. Reads one message at a time and only
// when asked, so that the receiver's pace is the server's. The lock orders reads against the end of
// the call, which may come from either side; it is never held while calling anybody.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <functional>
#include <memory>
#include <mutex>

#include "base/loop/event_loop.h"
#include "margay/sync.grpc.pb.h"
#include "proto/pending_calls.h"

namespace margay::sync {

class SyncCall : public grpc::ClientReadReactor<v1::SyncMessage> {
 public:
  struct Events {  // on the loop
    std::function<void(v1::SyncMessage*, Clock::time_point received)> message;
    std::function<void(const grpc::Status&)> done;
  };
  // The loop must live until the SyncCall's destructor has returned.
  static std::shared_ptr<SyncCall> start(EventLoop& loop,
                                         const std::shared_ptr<grpc::Channel>& channel,
                                         const v1::SubscribeRequest& request, bool wait_for_ready,
                                         Events events);
  // Asks for one more message, unless one is asked for already.
  void read();
  // No event after this; waits until gRPC's threads have let go. On the loop's thread.
  void abandon();

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  void end(bool read_done);
  SyncCall(EventLoop& loop, Events events) : loop_(loop), events_(std::move(events)) {}

  EventLoop& loop_;
  const Events events_;
  bool abandoned_ = false;  // touched on the loop only
  std::unique_ptr<v1::Sync::Stub> stub_;
  grpc::ClientContext context_;
  v1::SubscribeRequest request_;
  v1::SyncMessage message_;
  std::shared_ptr<SyncCall> self_;  // until OnDone
  const transport::PendingCallsPtr pending_ = std::make_shared<transport::PendingCalls>();
  std::mutex mu_;
  bool reading_ = false;
  bool ending_ = false;    // no read may be started any more
  bool released_ = false;  // the hold that allows reads to be started
};

}  // namespace margay::sync
