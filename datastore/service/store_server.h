// SPDX-License-Identifier: Apache-2.0
// The Store service alone, on a unix socket for root: for a process that owns a store file and is
// no typha (the agent of a single host). No gRPC in this header.
#pragma once

#include <memory>
#include <string>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "datastore/store.h"

namespace margay::datastore {

class StoreServer {
 public:
  // Listens when it returns; replaces a socket that a dead process has left. `loop` must run until
  // the server is destroyed, the store live on it and outlive the server.
  static Result<std::unique_ptr<StoreServer>> start(EventLoop& loop, Store& store,
                                                    const std::string& socket_path);
  // Ends all calls and waits for them; not on the loop's thread.
  virtual ~StoreServer() = default;
};

}  // namespace margay::datastore
