// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/kernel.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

namespace margay::nft {

namespace {

using netlink::Attr;
using netlink::Attrs;

Attrs attrs_of(const Message& m) { return m.attrs<nfgenmsg>(); }

// The message is of this kind, about an inet table of that name.
bool concerns(const Message& m, unsigned kind, std::uint16_t table_attr, std::string_view table) {
  if (nft_message(m) != kind) return false;
  const auto h = m.header<nfgenmsg>();
  if (!h || h->nfgen_family != NFPROTO_INET) return false;
  const auto name = attrs_of(m).find(table_attr);
  return name && name->text() == table;
}

std::optional<ChainType> chain_type(std::string_view text) {
  if (text == "filter") return ChainType::filter;
  if (text == "nat") return ChainType::nat;
  if (text == "route") return ChainType::route;
  return std::nullopt;
}

std::string text_of(const std::optional<Attr>& a) {
  return a ? std::string(a->text()) : std::string();
}

// NFTA_DATA_VALUE within `a`.
ByteView data_value(const std::optional<Attr>& a) {
  if (!a) return {};
  const auto value = Attrs(a->value).find(NFTA_DATA_VALUE);
  return value ? value->value : ByteView{};
}

std::optional<Verdict> data_verdict(const std::optional<Attr>& a) {
  if (!a) return std::nullopt;
  const auto v = Attrs(a->value).find(NFTA_DATA_VERDICT);
  if (!v) return std::nullopt;
  const auto code = Attrs(v->value).find(NFTA_VERDICT_CODE);
  if (!code) return std::nullopt;
  return Verdict{static_cast<Verdict::Code>(static_cast<std::int32_t>(code->be32())),
                 text_of(Attrs(v->value).find(NFTA_VERDICT_CHAIN))};
}

std::optional<Packed> step(ByteView key, bool up) {
  std::array<std::uint8_t, Packed::kCapacity> raw{};
  std::copy(key.begin(), key.end(), raw.begin());
  for (std::size_t i = key.size(); i-- > 0;) {
    raw[i] = static_cast<std::uint8_t>(up ? raw[i] + 1 : raw[i] - 1);
    const bool carried = raw[i] == (up ? 0x00 : 0xff);
    if (!carried) return Packed::of(std::span(raw).first(key.size()));
  }
  return std::nullopt;
}

void parse_base(const Attr& hook, const Attrs& attrs, KernelChain& out) {
  const Attrs in(hook.value);
  const auto type = chain_type(text_of(attrs.find(NFTA_CHAIN_TYPE)));
  const auto number = in.find(NFTA_HOOK_HOOKNUM);
  const auto priority = in.find(NFTA_HOOK_PRIORITY);
  const auto policy = attrs.find(NFTA_CHAIN_POLICY);
  if (!type || !number || !priority || number->be32() > NF_INET_POST_ROUTING) {
    out.odd = true;
    return;
  }
  out.base =
      BaseChain{*type, static_cast<Hook>(number->be32()),
                static_cast<std::int32_t>(priority->be32()), policy && policy->be32() == NF_DROP};
}

}  // namespace

std::optional<Packed> successor(ByteView key) { return step(key, true); }
std::optional<Packed> predecessor(ByteView key) { return step(key, false); }

std::optional<unsigned> nft_message(const Message& m) {
  if (m.type >> 8 != NFNL_SUBSYS_NFTABLES) return std::nullopt;
  return m.type & 0xffU;
}

std::optional<KernelChain> parse_chain(const Message& m, std::string_view table) {
  if (!concerns(m, NFT_MSG_NEWCHAIN, NFTA_CHAIN_TABLE, table)) return std::nullopt;
  const Attrs attrs = attrs_of(m);
  KernelChain out;
  out.name = text_of(attrs.find(NFTA_CHAIN_NAME));
  if (out.name.empty()) return std::nullopt;
  if (const auto hook = attrs.find(NFTA_CHAIN_HOOK)) parse_base(*hook, attrs, out);
  return out;
}

std::optional<KernelRule> parse_rule(const Message& m, std::string_view table) {
  if (!concerns(m, NFT_MSG_NEWRULE, NFTA_RULE_TABLE, table)) return std::nullopt;
  const Attrs attrs = attrs_of(m);
  KernelRule out;
  out.chain = text_of(attrs.find(NFTA_RULE_CHAIN));
  const auto handle = attrs.find(NFTA_RULE_HANDLE);
  if (out.chain.empty() || !handle) return std::nullopt;
  out.handle = handle->be64();
  const auto exprs = attrs.find(NFTA_RULE_EXPRESSIONS);
  const auto userdata = attrs.find(NFTA_RULE_USERDATA);
  const ByteView expr_bytes = exprs ? exprs->value : ByteView{};
  out.fingerprint = fingerprint(expr_bytes, userdata ? userdata->value : ByteView{});
  collect_references(expr_bytes, out.refs);
  return out;
}

SetHeader header_of(const SetType& type) {
  SetHeader h;
  constexpr unsigned kTypeBits = 6;  // nft's packing of a concatenation's types
  for (const Datatype t : type.key) {
    h.key_type = (h.key_type << kTypeBits) | static_cast<std::uint32_t>(t);
  }
  h.key_length = static_cast<std::uint32_t>(type.key_size());
  if (type.interval) h.flags |= NFT_SET_INTERVAL;
  if (type.interval && type.key.size() > 1) {
    h.flags |= NFT_SET_CONCAT;
    for (const Datatype t : type.key) h.fields.push_back(static_cast<std::uint32_t>(size_of(t)));
  }
  if (type.value) {
    h.flags |= NFT_SET_MAP;
    h.data_type =
        type.is_verdict_map() ? NFT_DATA_VERDICT : static_cast<std::uint32_t>(*type.value);
    h.data_length = static_cast<std::uint32_t>(type.value_size());
  }
  return h;
}

std::optional<KernelSet> parse_set(const Message& m, std::string_view table) {
  if (!concerns(m, NFT_MSG_NEWSET, NFTA_SET_TABLE, table)) return std::nullopt;
  const Attrs attrs = attrs_of(m);
  const auto number = [&](std::uint16_t type) {
    const auto a = attrs.find(type);
    return a ? a->be32() : 0;
  };
  KernelSet out;
  out.name = text_of(attrs.find(NFTA_SET_NAME));
  if (out.name.empty()) return std::nullopt;
  SetHeader& h = out.header;
  h.flags = number(NFTA_SET_FLAGS);
  h.key_type = number(NFTA_SET_KEY_TYPE);
  h.key_length = number(NFTA_SET_KEY_LEN);
  h.data_type = number(NFTA_SET_DATA_TYPE);
  h.data_length = h.data_type == NFT_DATA_VERDICT ? 0 : number(NFTA_SET_DATA_LEN);
  const auto desc = attrs.find(NFTA_SET_DESC);
  const auto concat = desc ? Attrs(desc->value).find(NFTA_SET_DESC_CONCAT) : std::nullopt;
  if (concat) {
    for (const Attr& field : Attrs(concat->value)) {
      const auto length = Attrs(field.value).find(NFTA_SET_FIELD_LEN);
      if (length) h.fields.push_back(length->be32());
    }
  }
  return out;
}

ElementCollector::ElementCollector(SetType type)
    : type_(std::move(type)),
      points_mode_(type_.interval && type_.key.size() == 1),
      table_(type_) {}

void ElementCollector::clear() {
  table_.clear();
  points_.clear();
}

void ElementCollector::add(const Message& m) {
  if (nft_message(m) != NFT_MSG_NEWSETELEM) return;
  const auto list = attrs_of(m).find(NFTA_SET_ELEM_LIST_ELEMENTS);
  if (!list) return;
  for (const Attr& e : Attrs(list->value)) add_element(e.value);
}

void ElementCollector::add_element(ByteView element) {
  const Attrs attrs(element);
  const ByteView key = data_value(attrs.find(NFTA_SET_ELEM_KEY));
  if (key.size() != type_.key_size()) return;  // a catch-all, or not of this set
  const auto flags = attrs.find(NFTA_SET_ELEM_FLAGS);
  if (points_mode_) {
    add_point(key, flags && (flags->be32() & NFT_SET_ELEM_INTERVAL_END) != 0);
    return;
  }
  Element e;
  e.key = Packed::of(key);
  if (type_.interval) {
    const ByteView end = data_value(attrs.find(NFTA_SET_ELEM_KEY_END));
    e.key_end = end.size() == key.size() ? Packed::of(end) : e.key;
  }
  const auto data = attrs.find(NFTA_SET_ELEM_DATA);
  if (type_.is_verdict_map()) {
    e.verdict = data_verdict(data);
    if (!e.verdict) return;
  } else if (type_.value) {
    const ByteView value = data_value(data);
    if (value.size() != type_.value_size()) return;
    e.value = Packed::of(value);
  }
  table_.append(e);
}

void ElementCollector::add_point(ByteView key, bool end) {
  points_.insert(points_.end(), key.begin(), key.end());
  points_.push_back(end ? 0 : 1);
}

void ElementCollector::pair_points() {
  const std::size_t width = type_.key_size() + 1;
  const std::size_t n = points_.size() / width;
  const auto at = [&](std::size_t i) { return ByteView(points_).subspan(i * width, width); };
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  // Ends (0) sort before starts (1) of the same key: ranges that touch.
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::memcmp(at(a).data(), at(b).data(), width) < 0;
  });
  const std::vector<std::uint8_t> highest(width - 1, 0xff);
  for (std::size_t i = 0; i < n; ++i) {
    const ByteView p = at(order[i]);
    if (p.back() == 0) continue;  // an end without a start: nft puts one at zero
    const ByteView from = p.first(width - 1);
    if (i + 1 == n) {
      table_.append_range(from, highest);
      break;
    }
    const auto last = predecessor(at(order[i + 1]).first(width - 1));
    if (last) table_.append_range(from, last->bytes());
  }
}

