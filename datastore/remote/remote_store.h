// SPDX-License-Identifier: Apache-2.0
// A Store in another process, reached through its owner's Store service: mutual TLS, or a unix
// socket on the same host. The calls that return a Result block until the answer is there or the
// time is over (for short-lived programs); submit and watch never block (for daemons). A write
// whose answer was lost is Code::unavailable: it may have happened.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/loop/event_loop.h"
#include "datastore/store.h"
#include "proto/tls_files.h"

namespace margay::datastore {

struct RemoteOptions {
  std::string address;  // "host:port" or "unix:/path"
  transport::TlsFiles tls;
  std::chrono::milliseconds timeout{10'000};  // of one call, connecting included
};

// Connects with the first call. `loop` runs the callbacks and must outlive the store. Code::invalid
// when the options cannot work.
[[nodiscard]] Result<std::unique_ptr<Store>> make_remote_store(EventLoop& loop,
                                                               RemoteOptions options);

}  // namespace margay::datastore
