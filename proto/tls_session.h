// SPDX-License-Identifier: Apache-2.0
// The client's side of one TLS connection, over bytes that somebody else carries: mutual, with
// HTTP/2 agreed on (ALPN), the server judged by the CA and by the name that we were told to expect
// (Calico's certificates carry only a CN). Pure; one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "proto/tls_keeper.h"

namespace margay::transport {

class TlsSession {
 public:
  // With the certificates that are in force now. `host`: the server's name as the caller knows it,
  // told to the server (SNI) unless it is an address.
  static Result<TlsSession> client(const TlsKeeper& keeper, const std::string& host);
  TlsSession(TlsSession&&) noexcept;
  TlsSession& operator=(TlsSession&&) noexcept;
  ~TlsSession();

  // From the peer; appends what it said. Code::refused: the handshake has failed, or the peer is
  // not who it should be, and nothing was said to it.
  [[nodiscard]] Result<void> receive(std::string_view bytes, std::string* plain);
  // Once established() only.
  [[nodiscard]] Result<void> send(std::string_view plain);
  // What is to be sent to the peer now.
  [[nodiscard]] std::string take_output();
  [[nodiscard]] bool established() const;

 private:
  struct Impl;
  explicit TlsSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::transport
