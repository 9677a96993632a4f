// SPDX-License-Identifier: Apache-2.0
// Transport over real TCP (base/net) on an event loop. A connection that is idle holds no buffers:
// reading goes through one buffer of the transport.
#pragma once

#include <memory>
#include <vector>

#include "base/loop/event_loop.h"
#include "bgp/speaker/transport.h"

namespace margay::bgp {

class TcpTransport : public Transport {
 public:
  explicit TcpTransport(EventLoop& loop);  // must outlive the transport, and it all its streams
  ~TcpTransport() override;

  [[nodiscard]] Result<std::unique_ptr<Listener>> listen(const ListenOptions& options,
                                                         OnAccept on_accept) override;
  [[nodiscard]] std::unique_ptr<Stream> connect(const ConnectOptions& options,
                                                StreamEvents events) override;
  void adopt(Stream& accepted, const std::optional<unsigned>& ttl_security,
             StreamEvents events) override;

 private:
  EventLoop& loop_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace margay::bgp
