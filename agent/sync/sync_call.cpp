// SPDX-License-Identifier: Apache-2.0
#include "agent/sync/sync_call.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "proto/grpc_status.h"

namespace margay::sync {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 5s;             // with one address, and again with TLS behind it
constexpr std::size_t kChunk = 16 * 1024;  // bytes read at once
constexpr int kChunks = 32;                // in one turn of the loop
constexpr const char* kPath = "/margay.sync.v1.Sync/Subscribe";

std::string host_of(const std::string& address) {
  if (address.starts_with("unix:")) return "localhost";
  const std::string host = address.substr(0, address.rfind(':'));
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

Error lost(const std::string& why) { return make_error(Code::unavailable, why); }

}  // namespace

std::shared_ptr<SyncCall> SyncCall::start(EventLoop& loop, Server server,
                                          const v1::SubscribeRequest& request, Events events) {
  std::shared_ptr<SyncCall> call(new SyncCall(loop, std::move(server), request, std::move(events)));
  call->read();
  return call;
}

SyncCall::SyncCall(EventLoop& loop, Server server, const v1::SubscribeRequest& request,
                   Events events)
    : loop_(loop),
      server_(std::move(server)),
      request_(request.SerializeAsString()),
      events_(std::move(events)),
      dial_(std::make_unique<net::Dial>(loop, server_.address, server_.first, kPatience,
                                        [this](Result<Fd> fd) { connected(std::move(fd)); })) {}

void SyncCall::abandon() {
  over_ = true;
  dial_.reset();
  reads_.reset();
  writes_.reset();
  patience_.reset();
  fd_.reset();
}

void SyncCall::connected(Result<Fd> fd) {
  const auto self = shared_from_this();
  dial_.reset();
  if (!fd.ok()) return end(std::move(fd).error());
  fd_ = std::move(*fd);
  reads_ = loop_.readable(fd_.get(), [this] { readable(); });
  if (server_.tls == nullptr) return step(greet());
  patience_ = loop_.after(
      kPatience, [this] { end(lost(server_.address + ": no TLS handshake within 5 seconds")); });
  auto tls = transport::TlsSession::client(*server_.tls, host_of(server_.address));
  if (!tls.ok()) return step(tls.error());
  tls_ = std::move(*tls);
  step(flush());
}

// The call itself, once there is somebody to talk to.
Result<void> SyncCall::greet() {
  patience_.reset();
  stream_.emplace(transport::GrpcStream::Call{server_.tls == nullptr ? "http" : "https",
                                              host_of(server_.address), kPath, request_});
  return flush();
}

void SyncCall::readable() {
  const auto self = shared_from_this();
  std::array<char, kChunk> bytes;
  for (int i = 0; i < kChunks; ++i) {
    const ssize_t n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    received_ = loop_.now();
    const auto taken = n > 0   ? receive({bytes.data(), static_cast<std::size_t>(n)})
                       : n < 0 ? Result<void>(lost(std::strerror(errno)))
                               : Result<void>(lost(closed()));
    if (!taken.ok()) {
      deliver();                                             // what was complete before
      if (stream_ && stream_->end()) return reads_.reset();  // which read() will learn
      return step(taken);
    }
    if (static_cast<std::size_t>(n) < bytes.size()) break;
  }
  deliver();
}

// With TLS 1.3 a client has finished before the server judges its certificate, and gRPC's server
// then gives no reason.
const char* SyncCall::closed() const {
  return tls_ && stream_ && !heard_
             ? "the server has closed the connection without a word: it may refuse our certificate"
             : "the server has closed the connection";
}

Result<void> SyncCall::receive(std::string_view bytes) {
  if (!tls_) return stream_->receive(bytes);
  plain_.clear();
  const auto taken = tls_->receive(bytes, &plain_);
  heard_ = heard_ || !plain_.empty();
  if (tls_->established() && !stream_) MARGAY_CHECK(greet());
  if (stream_) MARGAY_CHECK(stream_->receive(plain_));
  MARGAY_CHECK(flush());  // a handshake's next part, or why we end it
  return taken;
}

Result<void> SyncCall::flush() {
  std::string out = stream_ ? stream_->take_output() : std::string();
  if (tls_) {
    MARGAY_CHECK(tls_->send(out));
    out = tls_->take_output();
  }
  unsent_ += out;
  while (!unsent_.empty()) {
    const ssize_t n = ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      if (!writes_) writes_ = loop_.writable(fd_.get(), [this] { writable(); });
      return {};
    }
    if (n < 0) {  // reading tells why, after what the server had to say
      unsent_.clear();
      break;
    }
    unsent_.erase(0, static_cast<std::size_t>(n));
  }
  writes_.reset();
  return {};
}

void SyncCall::writable() {
  const auto self = shared_from_this();
  step(flush());
}

void SyncCall::read() {
  wanted_ = true;
  if (std::exchange(posted_, true)) return;
  loop_.post([self = shared_from_this()] {
    self->posted_ = false;
    self->deliver();
  });
}

// Gives what is asked for, tells the server how much of its window is free again, and, once
// everything else is told, that the call has ended.
void SyncCall::deliver() {
  while (!over_ && stream_ && wanted_) {
    const auto bytes = stream_->next();
    if (!bytes) break;
    wanted_ = false;
    message_.Clear();
    if (!message_.ParseFromArray(bytes->data(), static_cast<int>(bytes->size()))) {
      return end(make_error(Code::invalid, "the server has sent what is no message"));
    }
    events_.message(&message_, received_);
  }
  if (over_ || !stream_) return;
  step(flush());
  if (over_ || !wanted_ || !stream_->end()) return;
  const auto& [status, text] = *stream_->end();
  end(transport::error_of(status, text, server_.address));
}

void SyncCall::step(const Result<void>& result) {
  if (!result.ok()) end(result.error());
}

void SyncCall::end(Error error) {
  if (over_) return;
  const auto self = shared_from_this();  // whoever is told may let go of it
  const bool reached = stream_.has_value();
  abandon();
  if (!error.context.starts_with(server_.address)) {
    error.context = server_.address + ": " + error.context;
  }
  events_.done(error, reached);
}

}  // namespace margay::sync
