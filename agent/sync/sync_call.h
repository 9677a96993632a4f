// SPDX-License-Identifier: Apache-2.0
// One Subscribe call over a connection of its own, on the loop. Reads one message at a time and
// only when asked, so that the receiver's pace is the server's.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/loop/event_loop.h"
#include "base/net/dial.h"
#include "margay/sync.pb.h"
#include "proto/grpc_stream.h"
#include "proto/tls_session.h"

namespace margay::sync {

class SyncCall : public std::enable_shared_from_this<SyncCall> {
 public:
  struct Server {
    std::string address;
    std::size_t first = 0;                      // of its addresses, if it is a name
    const transport::TlsKeeper* tls = nullptr;  // none: plain. Looked at when connected
  };
  struct Events {  // on the loop, from its own turns only; each may abandon the call
    std::function<void(v1::SyncMessage*, Clock::time_point received)> message;
    // Last. Why the call has ended, the server named; `reached`: it was there, and TLS in place.
    std::function<void(const Error&, bool reached)> done;
  };
  static std::shared_ptr<SyncCall> start(EventLoop& loop, Server server,
                                         const v1::SubscribeRequest& request, Events events);
  // Asks for one more message, unless one is asked for already.
  void read();
  void abandon();  // no event after this

 private:
  SyncCall(EventLoop& loop, Server server, const v1::SubscribeRequest& request, Events events);
  void connected(Result<Fd> fd);
  void readable();
  [[nodiscard]] const char* closed() const;
  Result<void> receive(std::string_view bytes);
  Result<void> greet();
  Result<void> flush();
  void writable();
  void deliver();
  void step(const Result<void>& result);
  void end(Error error);

  EventLoop& loop_;
  const Server server_;
  const std::string request_;
  Events events_;
  bool over_ = false;
  bool heard_ = false;   // anything out of TLS
  bool wanted_ = false;  // a message
  bool posted_ = false;  // deliver()
  std::string unsent_;
  std::string plain_;  // received, out of its TLS
  v1::SyncMessage message_;
  Clock::time_point received_;
  std::optional<transport::GrpcStream> stream_;
  std::optional<transport::TlsSession> tls_;
  std::unique_ptr<net::Dial> dial_;
  Fd fd_;
  EventLoop::Watch reads_;
  EventLoop::Watch writes_;
  EventLoop::Timer patience_;
};

}  // namespace margay::sync
