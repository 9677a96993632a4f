// SPDX-License-Identifier: Apache-2.0
#include "dataplane/netlink/route_filter.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

namespace margay::netlink {

namespace {

// Protocol numbers of daemons that may bring whole routing tables (linux/rtnetlink.h). All other
// numbers, the unknown ones included, are of people and of the system.
constexpr std::array<std::uint8_t, 15> kDaemons{
    RTPROT_GATED, RTPROT_MRT, RTPROT_ZEBRA, RTPROT_BIRD,     RTPROT_DNROUTED,
    RTPROT_XORP,  RTPROT_NTK, RTPROT_BABEL, RTPROT_BGP,      RTPROT_ISIS,
    RTPROT_OSPF,  RTPROT_RIP, RTPROT_EIGRP, 99 /* Open/R */, RTPROT_MROUTED};

unsigned common_bits(const Prefix& a, const Prefix& b) {
  unsigned bits = std::min(a.length(), b.length());
  while (bits > 0 && Prefix::containing(a.addr(), bits) != Prefix::containing(b.addr(), bits)) {
    --bits;
  }
  return bits;
}

// Sorted, and without those that another one contains.
void tidy(std::vector<Prefix>& prefixes) {
  std::ranges::sort(prefixes);
  std::vector<Prefix> out;
  for (const Prefix& p : prefixes) {
    if (out.empty() || !out.back().contains(p)) out.push_back(p);
  }
  prefixes = std::move(out);
}

// Joins the two neighbours that have most in common until few enough are left.
std::vector<Prefix> joined(std::vector<Prefix> prefixes) {
  tidy(prefixes);
  while (prefixes.size() > RouteFilter::kMaxPrefixes) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < prefixes.size(); ++i) {
      const unsigned bits = common_bits(prefixes[i], prefixes[i + 1]);
      if (bits > common_bits(prefixes[best], prefixes[best + 1])) best = i;
    }
    prefixes[best] =
        Prefix::containing(prefixes[best].addr(), common_bits(prefixes[best], prefixes[best + 1]));
    tidy(prefixes);
  }
  return prefixes;
}

std::vector<Prefix> of_family(const std::vector<Prefix>& prefixes, Family f) {
  std::vector<Prefix> out;
  std::ranges::copy_if(prefixes, std::back_inserter(out),
                       [f](const Prefix& p) { return p.family() == f; });
  return out;
}

bool overlap(const Prefix& a, const Prefix& b) { return a.contains(b) || b.contains(a); }

// --- instructions ----------------------------------------------------------------------------

using Code = std::vector<sock_filter>;

// Offsets into a notification: struct nlmsghdr, then rtmsg, then attributes.
constexpr std::uint32_t kFlags = 6, kFamily = 16, kLength = 17, kProtocol = 21, kAttributes = 28;
// Words of scratch memory: destination and mask of the route.
constexpr std::uint32_t kWord[2] = {0, 1}, kMask[2] = {2, 3};

void add(Code& code, std::uint32_t op, std::uint32_t k) {
  code.push_back({static_cast<std::uint16_t>(op), 0, 0, k});
}
void jump(Code& code, std::uint32_t op, std::uint32_t k, std::uint8_t yes, std::uint8_t no) {
  code.push_back({static_cast<std::uint16_t>(BPF_JMP | op), yes, no, k});
}
void verdict(Code& code, bool keep) { add(code, BPF_RET | BPF_K, keep ? 0xffffffffU : 0U); }
// The program reads big-endian, header fields and integers in attributes are in host order.
void keep_if_equal(Code& code, std::uint32_t value) {
  jump(code, BPF_JEQ | BPF_K, value, 0, 1);
  verdict(code, true);
}

// Leaves the attribute's offset in A, 0 when there is none.
void find_attribute(Code& code, std::uint32_t type) {
  add(code, BPF_LD | BPF_IMM, kAttributes);
  add(code, BPF_LDX | BPF_IMM, type);
  add(code, BPF_LD | BPF_B | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_NLATTR));
}

void keep_replacements(Code& code, const std::vector<std::uint32_t>& metrics) {
  const auto comparing = static_cast<std::uint8_t>(2 + 2 * metrics.size());
  add(code, BPF_LD | BPF_H | BPF_ABS, kFlags);
  jump(code, BPF_JSET | BPF_K, htons(NLM_F_REPLACE), 0, static_cast<std::uint8_t>(4 + comparing));
  find_attribute(code, RTA_PRIORITY);
  jump(code, BPF_JEQ | BPF_K, 0, comparing, 0);
  add(code, BPF_MISC | BPF_TAX, 0);
  add(code, BPF_LD | BPF_W | BPF_IND, 4);
  for (const std::uint32_t m : metrics) keep_if_equal(code, htonl(m));
}

