// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/batch.h"

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <memory>

#include "dataplane/nft/kernel.h"

namespace margay::nft {

namespace {

// Enough for any definition of a table, chain or set: two names and a dozen numbers.
constexpr std::size_t kDefinitionRoom = 2048;
// A nested attribute's length is 16 bits; one more element always fits below that.
constexpr std::size_t kMaxList = 60'000;

template <auto F>
struct Free {
  template <typename T>
  void operator()(T* p) const {
    F(p);
  }
};
using TablePtr = std::unique_ptr<nftnl_table, Free<nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Free<nftnl_chain_free>>;
using SetPtr = std::unique_ptr<nftnl_set, Free<nftnl_set_free>>;
using UdataPtr = std::unique_ptr<nftnl_udata_buf, Free<nftnl_udata_buf_free>>;

const char* type_name(ChainType t) {
  switch (t) {
    case ChainType::filter:
      return "filter";
    case ChainType::nat:
      return "nat";
    case ChainType::route:
      return "route";
  }
  return "";
}

// libnftnl builds in place, into zeroed room at the writer's end.
template <typename F>
void build(netlink::Writer& out, unsigned message, unsigned flags, std::uint32_t seq, F&& payload) {
  void* at = out.reserve(kDefinitionRoom);
  nlmsghdr* h = nftnl_nlmsg_build_hdr(static_cast<char*>(at), static_cast<std::uint16_t>(message),
                                      NFPROTO_INET, static_cast<std::uint16_t>(flags), seq);
  payload(h);
  out.commit(kDefinitionRoom, h->nlmsg_len);
}

// nft's words for the byte order of keys and values: without them it shows marks reversed.
constexpr std::uint32_t kByteOrderHost = 1, kByteOrderBig = 2;
std::uint32_t byte_order(Datatype t) {
  switch (t) {
    case Datatype::ifname:
    case Datatype::mark:
    case Datatype::integer:
      return kByteOrderHost;
    case Datatype::verdict:
      return 0;  // nft aborts on a verdict map with any other
    case Datatype::ipv4_addr:
    case Datatype::ipv6_addr:
    case Datatype::inet_proto:
    case Datatype::inet_service:
    case Datatype::icmp_type:
    case Datatype::icmpv6_type:
      return kByteOrderBig;
  }
  return 0;
}

void put_byte_order(nftnl_set* s, const SetType& type) {
  constexpr std::uint32_t kRoom = 64;
  const UdataPtr u(nftnl_udata_buf_alloc(kRoom));
  (void)nftnl_udata_put_u32(u.get(), NFTNL_UDATA_SET_KEYBYTEORDER,
                            type.key.size() == 1 ? byte_order(type.key[0]) : 0);
  if (type.value) {
    (void)nftnl_udata_put_u32(u.get(), NFTNL_UDATA_SET_DATABYTEORDER, byte_order(*type.value));
  }
  nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u.get()),
                     nftnl_udata_buf_len(u.get()));
}

}  // namespace

static_assert(kInetFamily == NFPROTO_INET);

void begin_request(netlink::Writer& w, unsigned message, unsigned flags, std::uint32_t seq,
                   std::uint8_t family) {
  w.begin(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message),
          static_cast<std::uint16_t>(NLM_F_REQUEST | flags), seq);
  nfgenmsg h{};
  h.nfgen_family = family;
  h.version = NFNETLINK_V0;
  w.put(h);
}

void open_transaction(netlink::Writer& w, std::uint32_t seq) {
  constexpr std::size_t kRoom = 64;
  void* at = w.reserve(kRoom);
  w.commit(kRoom, nftnl_batch_begin(static_cast<char*>(at), seq)->nlmsg_len);
}

void close_transaction(netlink::Writer& w, std::uint32_t seq) {
  constexpr std::size_t kRoom = 64;
  void* at = w.reserve(kRoom);
  w.commit(kRoom, nftnl_batch_end(static_cast<char*>(at), seq)->nlmsg_len);
}

Batch::Batch(std::string table) : table_(std::move(table)) {}

std::uint32_t Batch::note(Kind kind, const std::string* object, bool removal, std::size_t index) {
  owners_.push_back({kind, object, index, removal, out_.size()});
  return ++seq_;
}

void Batch::start(Kind kind, const std::string* object, unsigned message, unsigned flags,
                  bool removal, std::size_t index) {
  begin_request(out_, message, flags, note(kind, object, removal, index));
}

void Batch::begin() {
  out_.clear();
  owners_.clear();
  first_seq_ = seq_ + 1;
  set_id_ = 0;
  open_transaction(out_, note(Kind::frame, nullptr, false, 0));
}

void Batch::finish() { close_transaction(out_, ++seq_); }

void Batch::release_memory() {
  out_ = {};
  owners_ = {};
}

