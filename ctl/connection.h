// SPDX-License-Identifier: Apache-2.0
// The Store that the command line or the environment names.
#pragma once

#include <memory>

#include "base/loop/asio_loop.h"
#include "ctl/options.h"
#include "datastore/store.h"

namespace margay::ctl {

struct Connection {
  AsioLoop loop{"store"};  // a remote store wants one; only its blocking calls are used here
  std::unique_ptr<datastore::Store> store;
};

// --store, MARGAY_STORE, or the local socket; TLS by --ca-file, --cert-file, --key-file and
// --server-cn, or MARGAY_CA_FILE, MARGAY_CERT_FILE, MARGAY_KEY_FILE and MARGAY_SERVER_CN.
[[nodiscard]] Result<std::unique_ptr<Connection>> connect(const Invocation& call);

}  // namespace margay::ctl