// The mask of bits [32 * word, 32 * word + 32) for the route's length.
void store_mask(Code& code, std::uint32_t word) {
  const std::uint32_t first = 32 * word;
  add(code, BPF_LD | BPF_B | BPF_ABS, kLength);
  jump(code, BPF_JGE | BPF_K, first + 32, 0, 2);
  add(code, BPF_LD | BPF_IMM, 0xffffffffU);
  jump(code, BPF_JA, 9, 0, 0);
  jump(code, BPF_JGT | BPF_K, first, 2, 0);
  add(code, BPF_LD | BPF_IMM, 0);
  jump(code, BPF_JA, 6, 0, 0);
  // first < length < first + 32: the shift is between 1 and 31
  add(code, BPF_MISC | BPF_TAX, 0);
  add(code, BPF_LD | BPF_IMM, first + 32);
  add(code, BPF_ALU | BPF_SUB | BPF_X, 0);
  add(code, BPF_MISC | BPF_TAX, 0);
  add(code, BPF_LD | BPF_IMM, 0xffffffffU);
  add(code, BPF_ALU | BPF_LSH | BPF_X, 0);
  add(code, BPF_ST, kMask[word]);
}

std::uint32_t word_of(std::span<const std::uint8_t> bytes, std::uint32_t word) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) out = out << 8 | bytes[4 * word + i];
  return out;
}

std::uint32_t mask_of(const Prefix& p, std::uint32_t word) {
  const unsigned first = 32 * word;
  if (p.length() <= first) return 0;
  const unsigned bits = std::min(32U, p.length() - first);
  return 0xffffffffU << (32 - bits);
}

// Two prefixes overlap when their addresses agree in the bits that both masks have.
void keep_if_overlapping(Code& code, const Prefix& p, std::uint32_t words) {
  constexpr std::size_t kPerWord = 6;
  for (std::uint32_t w = 0; w < words; ++w) {
    add(code, BPF_LD | BPF_MEM, kWord[w]);
    add(code, BPF_ALU | BPF_XOR | BPF_K, word_of(p.addr().bytes(), w));
    add(code, BPF_ALU | BPF_AND | BPF_K, mask_of(p, w));
    add(code, BPF_LDX | BPF_MEM, kMask[w]);
    add(code, BPF_ALU | BPF_AND | BPF_X, 0);
    const auto past = static_cast<std::uint8_t>((words - w - 1) * kPerWord + 1);
    jump(code, BPF_JEQ | BPF_K, 0, 0, past);
  }
  verdict(code, true);
}

void family_part(Code& code, const std::vector<Prefix>& prefixes, std::uint32_t words) {
  for (std::uint32_t w = 0; w < words; ++w) store_mask(code, w);
  find_attribute(code, RTA_DST);
  keep_if_equal(code, 0);  // cannot be judged
  add(code, BPF_MISC | BPF_TAX, 0);
  for (std::uint32_t w = 0; w < words; ++w) {
    add(code, BPF_LD | BPF_W | BPF_IND, 4 + 4 * w);
    add(code, BPF_ST, kWord[w]);
  }
  for (const Prefix& p : prefixes) keep_if_overlapping(code, p, words);
  verdict(code, false);
}

}  // namespace

RouteFilter::RouteFilter(const std::vector<std::uint8_t>& own, std::vector<std::uint32_t> metrics,
                         std::vector<Prefix> prefixes)
    : metrics_(std::move(metrics)) {
  std::ranges::copy_if(kDaemons, std::back_inserter(daemons_), [&](std::uint8_t protocol) {
    return std::ranges::find(own, protocol) == own.end();
  });
  for (const Family f : kFamilies) {
    const auto part = joined(of_family(prefixes, f));
    prefixes_.insert(prefixes_.end(), part.begin(), part.end());
  }
}

bool RouteFilter::keeps(const Route& route) const {
  if (std::ranges::find(daemons_, route.protocol) == daemons_.end()) return true;
  return sees(route.dst);
}

bool RouteFilter::sees(const Prefix& dst) const {
  if (dst.length() == 0 || daemons_.empty()) return true;
  return std::ranges::any_of(prefixes_, [&](const Prefix& p) { return overlap(p, dst); });
}

bool RouteFilter::covers(const Prefix& prefix) const {
  return std::ranges::any_of(prefixes_, [&](const Prefix& p) { return p.contains(prefix); });
}

void RouteFilter::append_to(std::vector<sock_filter>& code) const {
  add(code, BPF_LD | BPF_B | BPF_ABS, kProtocol);
  for (std::size_t i = 0; i < daemons_.size(); ++i) {
    jump(code, BPF_JEQ | BPF_K, daemons_[i], static_cast<std::uint8_t>(daemons_.size() - i), 0);
  }
  verdict(code, true);
  add(code, BPF_LD | BPF_B | BPF_ABS, kLength);
  keep_if_equal(code, 0);  // a default route
  keep_replacements(code, metrics_);
  Code v4, v6;
  family_part(v4, of_family(prefixes_, Family::v4), 1);
  family_part(v6, of_family(prefixes_, Family::v6), 2);
  add(code, BPF_LD | BPF_B | BPF_ABS, kFamily);
  jump(code, BPF_JEQ | BPF_K, AF_INET6, 0, 1);
  jump(code, BPF_JA, static_cast<std::uint32_t>(v4.size()), 0, 0);
  code.insert(code.end(), v4.begin(), v4.end());
  code.insert(code.end(), v6.begin(), v6.end());
}

}  // namespace margay::netlink
