// SPDX-License-Identifier: Apache-2.0
// The BGP daemons of Debian as neighbours, configured from one plan: BIRD 2, FRR, GoBGP, OpenBGPD.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/interop/neighbour.h"

namespace margay::test {

enum class Kind { bird, frr, gobgp, openbgpd };
[[nodiscard]] std::string name_of(Kind kind);

// What the daemon at 10.99.0.2 and fd99::2 does.
struct Plan {
  std::uint32_t as = 65001;
  std::uint32_t our_as = 64512;       // equal: iBGP, and it reflects between us
  std::vector<std::string> peers;     // our addresses, of either family
  std::vector<std::string> announce;  // prefixes of either family, with 65001:7 and 65001:1:2
  std::string password;               // TCP-MD5
  unsigned limit = 0;                 // prefixes that we may send; 0: any number
  bool v4_over_v6 = false;            // RFC 8950 on IPv6 sessions
  bool notification = false;          // RFC 8538, FRR only
  std::vector<unsigned> hops;         // TTL security: how far away each of `peers` may be
  bool behind_router = false;         // it is two hops away
  bool long_open = false;             // RFC 9072, BIRD only
  bool leaving = false;               // what it announces is about to go (RFC 8326)
  unsigned padding = 0;               // as many more: 1:1:1, 1:2:1, ...; BIRD and FRR
  [[nodiscard]] bool reflects() const { return as == our_as; }
};

class Daemon {
 public:
  explicit Daemon(const Plan& plan);
  virtual ~Daemon() = default;
  [[nodiscard]] bool listens() const;
  // What it knows of one prefix, every path with its attributes, in its own words.
  [[nodiscard]] virtual std::string paths(const std::string& prefix) const = 0;
  // What it says of its session with one of our addresses.
  [[nodiscard]] virtual std::string session(const std::string& peer) const = 0;
  virtual void withdraw(const std::string& prefix) = 0;
  // Asks that address of ours for all its routes once more.
  virtual void refresh(const std::string& peer) = 0;
  // Ends the session with that address of ours, and tells it why.
  virtual void shut(const std::string& peer, const std::string& words) = 0;
  // SIGKILL, and a start that claims to have kept its forwarding state.
  virtual void kill() = 0;
  virtual void restart() = 0;
  [[nodiscard]] std::string log() const { return machine_.read("log"); }

 protected:
  Plan plan_;
  Neighbour machine_;
};

// It is started, but need not listen yet.
[[nodiscard]] std::unique_ptr<Daemon> make_daemon(Kind kind, const Plan& plan);

}  // namespace margay::test
