// SPDX-License-Identifier: Apache-2.0
#include "typha/server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "datastore/service/store_service.h"
#include "proto/transport.h"
#include "typha/sync_service.h"

namespace margay::typha {
namespace {

class GrpcServer : public Server {
 public:
  GrpcServer(EventLoop& loop, datastore::Store& store, Fanout& fanout, const ServerOptions& options)
      : sync_(loop, fanout), store_(datastore::make_store_service(loop, store, options.writers)) {}
  ~GrpcServer() override {
    if (!server_) return;
    // No grace: every call of ours can be resumed or repeated.
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  Result<void> listen(const ServerOptions& options) {
    grpc::ServerBuilder builder;
    transport::set_server_defaults(builder);
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
    if (!options.insecure) {
      auto tls = options.tls;
      tls.peer_cn_patterns = options.writers;
      MARGAY_TRY(credentials, transport::server_credentials(tls));
    } else if (!transport::is_local_address(options.listen)) {
      return make_error(Code::invalid, "without TLS only a local address may be listened on, not " +
                                           options.listen);
    }
    builder.AddListeningPort(options.listen, credentials, &port_);
    int socket = 1;
    if (!options.store_socket.empty()) {
      builder.AddListeningPort("unix:" + options.store_socket, grpc::InsecureServerCredentials(),
                               &socket);
    }
    builder.RegisterService(&sync_);
    builder.RegisterService(store_.get());
    const auto mask = ::umask(0177);  // unix sockets are for root alone from their first moment
    server_ = builder.BuildAndStart();
    ::umask(mask);
    if (!server_ || port_ == 0 || socket == 0) {
      return make_error(
          Code::unavailable,
          "cannot listen on " +
              (port_ == 0 || options.store_socket.empty() ? options.listen : options.store_socket));
    }
    return {};
  }
  [[nodiscard]] int port() const override { return port_; }

 private:
  SyncService sync_;
  std::unique_ptr<grpc::Service> store_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(EventLoop& loop, datastore::Store& store,
                                              Fanout& fanout, const ServerOptions& options) {
  auto server = std::make_unique<GrpcServer>(loop, store, fanout, options);
  MARGAY_CHECK(server->listen(options));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace margay::typha
