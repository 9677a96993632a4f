// SPDX-License-Identifier: Apache-2.0
// A transport that makes connections collide: what happens on the first connection in either
// direction is told only when both stand and the peer has said its first word on ours, or when the
// time for that is over.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "bgp/speaker/tcp_transport.h"
#include "tests/interop/our_side.h"

namespace margay::bgp {

class Rendezvous : public Transport {
 public:
  Rendezvous(AsioLoop& loop, Clock::duration patience) : tcp_(loop) {
    over_ = loop.after(patience, [this] { release(); });
  }
  // The peer has sent its OPEN on two connections at once: RFC 4271 6.8 says which one stays.
  [[nodiscard]] bool collided() const { return collided_; }
  [[nodiscard]] const std::vector<std::uint8_t>& last_open() const { return last_open_; }

  [[nodiscard]] Result<std::unique_ptr<Listener>> listen(const ListenOptions& options,
                                                         OnAccept on_accept) override {
    return tcp_.listen(options, [this, on_accept](std::unique_ptr<Stream> stream) {
      auto held = std::make_shared<std::unique_ptr<Stream>>(std::move(stream));
      hold(begun_, [on_accept, held] { on_accept(std::move(*held)); });
      met(1);
    });
  }
  [[nodiscard]] std::unique_ptr<Stream> connect(const ConnectOptions& options,
                                                StreamEvents events) override {
    auto e = std::make_shared<StreamEvents>(std::move(events));
    StreamEvents later;
    later.on_connected = [this, e] { hold(begun_, [e] { e->on_connected(); }); };
    later.on_data = [this, e](std::span<const std::uint8_t> bytes) {
      look(0, bytes);
      hold(said_, [e, copy = std::vector(bytes.begin(), bytes.end())] { e->on_data(copy); });
      met(0);
    };
    later.on_writable = [this, e] { hold(said_, [e] { e->on_writable(); }); };
    later.on_closed = [this, e](int error) {
      open_[0] = false;
      hold(said_, [e, error] { e->on_closed(error); });
    };
    return tcp_.connect(options, std::move(later));
  }
  void adopt(Stream& accepted, const std::optional<unsigned>& ttl_security,
             StreamEvents events) override {
    auto data = std::move(events.on_data);
    events.on_data = [this, data](std::span<const std::uint8_t> bytes) {
      look(1, bytes);
      data(bytes);
    };
    auto closed = std::move(events.on_closed);
    events.on_closed = [this, closed](int error) {
      open_[1] = false;
      closed(error);
    };
    tcp_.adopt(accepted, ttl_security, std::move(events));
  }

 private:
  using Held = std::vector<std::function<void()>>;
  void hold(Held& held, std::function<void()> f) {
    if (released_) {
      f();
    } else {
      held.push_back(std::move(f));
    }
  }
  void met(int side) {
    here_[side] = true;
    if (here_[0] && here_[1]) release();
  }
  void release() {
    if (std::exchange(released_, true)) return;
    for (const auto& held : {std::exchange(begun_, {}), std::exchange(said_, {})}) {
      for (const auto& f : held) f();
    }
  }
  void look(int side, std::span<const std::uint8_t> bytes) {
    constexpr std::size_t kType = 18;  // place in a message
    if (bytes.size() <= kType || bytes[kType] != 1) return;
    last_open_.assign(bytes.begin(), bytes.end());
    open_[side] = true;
    collided_ = collided_ || (open_[0] && open_[1]);
  }

  TcpTransport tcp_;
  EventLoop::Timer over_;
  Held begun_, said_;                 // connections that stand, and what came on them
  bool here_[2] = {}, open_[2] = {};  // outgoing, incoming
  bool released_ = false, collided_ = false;
  std::vector<std::uint8_t> last_open_;
};

}  // namespace margay::bgp
