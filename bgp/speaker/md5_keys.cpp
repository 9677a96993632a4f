// SPDX-License-Identifier: Apache-2.0
#include "bgp/speaker/md5_keys.h"

#include <algorithm>
#include <map>

namespace margay::bgp {
namespace {

using Peer = std::pair<Ip, std::string>;

bool bit(const Ip& ip, unsigned n) { return (ip.bytes()[n / 8] >> (7 - n % 8) & 1) != 0; }

unsigned common_length(const Ip& a, const Ip& b) {
  unsigned n = 0;
  while (n < max_prefix_length(a.family()) && bit(a, n) == bit(b, n)) ++n;
  return n;
}

// `peers`: of one family, in order, each address once.
void cover(std::span<const Peer> peers, std::vector<Md5Key>& out) {
  if (peers.empty()) return;
  const auto& [first, password] = peers.front();
  const unsigned length = common_length(first, peers.back().first);
  const bool same =
      std::all_of(peers.begin(), peers.end(), [&](const Peer& p) { return p.second == password; });
  if (same) {
    if (!password.empty()) out.push_back({Prefix::containing(first, length), password});
    return;
  }
  const auto middle =
      std::find_if(peers.begin(), peers.end(), [&](const Peer& p) { return bit(p.first, length); });
  const auto lower = static_cast<std::size_t>(middle - peers.begin());
  cover(peers.first(lower), out);
  cover(peers.subspan(lower), out);
}

}  // namespace

std::vector<Md5Key> md5_keys(std::span<const AcceptRule> rules) {
  std::vector<Md5Key> out;
  for (const Family f : kFamilies) {
    std::map<Ip, std::string> passwords;
    for (const auto& r : rules) {
      if (r.address.family() == f) passwords.try_emplace(r.address, r.password);
    }
    const std::vector<Peer> peers(passwords.begin(), passwords.end());
    cover(peers, out);
  }
  return out;
}

}  // namespace margay::bgp
