// SPDX-License-Identifier: Apache-2.0
// gRPC as Margay uses it: mutual TLS with our own check of the peer's name (Calico's certificates
// carry only a CN, which gRPC's host check ignores), certificates replaced without a restart, no
// proxies, bounded windows, and the mapping between Error and what travels. Shared by typha,
// agent/sync and datastore/remote; nobody else includes it.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "margay/store.pb.h"
#include "proto/tls_files.h"
#include "proto/tls_keeper.h"

namespace margay::transport {

// Plain only towards local addresses; Code::invalid otherwise.
[[nodiscard]] Result<std::shared_ptr<grpc::Channel>> make_channel(const std::string& address,
                                                                  const TlsFiles& tls);
// With TLS, and what is in force now; a later connection over the same channel uses the same.
[[nodiscard]] Result<std::shared_ptr<grpc::Channel>> make_channel(const std::string& address,
                                                                  const TlsKeeper& keeper);

// A server's side: requires a client certificate and verifies chain and name before any call is
// seen. One thread, but for gRPC's own.
class ServerTls {
 public:
  static Result<std::unique_ptr<ServerTls>> make(const TlsFiles& files);
  ~ServerTls();
  // This object must outlive the server that has them.
  [[nodiscard]] std::shared_ptr<grpc::ServerCredentials> credentials() const;
  // Looks at the files; new connections are made with what is in force, about a second later.
  void refresh();
  [[nodiscard]] const std::string& problem() const;  // as TlsKeeper's

 private:
  struct Impl;
  explicit ServerTls(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Limits and keepalive that every server of ours has.
void set_server_defaults(grpc::ServerBuilder& builder);

// gRPC's own error lines go to our log, and it resolves names as the system does. Once, before the
// first channel or server, and before there are threads.
void adopt_grpc();

// UNAVAILABLE and DEADLINE_EXCEEDED become Code::unavailable, and so on; names `what`.
[[nodiscard]] Error error_from(const grpc::Status& status, const std::string& what);

void to_proto(const Error& error, store::v1::StoreError* out);
[[nodiscard]] Error from_proto(const store::v1::StoreError& error);

}  // namespace margay::transport
