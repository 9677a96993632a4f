// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/encode.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace margay::nft {

namespace {

using netlink::Attr;
using netlink::Attrs;
using netlink::Writer;

static_assert(static_cast<int>(MetaKey::l4proto) == NFT_META_L4PROTO);
static_assert(static_cast<int>(MetaKey::nfproto) == NFT_META_NFPROTO);
static_assert(static_cast<int>(MetaKey::pkttype) == NFT_META_PKTTYPE);
static_assert(static_cast<int>(MetaKey::skuid) == NFT_META_SKUID);
static_assert(static_cast<int>(MetaKey::oifname) == NFT_META_OIFNAME);
static_assert(static_cast<int>(PayloadBase::transport) == NFT_PAYLOAD_TRANSPORT_HEADER);
static_assert(static_cast<int>(CtKey::mark) == NFT_CT_MARK);
static_assert(static_cast<int>(CtKey::zone) == NFT_CT_ZONE);
static_assert(static_cast<int>(FibResult::address_type) == NFT_FIB_RESULT_ADDRTYPE);
static_assert(kFibMark == NFTA_FIB_F_MARK && kFibIif == NFTA_FIB_F_IIF);
static_assert(static_cast<int>(CmpOp::gte) == NFT_CMP_GTE);
static_assert(static_cast<int>(Verdict::Code::return_) == NFT_RETURN);
static_assert(static_cast<int>(Verdict::Code::jump) == NFT_JUMP);
static_assert(static_cast<int>(Reject::Kind::icmpx) == NFT_REJECT_ICMPX_UNREACH);

constexpr std::size_t kMaxComment = 127;  // nft's limit, without the final zero
constexpr std::size_t kMaxLogPrefix = 127;

template <typename E>
std::uint32_t number(E e) {
  return static_cast<std::uint32_t>(e);
}

// Writes the content of NFTA_EXPR_DATA for each kind of expression; name_of gives NFTA_EXPR_NAME.
struct Body {
  Writer& w;
  References& refs;

  void reg(std::uint16_t type, Reg r) const { w.attr_be32(type, register_number(r)); }
  void data(std::uint16_t type, const Packed& value) const {
    const auto nest = w.begin_nested(type);
    w.attr(NFTA_DATA_VALUE, value.bytes());
    w.end_nested(nest);
  }

