// SPDX-License-Identifier: Apache-2.0
// The Sync service on gRPC's raw callback interface: hands the fan-out's shared bytes to gRPC as
// slices, without a copy for each client. gRPC's threads only post to the loop; all decisions are
// the fan-out's. The service must outlive the server it is registered with.
#pragma once

#include <memory>

#include "base/loop/event_loop.h"
#include "margay/sync.grpc.pb.h"
#include "typha/fanout.h"

namespace margay::typha {

class SyncService final
    : public sync::v1::Sync::WithRawCallbackMethod_Subscribe<sync::v1::Sync::Service> {
 public:
  SyncService(EventLoop& loop, Fanout& fanout) : loop_(loop), fanout_(fanout) {}
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Subscribe(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request) override;

 private:
  EventLoop& loop_;
  Fanout& fanout_;
};

}  // namespace margay::typha
