// SPDX-License-Identifier: Apache-2.0
// The gRPC server of margay-typha: Sync and Store on one address (mutual TLS, or plain on this
// machine only), and the Store also on a unix socket for root.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "datastore/store.h"
#include "proto/tls_files.h"
#include "typha/fanout.h"

namespace margay::typha {

struct ServerOptions {
  std::string listen;  // "0.0.0.0:5474", "[::]:5474" or "unix:/path"; port 0: any
  transport::TlsFiles tls;
  bool insecure = false;     // without TLS; only for a local address
  std::string store_socket;  // path; none when empty
  // Names of certificates whose holders may write through the Store service (matches_any); they are
  // let in as clients beside those that `tls` names. Everybody else only reads.
  std::vector<std::string> writers = {"margayctl"};
};

class Server {
 public:
  // Listens when it returns. `loop` must run until the server is destroyed.
  // `store`: offered to others as well, unless it is null.
  static Result<std::unique_ptr<Server>> start(EventLoop& loop, datastore::Store* store,
                                               Fanout& fanout, const ServerOptions& options);
  // Ends all calls and waits for them; not on the loop's thread.
  virtual ~Server() = default;
  [[nodiscard]] virtual int port() const = 0;
};

}  // namespace margay::typha