  void operator()(const MetaLoad& e) const {
    w.attr_be32(NFTA_META_KEY, number(e.key));
    reg(NFTA_META_DREG, e.dst);
  }
  void operator()(const MetaSet& e) const {
    w.attr_be32(NFTA_META_KEY, number(e.key));
    reg(NFTA_META_SREG, e.src);
  }
  void operator()(const PayloadLoad& e) const {
    reg(NFTA_PAYLOAD_DREG, e.dst);
    w.attr_be32(NFTA_PAYLOAD_BASE, number(e.base));
    w.attr_be32(NFTA_PAYLOAD_OFFSET, e.offset);
    w.attr_be32(NFTA_PAYLOAD_LEN, e.length);
  }
  void operator()(const PayloadSet& e) const {
    reg(NFTA_PAYLOAD_SREG, e.src);
    w.attr_be32(NFTA_PAYLOAD_BASE, number(e.base));
    w.attr_be32(NFTA_PAYLOAD_OFFSET, e.offset);
    w.attr_be32(NFTA_PAYLOAD_LEN, e.length);
    constexpr std::uint32_t kIpChecksumOffset = 10;
    w.attr_be32(NFTA_PAYLOAD_CSUM_TYPE,
                e.ip_checksum ? NFT_PAYLOAD_CSUM_INET : NFT_PAYLOAD_CSUM_NONE);
    w.attr_be32(NFTA_PAYLOAD_CSUM_OFFSET, e.ip_checksum ? kIpChecksumOffset : 0);
    w.attr_be32(NFTA_PAYLOAD_CSUM_FLAGS, 0);
  }
  void operator()(const CtLoad& e) const {
    w.attr_be32(NFTA_CT_KEY, number(e.key));
    reg(NFTA_CT_DREG, e.dst);
  }
  void operator()(const CtSet& e) const {
    w.attr_be32(NFTA_CT_KEY, number(e.key));
    reg(NFTA_CT_SREG, e.src);
  }
  void operator()(const Fib& e) const {
    reg(NFTA_FIB_DREG, e.dst);
    w.attr_be32(NFTA_FIB_RESULT, number(e.result));
    w.attr_be32(NFTA_FIB_FLAGS, e.flags);
  }
  void operator()(const Cmp& e) const {
    reg(NFTA_CMP_SREG, e.src);
    w.attr_be32(NFTA_CMP_OP, number(e.op));
    data(NFTA_CMP_DATA, e.value);
  }
  void operator()(const Range& e) const {
    reg(NFTA_RANGE_SREG, e.src);
    w.attr_be32(NFTA_RANGE_OP, e.inverted ? NFT_RANGE_NEQ : NFT_RANGE_EQ);
    data(NFTA_RANGE_FROM_DATA, e.from);
    data(NFTA_RANGE_TO_DATA, e.to);
  }
  void operator()(const Bitwise& e) const {
    reg(NFTA_BITWISE_SREG, e.src);
    reg(NFTA_BITWISE_DREG, e.dst);
    w.attr_be32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(e.mask.size()));
    data(NFTA_BITWISE_MASK, e.mask);
    data(NFTA_BITWISE_XOR, e.xor_with);
  }
  void operator()(const Lookup& e) const {
    refs.sets.push_back(e.set);
    w.attr_string(NFTA_LOOKUP_SET, e.set);
    reg(NFTA_LOOKUP_SREG, e.src);
    if (e.verdict) {
      w.attr_be32(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
    } else if (e.dst) {
      reg(NFTA_LOOKUP_DREG, *e.dst);
    }
    if (e.inverted) w.attr_be32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  }
  void operator()(const Verdict& e) const {
    if (!e.chain.empty()) refs.chains.push_back(e.chain);
    w.attr_be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    const auto nest = w.begin_nested(NFTA_IMMEDIATE_DATA);
    put_verdict(w, e);
    w.end_nested(nest);
  }
  void operator()(const Immediate& e) const {
    reg(NFTA_IMMEDIATE_DREG, e.dst);
    data(NFTA_IMMEDIATE_DATA, e.value);
  }
  void operator()(const Counter&) const {}
  void operator()(const Log& e) const {
    if (e.group) w.attr_be16(NFTA_LOG_GROUP, *e.group);
    if (!e.prefix.empty()) {
      w.attr_string(NFTA_LOG_PREFIX, std::string_view(e.prefix).substr(0, kMaxLogPrefix));
    }
    constexpr std::uint32_t kWarning = 4;
    if (!e.group) w.attr_be32(NFTA_LOG_LEVEL, e.level.value_or(kWarning));
  }
  void operator()(const Limit& e) const {
    w.attr_be64(NFTA_LIMIT_RATE, e.rate);
    w.attr_be64(NFTA_LIMIT_UNIT, e.per_seconds);
    w.attr_be32(NFTA_LIMIT_BURST, e.burst);
    w.attr_be32(NFTA_LIMIT_TYPE, e.bytes ? NFT_LIMIT_PKT_BYTES : NFT_LIMIT_PKTS);
    w.attr_be32(NFTA_LIMIT_FLAGS, e.inverted ? NFT_LIMIT_F_INV : 0);
  }
  void operator()(const ConnLimit& e) const {
    w.attr_be32(NFTA_CONNLIMIT_COUNT, e.count);
    w.attr_be32(NFTA_CONNLIMIT_FLAGS, e.inverted ? NFT_LIMIT_F_INV : 0);
  }
  // The kernel shows a single port or address as a range of one: so it is sent like that.
  void operator()(const Masquerade& e) const {
    if (e.flags != 0) w.attr_be32(NFTA_MASQ_FLAGS, e.flags);
    if (!e.port_min) return;
    reg(NFTA_MASQ_REG_PROTO_MIN, *e.port_min);
    reg(NFTA_MASQ_REG_PROTO_MAX, e.port_max.value_or(*e.port_min));
  }
  void operator()(const Nat& e) const {
    w.attr_be32(NFTA_NAT_TYPE, number(e.kind));
    w.attr_be32(NFTA_NAT_FAMILY, e.family == Family::v4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    if (e.address) {
      reg(NFTA_NAT_REG_ADDR_MIN, *e.address);
      reg(NFTA_NAT_REG_ADDR_MAX, *e.address);
    }
    if (e.port_min) {
      reg(NFTA_NAT_REG_PROTO_MIN, *e.port_min);
      reg(NFTA_NAT_REG_PROTO_MAX, e.port_max.value_or(*e.port_min));
    }
    // The kernel adds these bits by itself, and shows them.
    constexpr std::uint32_t kMapAddresses = 1, kMapPorts = 2;
    const std::uint32_t flags =
        e.flags | (e.address ? kMapAddresses : 0) | (e.port_min ? kMapPorts : 0);
    if (flags != 0) w.attr_be32(NFTA_NAT_FLAGS, flags);
  }
  void operator()(const Notrack&) const {}
  void operator()(const Reject& e) const {
    w.attr_be32(NFTA_REJECT_TYPE, number(e.kind));
    if (e.kind != Reject::Kind::tcp_reset) w.attr_u8(NFTA_REJECT_ICMP_CODE, e.code);
  }
};

struct NameOf {
  const char* operator()(const MetaLoad&) const { return "meta"; }
  const char* operator()(const MetaSet&) const { return "meta"; }
  const char* operator()(const PayloadLoad&) const { return "payload"; }
  const char* operator()(const PayloadSet&) const { return "payload"; }
  const char* operator()(const CtLoad&) const { return "ct"; }
  const char* operator()(const CtSet&) const { return "ct"; }
  const char* operator()(const Fib&) const { return "fib"; }
  const char* operator()(const Cmp&) const { return "cmp"; }
  const char* operator()(const Range&) const { return "range"; }
  const char* operator()(const Bitwise&) const { return "bitwise"; }
  const char* operator()(const Lookup&) const { return "lookup"; }
  const char* operator()(const Verdict&) const { return "immediate"; }
  const char* operator()(const Immediate&) const { return "immediate"; }
  const char* operator()(const Counter&) const { return "counter"; }
  const char* operator()(const Log&) const { return "log"; }
  const char* operator()(const Limit&) const { return "limit"; }
  const char* operator()(const ConnLimit&) const { return "connlimit"; }
  const char* operator()(const Masquerade&) const { return "masq"; }
  const char* operator()(const Nat&) const { return "nat"; }
  const char* operator()(const Notrack&) const { return "notrack"; }
  const char* operator()(const Reject&) const { return "reject"; }
};

// --- the normal form -------------------------------------------------------------------------

// Attributes that say nothing when they are zero, and that kernels differ in sending; `always`
// ones say nothing ever (values of counters, padding).
struct Silent {
  std::string_view expr;
  std::uint16_t type;
  bool always;
};
constexpr std::array kSilent{
    Silent{"lookup", NFTA_LOOKUP_FLAGS, false},  Silent{"lookup", NFTA_LOOKUP_SET_ID, true},
    Silent{"bitwise", NFTA_BITWISE_OP, false},   Silent{"log", NFTA_LOG_SNAPLEN, false},
    Silent{"log", NFTA_LOG_QTHRESHOLD, false},   Silent{"log", NFTA_LOG_FLAGS, false},
    Silent{"limit", NFTA_LIMIT_TYPE, false},     Silent{"limit", NFTA_LIMIT_FLAGS, false},
    Silent{"limit", NFTA_LIMIT_PAD, true},       Silent{"connlimit", NFTA_CONNLIMIT_FLAGS, false},
    Silent{"masq", NFTA_MASQ_FLAGS, false},      Silent{"nat", NFTA_NAT_FLAGS, false},
    Silent{"counter", NFTA_COUNTER_BYTES, true}, Silent{"counter", NFTA_COUNTER_PACKETS, true},
    Silent{"counter", NFTA_COUNTER_PAD, true},   Silent{"payload", NFTA_PAYLOAD_CSUM_FLAGS, false},
};

bool is_silent(std::string_view expr, const Attr& a) {
  for (const Silent& s : kSilent) {
    if (s.type != a.type || s.expr != expr) continue;
    return s.always || std::ranges::all_of(a.value, [](std::uint8_t b) { return b == 0; });
  }
  return false;
}

class Hash {  // FNV-1a, 64 bit
 public:
  void add(ByteView bytes) {
    for (const std::uint8_t b : bytes) h_ = (h_ ^ b) * 1099511628211ULL;
  }
  void add(std::size_t n) {
    for (int i = 0; i < 4; ++i) h_ = (h_ ^ ((n >> (8 * i)) & 0xff)) * 1099511628211ULL;
  }
  [[nodiscard]] std::uint64_t value() const { return h_; }

 private:
  std::uint64_t h_ = 14695981039346656037ULL;
};

void hash_expression(Hash& h, ByteView expr) {
  const Attrs attrs(expr);
  const auto name = attrs.find(NFTA_EXPR_NAME);
  const std::string_view text = name ? name->text() : std::string_view{};
  h.add(text.size());
  for (const char c : text) h.add(static_cast<std::size_t>(c));
  const auto data = attrs.find(NFTA_EXPR_DATA);
  if (!data) return;
  std::array<Attr, 32> sorted;
  std::size_t n = 0;
  for (const Attr& a : Attrs(data->value)) {
    if (n < sorted.size() && !is_silent(text, a)) sorted[n++] = a;
  }
  std::stable_sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(n),
                   [](const Attr& a, const Attr& b) { return a.type < b.type; });
  for (std::size_t i = 0; i < n; ++i) {
    h.add(sorted[i].type);
    h.add(sorted[i].value.size());
    h.add(sorted[i].value);
  }
}

std::vector<std::uint8_t> comment_record(std::string_view comment) {
  if (comment.empty()) return {};
  comment = comment.substr(0, kMaxComment);
  // nft's user data: type 0 (comment), length with the final zero, text.
  std::vector<std::uint8_t> out{0, static_cast<std::uint8_t>(comment.size() + 1)};
  out.insert(out.end(), comment.begin(), comment.end());
  out.push_back(0);
  return out;
}

}  // namespace