ElementTable ElementCollector::finish() {
  if (points_mode_) pair_points();
  points_ = {};
  table_.seal();
  return std::move(table_);
}

std::optional<Notice> parse_notice(const Message& m) {
  const auto kind = nft_message(m);
  const auto h = m.header<nfgenmsg>();
  if (!kind || !h) return std::nullopt;
  Notice out;
  out.message = *kind;
  if (*kind == NFT_MSG_NEWGEN) return out;
  out.family = h->nfgen_family;
  // In every message of nf_tables the first attribute type is the table's name, and but for
  // tables and chains the second is the name of what holds the object.
  static_assert(NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 && NFTA_SET_TABLE == 1 &&
                NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_TABLE_NAME == 1);
  static_assert(NFTA_RULE_CHAIN == 2 && NFTA_SET_NAME == 2 && NFTA_SET_ELEM_LIST_SET == 2);
  const bool chain = *kind == NFT_MSG_NEWCHAIN || *kind == NFT_MSG_DELCHAIN;
  const bool elements = *kind == NFT_MSG_NEWSETELEM || *kind == NFT_MSG_DELSETELEM;
  const bool table = *kind == NFT_MSG_NEWTABLE || *kind == NFT_MSG_DELTABLE;
  for (const Attr& a : attrs_of(m)) {
    if (a.type == 1) out.table = a.text();
    if (!table && a.type == (chain ? NFTA_CHAIN_NAME : 2)) out.object = a.text();
    if (elements && a.type == NFTA_SET_ELEM_LIST_ELEMENTS) out.elements = a.value;
    if (chain && a.type == NFTA_CHAIN_HOOK) out.hooked = true;
  }
  return out;
}

void for_each_key(ByteView elements, const std::function<void(ByteView key)>& f) {
  for (const Attr& e : Attrs(elements)) {
    const ByteView key = data_value(Attrs(e.value).find(NFTA_SET_ELEM_KEY));
    if (!key.empty()) f(key);
  }
}

std::optional<Generation> parse_generation(const Message& m) {
  if (nft_message(m) != NFT_MSG_NEWGEN) return std::nullopt;
  const Attrs attrs = attrs_of(m);
  const auto id = attrs.find(NFTA_GEN_ID);
  if (!id) return std::nullopt;
  const auto process = attrs.find(NFTA_GEN_PROC_PID);
  return Generation{id->be32(), process ? process->be32() : 0,
                    text_of(attrs.find(NFTA_GEN_PROC_NAME))};
}

}  // namespace margay::nft
