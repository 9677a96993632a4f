// SPDX-License-Identifier: Apache-2.0
// The seam between the speaker and byte streams: TCP (bgp/speaker/tcp_transport.h) or, in tests, a
// network in memory and virtual time. Every callback runs on the speaker's loop, never from inside
// a call into the transport.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/result.h"

namespace margay::bgp {

class Stream {  // destroying it closes the connection; no callback comes afterwards
 public:
  virtual ~Stream() = default;
  [[nodiscard]] virtual Ip local() const = 0;
  [[nodiscard]] virtual Ip remote() const = 0;
  // Takes as much as fits now and returns how much that was; when it is less than everything,
  // on_writable follows once.
  [[nodiscard]] virtual std::size_t write(std::span<const std::uint8_t> bytes) = 0;
  // on_data may wait until so many bytes are there, or the end is; 1 at first.
  virtual void set_low_water(std::size_t bytes) = 0;
  struct Waiting {
    std::span<const std::uint8_t> bytes;         // valid until the next take() or callback
    std::chrono::steady_clock::duration age{0};  // how long ago the last of them came, or less
  };
  // What on_data has not been called with, and will not be. Not from inside a callback.
  [[nodiscard]] virtual Waiting take() = 0;
};

struct StreamEvents {
  std::function<void()> on_connected;  // of connect() only
  std::function<void(std::span<const std::uint8_t>)> on_data;
  std::function<void()> on_writable;
  // The end, also of a connect() that failed: errno, 0 for an orderly close by the peer,
  // kTooFar for one that TTL security refuses.
  std::function<void(int)> on_closed;
};

struct ConnectOptions {
  Ip address;
  std::uint16_t port = 0;
  std::optional<Ip> source;
  std::string password;                  // TCP-MD5
  std::optional<unsigned> ttl_security;  // hops
};

// What the listener must know of a peer before its connection comes in.
struct AcceptRule {
  Ip address;
  std::string password;
  std::optional<unsigned> ttl_security;
  friend bool operator==(const AcceptRule&, const AcceptRule&) = default;
};

struct ListenOptions {
  std::vector<Ip> addresses;  // empty: all, both families
  std::uint16_t port = 0;
  friend bool operator==(const ListenOptions&, const ListenOptions&) = default;
};

class Transport {
 public:
  using OnAccept = std::function<void(std::unique_ptr<Stream>)>;
  class Listener {  // destroying it stops listening
   public:
    virtual ~Listener() = default;
    // Replaces the rules; returns what could not be set ("MD5 key for 10.0.0.2: ...").
    virtual std::vector<Error> set_rules(std::vector<AcceptRule> rules) = 0;
    // For a peer without a rule of TTL security nothing is checked.
    [[nodiscard]] virtual std::uint16_t port() const = 0;  // the real one when 0 was asked for
  };

  virtual ~Transport() = default;
  [[nodiscard]] virtual Result<std::unique_ptr<Listener>> listen(const ListenOptions& options,
                                                                 OnAccept on_accept) = 0;
  // Never fails at once: on_connected or on_closed comes later. Events of an accepted stream are
  // given with adopt().
  [[nodiscard]] virtual std::unique_ptr<Stream> connect(const ConnectOptions& options,
                                                        StreamEvents events) = 0;
  // Starts reading from an accepted stream.
  virtual void adopt(Stream& accepted, const std::optional<unsigned>& ttl_security,
                     StreamEvents events) = 0;
};

}  // namespace margay::bgp
