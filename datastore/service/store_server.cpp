// SPDX-License-Identifier: Apache-2.0
#include "datastore/service/store_server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "datastore/service/store_service.h"
#include "proto/transport.h"

namespace margay::datastore {
namespace {

class GrpcStoreServer : public StoreServer {
 public:
  GrpcStoreServer(EventLoop& loop, Store& store) : service_(make_store_service(loop, store)) {}
  ~GrpcStoreServer() override {
    if (!server_) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }
  Result<void> listen(const std::string& path) {
    grpc::ServerBuilder builder;
    transport::set_server_defaults(builder);
    int bound = 0;
    builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials(), &bound);
    builder.RegisterService(service_.get());
    const auto mask = ::umask(0177);  // for root alone from its first moment
    server_ = builder.BuildAndStart();
    ::umask(mask);
    if (!server_ || bound == 0) return make_error(Code::unavailable, "cannot listen on " + path);
    return {};
  }

 private:
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<StoreServer>> StoreServer::start(EventLoop& loop, Store& store,
                                                        const std::string& socket_path) {
  auto server = std::make_unique<GrpcStoreServer>(loop, store);
  MARGAY_CHECK(server->listen(socket_path));
  return std::unique_ptr<StoreServer>(std::move(server));
}

}  // namespace margay::datastore