void Batch::add_table() {
  const std::uint32_t seq = note(Kind::table, nullptr, false, 0);
  const TablePtr t(nftnl_table_alloc());
  nftnl_table_set_str(t.get(), NFTNL_TABLE_NAME, table_.c_str());
  build(out_, NFT_MSG_NEWTABLE, NLM_F_CREATE, seq,
        [&](nlmsghdr* h) { nftnl_table_nlmsg_build_payload(h, t.get()); });
}

void Batch::delete_table() {
  const std::uint32_t seq = note(Kind::table, nullptr, true, 0);
  const TablePtr t(nftnl_table_alloc());
  nftnl_table_set_str(t.get(), NFTNL_TABLE_NAME, table_.c_str());
  build(out_, NFT_MSG_DELTABLE, 0, seq,
        [&](nlmsghdr* h) { nftnl_table_nlmsg_build_payload(h, t.get()); });
}

void Batch::add_chain(const std::string& name, const std::optional<BaseChain>& base) {
  const std::uint32_t seq = note(Kind::chain, &name, false, 0);
  const ChainPtr c(nftnl_chain_alloc());
  nftnl_chain_set_str(c.get(), NFTNL_CHAIN_TABLE, table_.c_str());
  nftnl_chain_set_str(c.get(), NFTNL_CHAIN_NAME, name.c_str());
  if (base) {
    nftnl_chain_set_str(c.get(), NFTNL_CHAIN_TYPE, type_name(base->type));
    nftnl_chain_set_u32(c.get(), NFTNL_CHAIN_HOOKNUM, static_cast<std::uint32_t>(base->hook));
    nftnl_chain_set_s32(c.get(), NFTNL_CHAIN_PRIO, base->priority);
    nftnl_chain_set_u32(c.get(), NFTNL_CHAIN_POLICY, base->drop_policy ? NF_DROP : NF_ACCEPT);
  }
  build(out_, NFT_MSG_NEWCHAIN, NLM_F_CREATE, seq,
        [&](nlmsghdr* h) { nftnl_chain_nlmsg_build_payload(h, c.get()); });
}

void Batch::delete_chain(const std::string& name) {
  start(Kind::chain, &name, NFT_MSG_DELCHAIN, 0, true);
  out_.attr_string(NFTA_CHAIN_TABLE, table_);
  out_.attr_string(NFTA_CHAIN_NAME, name);
  out_.end();
}

void Batch::flush_chain(const std::string& name) {
  start(Kind::rule, &name, NFT_MSG_DELRULE, 0, true);
  out_.attr_string(NFTA_RULE_TABLE, table_);
  out_.attr_string(NFTA_RULE_CHAIN, name);
  out_.end();
}

void Batch::add_rule(const std::string& chain, const EncodedRule& rule, std::size_t index,
                     std::optional<std::uint64_t> before) {
  // Without APPEND a position means "before it". The echo tells the new rule's handle.
  const unsigned flags = NLM_F_CREATE | NLM_F_ECHO | (before ? 0U : unsigned{NLM_F_APPEND});
  start(Kind::rule, &chain, NFT_MSG_NEWRULE, flags, false, index);
  out_.attr_string(NFTA_RULE_TABLE, table_);
  out_.attr_string(NFTA_RULE_CHAIN, chain);
  if (before) out_.attr_be64(NFTA_RULE_POSITION, *before);
  out_.attr(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, rule.exprs);
  if (!rule.userdata.empty()) out_.attr(NFTA_RULE_USERDATA, rule.userdata);
  out_.end();
}

void Batch::delete_rule(const std::string& chain, std::uint64_t handle) {
  start(Kind::rule, &chain, NFT_MSG_DELRULE, 0, true);
  out_.attr_string(NFTA_RULE_TABLE, table_);
  out_.attr_string(NFTA_RULE_CHAIN, chain);
  out_.attr_be64(NFTA_RULE_HANDLE, handle);
  out_.end();
}

void Batch::add_set(const std::string& name, const SetType& type) {
  const std::uint32_t seq = note(Kind::set, &name, false, 0);
  const SetHeader header = header_of(type);
  const SetPtr s(nftnl_set_alloc());
  nftnl_set_set_str(s.get(), NFTNL_SET_TABLE, table_.c_str());
  nftnl_set_set_str(s.get(), NFTNL_SET_NAME, name.c_str());
  nftnl_set_set_u32(s.get(), NFTNL_SET_ID, ++set_id_);
  nftnl_set_set_u32(s.get(), NFTNL_SET_FLAGS, header.flags);
  nftnl_set_set_u32(s.get(), NFTNL_SET_KEY_TYPE, header.key_type);
  nftnl_set_set_u32(s.get(), NFTNL_SET_KEY_LEN, header.key_length);
  if (type.value) {
    nftnl_set_set_u32(s.get(), NFTNL_SET_DATA_TYPE, header.data_type);
    nftnl_set_set_u32(s.get(), NFTNL_SET_DATA_LEN, header.data_length);
  }
  if (!header.fields.empty()) {
    std::vector<std::uint8_t> lengths(header.fields.begin(), header.fields.end());
    nftnl_set_set_data(s.get(), NFTNL_SET_DESC_CONCAT, lengths.data(),
                       static_cast<std::uint32_t>(lengths.size()));
  }
  put_byte_order(s.get(), type);
  build(out_, NFT_MSG_NEWSET, NLM_F_CREATE, seq,
        [&](nlmsghdr* h) { nftnl_set_nlmsg_build_payload(h, s.get()); });
}

