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

// Looks at the certificates on disk every few seconds; lives on the loop.
class Renewal {
 public:
  Renewal(EventLoop& loop, std::unique_ptr<transport::ServerTls> tls, std::chrono::seconds interval)
      : loop_(loop), tls_(std::move(tls)), interval_(interval) {}
  void begin() {
    tls_->refresh();
    timer_ = loop_.after(interval_, [this] { begin(); });
  }
  [[nodiscard]] auto credentials() const { return tls_->credentials(); }

 private:
  EventLoop& loop_;
  std::unique_ptr<transport::ServerTls> tls_;
  std::chrono::seconds interval_;
  EventLoop::Timer timer_;
};

class GrpcServer : public Server {
 public:
  GrpcServer(EventLoop& loop, datastore::Store* store, Fanout& fanout, const ServerOptions& options)
      : loop_(loop),
        sync_(loop, fanout),
        store_(store == nullptr ? nullptr
                                : datastore::make_store_service(loop, *store, options.writers)) {}
  ~GrpcServer() override {
    if (server_) {
      // No grace: every call of ours can be resumed or repeated.
      server_->Shutdown(std::chrono::system_clock::now());
      server_->Wait();
    }
    if (renewal_) loop_.post([renewal = std::move(renewal_)]() mutable { renewal.reset(); });
  }

  Result<void> listen(const ServerOptions& options) {
    grpc::ServerBuilder builder;
    transport::set_server_defaults(builder);
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
    if (!options.insecure) {
      auto tls = options.tls;
      tls.peer_cn_patterns.insert(tls.peer_cn_patterns.end(), options.writers.begin(),
                                  options.writers.end());
      MARGAY_TRY(auto server_tls, transport::ServerTls::make(tls));
      renewal_ = std::make_shared<Renewal>(loop_, std::move(server_tls),
                                           std::chrono::seconds(tls.refresh_seconds));
      credentials = renewal_->credentials();
      loop_.post([renewal = renewal_] { renewal->begin(); });
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
    if (store_) builder.RegisterService(store_.get());
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
  EventLoop& loop_;
  std::shared_ptr<Renewal> renewal_;  // ends on the loop
  SyncService sync_;
  std::unique_ptr<grpc::Service> store_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(EventLoop& loop, datastore::Store* store,
                                              Fanout& fanout, const ServerOptions& options) {
  auto server = std::make_unique<GrpcServer>(loop, store, fanout, options);
  MARGAY_CHECK(server->listen(options));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace margay::typha
