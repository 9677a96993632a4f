// SPDX-License-Identifier: Apache-2.0
// The Store service: offers a Store of this process to others over gRPC (datastore/remote is the
// other end). gRPC's threads only post to the store's loop. The service must outlive the server
// that it is registered with, and the store the service.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "datastore/store.h"

namespace margay::datastore {

// Who has connected with a certificate may read, and may write when its CN matches one of `writers`
// (transport::matches_any). A connection without TLS, which never leaves this machine, may do both.
[[nodiscard]] std::unique_ptr<grpc::Service> make_store_service(
    EventLoop& loop, Store& store, std::vector<std::string> writers = {});

}  // namespace margay::datastore