void Batch::delete_set(const std::string& name) {
  start(Kind::set, &name, NFT_MSG_DELSET, 0, true);
  out_.attr_string(NFTA_SET_TABLE, table_);
  out_.attr_string(NFTA_SET_NAME, name);
  out_.end();
}

void Batch::add_elements(const std::string& set, const SetType& type, const ElementTable& table,
                         std::size_t first, std::size_t last) {
  elements(set, type, table, first, last, false);
}

void Batch::remove_elements(const std::string& set, const SetType& type, const ElementTable& table,
                            std::size_t first, std::size_t last) {
  elements(set, type, table, first, last, true);
}

void Batch::elements(const std::string& set, const SetType& type, const ElementTable& table,
                     std::size_t first, std::size_t last, bool removal) {
  while (first < last) {
    start(Kind::elements, &set, removal ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
          removal ? 0U : unsigned{NLM_F_CREATE}, removal, first);
    out_.attr_string(NFTA_SET_ELEM_LIST_TABLE, table_);
    out_.attr_string(NFTA_SET_ELEM_LIST_SET, set);
    const auto list = out_.begin_nested(NFTA_SET_ELEM_LIST_ELEMENTS);
    while (first < last && out_.nested_size(list) < kMaxList) {
      put_element(type, table, first++, removal);
    }
    out_.end_nested(list);
    out_.end();
  }
}

void Batch::put_key(std::uint16_t type, ByteView key) {
  const auto nest = out_.begin_nested(type);
  out_.attr(NFTA_DATA_VALUE, key);
  out_.end_nested(nest);
}

void Batch::put_element(const SetType& type, const ElementTable& table, std::size_t i,
                        bool removal) {
  const bool points = type.interval && type.key.size() == 1;
  const auto elem = out_.begin_nested(NFTA_LIST_ELEM);
  put_key(NFTA_SET_ELEM_KEY, table.key(i));
  if (type.interval && !points) put_key(NFTA_SET_ELEM_KEY_END, table.key_end(i));
  if (type.value && !removal) {
    const auto nest = out_.begin_nested(NFTA_SET_ELEM_DATA);
    if (type.is_verdict_map()) {
      put_verdict(out_, table.verdict(i));
    } else {
      out_.attr(NFTA_DATA_VALUE, table.value(i));
    }
    out_.end_nested(nest);
  }
  out_.end_nested(elem);
  if (!points) return;
  // A range of one field is two elements: its first key, and the key behind its last one (none
  // when the range reaches the end of the space).
  if (const auto behind = successor(table.key_end(i))) {
    const auto end = out_.begin_nested(NFTA_LIST_ELEM);
    put_key(NFTA_SET_ELEM_KEY, behind->bytes());
    out_.attr_be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    out_.end_nested(end);
  }
}

const Batch::Owner* Batch::owner(std::uint32_t seq) const {
  const std::uint32_t i = seq - first_seq_;
  return i < owners_.size() ? &owners_[i] : nullptr;
}

std::optional<std::size_t> Batch::element_at(const Owner& o, const SetType& type,
                                             std::uint32_t bad_offset) const {
  if (o.kind != Kind::elements || bad_offset == 0) return std::nullopt;
  ByteView rest = bytes().subspan(o.offset);
  const ByteView message = rest;
  const auto m = netlink::next_message(rest);
  if (!m) return std::nullopt;
  const auto list = m->attrs<nfgenmsg>().find(NFTA_SET_ELEM_LIST_ELEMENTS);
  if (!list) return std::nullopt;
  const bool points = type.interval && type.key.size() == 1;
  std::size_t i = 0;
  bool any = false;
  for (const netlink::Attr& e : netlink::Attrs(list->value)) {
    const auto flags = netlink::Attrs(e.value).find(NFTA_SET_ELEM_FLAGS);
    const bool is_end = points && flags.has_value();
    if (any && !is_end) ++i;
    any = true;
    const auto end = static_cast<std::size_t>(e.value.data() + e.value.size() - message.data());
    if (bad_offset < end) return o.index + i;
  }
  return std::nullopt;
}

}  // namespace margay::nft