void References::normalise() {
  for (auto* list : {&chains, &sets}) {
    std::ranges::sort(*list);
    list->erase(std::unique(list->begin(), list->end()), list->end());
    list->shrink_to_fit();
  }
}

std::uint32_t register_number(Reg r) {
  MARGAY_ASSERT(r.index < 16);
  if (r.index % 4 == 0) return NFT_REG_1 + r.index / 4U;
  return NFT_REG32_00 + r.index;
}

void put_verdict(Writer& w, const Verdict& v) {
  // Without the nested flag, as the kernel shows it.
  const auto nest = w.begin_nested(NFTA_DATA_VERDICT, false);
  w.attr_be32(NFTA_VERDICT_CODE, static_cast<std::uint32_t>(v.code));
  if (!v.chain.empty()) w.attr_string(NFTA_VERDICT_CHAIN, v.chain);
  w.end_nested(nest);
}

EncodedRule encode(const Rule& rule, References& refs) {
  Writer w;
  for (const Expr& e : rule.exprs) {
    const auto elem = w.begin_nested(NFTA_LIST_ELEM);
    w.attr_string(NFTA_EXPR_NAME, std::visit(NameOf{}, e));
    const auto data = w.begin_nested(NFTA_EXPR_DATA);
    std::visit(Body{w, refs}, e);
    w.end_nested(data);
    w.end_nested(elem);
  }
  EncodedRule out;
  out.exprs.assign(w.bytes().begin(), w.bytes().end());
  out.userdata = comment_record(rule.comment);
  out.fingerprint = fingerprint(out.exprs, out.userdata);
  return out;
}

std::uint64_t fingerprint(ByteView exprs, ByteView userdata) {
  Hash h;
  for (const Attr& e : Attrs(exprs)) hash_expression(h, e.value);
  h.add(userdata.size());
  h.add(userdata);
  return h.value();
}

void collect_references(ByteView exprs, References& refs) {
  for (const Attr& e : Attrs(exprs)) {
    const Attrs attrs(e.value);
    const auto name = attrs.find(NFTA_EXPR_NAME);
    const auto data = attrs.find(NFTA_EXPR_DATA);
    if (!name || !data) continue;
    if (name->text() == "lookup") {
      if (const auto set = Attrs(data->value).find(NFTA_LOOKUP_SET)) {
        refs.sets.emplace_back(set->text());
      }
    } else if (name->text() == "immediate") {
      const auto value = Attrs(data->value).find(NFTA_IMMEDIATE_DATA);
      const auto verdict = value ? Attrs(value->value).find(NFTA_DATA_VERDICT) : std::nullopt;
      const auto chain = verdict ? Attrs(verdict->value).find(NFTA_VERDICT_CHAIN) : std::nullopt;
      if (chain) refs.chains.emplace_back(chain->text());
    }
  }
}

}  // namespace margay::nft
