// SPDX-License-Identifier: Apache-2.0
#include "dataplane/foreign/nft_filters.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "dataplane/foreign/extensions.h"
#include "dataplane/nft/batch.h"
#include "dataplane/nft/builder.h"
#include "dataplane/nft/encode.h"
#include "dataplane/nft/kernel.h"

namespace margay::foreign {
namespace {

using netlink::Attr;
using netlink::Attrs;
using netlink::ByteView;
using netlink::Message;
using netlink::Writer;

std::optional<Families> families_of(std::uint8_t family) {
  switch (family) {
    case NFPROTO_INET:
      return Families::both;
    case NFPROTO_IPV4:
      return Families::v4;
    case NFPROTO_IPV6:
      return Families::v6;
  }
  return std::nullopt;
}

std::uint8_t number_of(Families f) {
  switch (f) {
    case Families::both:
      return NFPROTO_INET;
    case Families::v4:
      return NFPROTO_IPV4;
    case Families::v6:
      return NFPROTO_IPV6;
  }
  return NFPROTO_UNSPEC;
}

Attrs attrs_of(const Message& m) { return m.attrs<nfgenmsg>(); }

std::string_view text_at(const Attrs& attrs, std::uint16_t type) {
  const auto a = attrs.find(type);
  return a ? a->text() : std::string_view{};
}

std::uint32_t number_at(const Attrs& attrs, std::uint16_t type) {
  const auto a = attrs.find(type);
  return a ? a->be32() : 0;
}

// Follows the expressions of a rule, with what the registers hold.
class RuleReader {
 public:
  Rule read(ByteView exprs) {
    for (const Attr& e : Attrs(exprs)) {
      const auto data = Attrs(e.value).find(NFTA_EXPR_DATA);
      expression(text_at(Attrs(e.value), NFTA_EXPR_NAME), Attrs(data ? data->value : ByteView{}));
    }
    return std::move(rule_);
  }

 private:
  enum class Held { unknown, in, out, family, protocol, port };
  using Handler = void (RuleReader::*)(const Attrs&);
  struct Kind {
    std::string_view name;
    Handler handler;
  };

  void expression(std::string_view name, const Attrs& data) {
    static constexpr std::array kKinds{
        Kind{"meta", &RuleReader::meta},      Kind{"payload", &RuleReader::payload},
        Kind{"cmp", &RuleReader::compare},    Kind{"immediate", &RuleReader::immediate},
        Kind{"match", &RuleReader::match},    Kind{"target", &RuleReader::target},
        Kind{"reject", &RuleReader::reject},  Kind{"counter", &RuleReader::nothing},
        Kind{"log", &RuleReader::nothing},    Kind{"notrack", &RuleReader::nothing},
        Kind{"objref", &RuleReader::nothing},
    };
    const auto it = std::ranges::find(kKinds, name, &Kind::name);
    if (it == kKinds.end()) {
      rule_.more = true;
      return;
    }
    (this->*it->handler)(data);
  }

  void nothing(const Attrs&) {}
  void reject(const Attrs&) { rule_.verdict = Rule::Verdict::drop; }

  void hold(const Attrs& data, std::uint16_t type, Held held) {
    const std::uint32_t r = number_at(data, type);
    if (r < held_.size()) held_[r] = held;
  }

  void meta(const Attrs& data) {
    if (!data.find(NFTA_META_DREG)) return;  // sets something
    Held held = Held::unknown;
    switch (number_at(data, NFTA_META_KEY)) {
      case NFT_META_IIFNAME:
        held = Held::in;
        break;
      case NFT_META_OIFNAME:
        held = Held::out;
        break;
      case NFT_META_NFPROTO:
        held = Held::family;
        break;
      case NFT_META_L4PROTO:
        held = Held::protocol;
        break;
      default:
        break;
    }
    hold(data, NFTA_META_DREG, held);
  }

  void payload(const Attrs& data) {
    if (!data.find(NFTA_PAYLOAD_DREG)) return;
    const std::uint32_t base = number_at(data, NFTA_PAYLOAD_BASE);
    const std::uint32_t offset = number_at(data, NFTA_PAYLOAD_OFFSET);
    const std::uint32_t length = number_at(data, NFTA_PAYLOAD_LEN);
    constexpr std::uint32_t kIpProtocol = 9, kNextHeader = 6;
    Held held = Held::unknown;
    if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && length == 2) held = Held::port;
    if (base == NFT_PAYLOAD_NETWORK_HEADER && length == 1 &&
        (offset == kIpProtocol || offset == kNextHeader)) {
      held = Held::protocol;
    }
    hold(data, NFTA_PAYLOAD_DREG, held);
  }

  void compare(const Attrs& data) {
    const std::uint32_t r = number_at(data, NFTA_CMP_SREG);
    const auto held = r < held_.size() ? held_[r] : Held::unknown;
    const auto wrapped = data.find(NFTA_CMP_DATA);
    const auto value = wrapped ? Attrs(wrapped->value).find(NFTA_DATA_VALUE) : std::nullopt;
    if (number_at(data, NFTA_CMP_OP) != NFT_CMP_EQ || !value || value->value.empty()) {
      rule_.more = true;
      return;
    }
    const ByteView v = value->value;
    switch (held) {
      case Held::in:
        return name(rule_.match.in, v);
      case Held::out:
        return name(rule_.match.out, v);
      case Held::family:
        return family(v[0]);
      case Held::protocol:
        rule_.match.protocol = v[0];
        return;
      case Held::port:
        if (v.size() == 2) rule_.match.port = static_cast<std::uint16_t>(v[0] << 8 | v[1]);
        return;
      case Held::unknown:
        rule_.more = true;
        return;
    }
  }

  // Without a final zero only the beginning is compared.
  void name(std::optional<std::string>& pattern, ByteView v) {
    if (pattern) rule_.more = true;
    const std::string_view text = text_in(v);
    pattern = std::string(text) + (text.size() == v.size() ? "*" : "");
  }

  void family(std::uint8_t number) {
    if (number == NFPROTO_IPV4) rule_.family = Family::v4;
    if (number == NFPROTO_IPV6) rule_.family = Family::v6;
    if (!rule_.family) rule_.more = true;
  }

  void immediate(const Attrs& data) {
    const auto wrapped = data.find(NFTA_IMMEDIATE_DATA);
    const auto verdict = wrapped ? Attrs(wrapped->value).find(NFTA_DATA_VERDICT) : std::nullopt;
    if (!verdict) return;
    const Attrs v(verdict->value);
    rule_.target = std::string(text_at(v, NFTA_VERDICT_CHAIN));
    switch (static_cast<std::int32_t>(number_at(v, NFTA_VERDICT_CODE))) {
      case NF_ACCEPT:
        rule_.verdict = Rule::Verdict::accept;
        break;
      case NF_DROP:
        rule_.verdict = Rule::Verdict::drop;
        break;
      case NFT_RETURN:
        rule_.verdict = Rule::Verdict::return_;
        break;
      case NFT_JUMP:
        rule_.verdict = Rule::Verdict::jump;
        break;
      case NFT_GOTO:
        rule_.verdict = Rule::Verdict::goto_;
        break;
      default:
        break;
    }
  }

  void match(const Attrs& data) {
    const auto info = data.find(NFTA_MATCH_INFO);
    add_match(text_at(data, NFTA_MATCH_NAME), info ? info->value : ByteView{}, rule_);
  }
  void target(const Attrs& data) {
    const auto verdict = verdict_of_target(text_at(data, NFTA_TARGET_NAME));
    if (verdict != Rule::Verdict::none) rule_.verdict = verdict;
  }

  Rule rule_;
  std::array<Held, NFT_REG32_15 + 1> held_{};
};

// nft's comment among the user data: type, length, text.
void read_userdata(ByteView userdata, Rule& rule) {
  constexpr std::uint8_t kCommentType = 0;
  while (userdata.size() >= 2) {
    const std::size_t length = userdata[1];
    if (userdata.size() < 2 + length) return;
    if (userdata[0] == kCommentType) add_comment(text_in(userdata.subspan(2, length)), rule);
    userdata = userdata.subspan(2 + length);
  }
}

std::optional<Base> base_of(const Attrs& chain) {
  const auto hook = chain.find(NFTA_CHAIN_HOOK);
  if (!hook) return std::nullopt;
  const Attrs in(hook->value);
  const std::uint32_t number = number_at(in, NFTA_HOOK_HOOKNUM);
  // Address translation sees the first packet of a flow only, and is not there to drop it.
  if (number > NF_INET_POST_ROUTING || text_at(chain, NFTA_CHAIN_TYPE) == "nat")
    return std::nullopt;
  const auto policy = chain.find(NFTA_CHAIN_POLICY);
  return Base{static_cast<Hook>(number),
              static_cast<std::int32_t>(number_at(in, NFTA_HOOK_PRIORITY)),
              policy && policy->be32() == NF_DROP};
}

nft::Rule accept_rule(const Traits& t) {
  nft::Rule out = nft::rule({}, std::string(kComment) + " is Accept");
  const auto add = [&](nft::Exprs e) { out.exprs.insert(out.exprs.end(), e.begin(), e.end()); };
  if (t.in) add(nft::iifname(*t.in));
  if (t.out) add(nft::oifname(*t.out));
  if (t.protocol) add(nft::l4proto(*t.protocol));
  if (t.port) add(nft::port(nft::Direction::destination, *t.port));
  add(nft::counter());
  add(nft::accept());
  return out;
}

}  // namespace

std::optional<Rule> parse_nft_rule(const Message& m, std::string& chain) {
  if (nft::nft_message(m) != NFT_MSG_NEWRULE) return std::nullopt;
  const Attrs attrs = attrs_of(m);
  chain = std::string(text_at(attrs, NFTA_RULE_CHAIN));
  const auto exprs = attrs.find(NFTA_RULE_EXPRESSIONS);
  Rule out = RuleReader().read(exprs ? exprs->value : ByteView{});
  if (const auto u = attrs.find(NFTA_RULE_USERDATA)) read_userdata(u->value, out);
  if (const auto h = attrs.find(NFTA_RULE_HANDLE)) out.handle = h->be64();
  return out;
}

Result<NftFilters> NftFilters::open(std::vector<std::string> own) {
  MARGAY_TRY(auto socket, netlink::Socket::open(NETLINK_NETFILTER));
  return NftFilters(std::move(socket), std::move(own));
}

// The kernel cannot be asked for base chains only: of all others no more than the name is looked
// at.
Result<std::vector<Table>> NftFilters::read_chains() {
  std::map<std::pair<std::uint8_t, std::string>, Table> found;
  const auto done = socket_.dump_retry(
      [&](Writer& w, std::uint32_t seq) {
        found.clear();
        nft::begin_request(w, NFT_MSG_GETCHAIN, NLM_F_DUMP, seq, NFPROTO_UNSPEC);
        w.end();
      },
      [&](const Message& m) {
        const nfgenmsg h = m.header<nfgenmsg>().value_or(nfgenmsg{});
        const auto families = families_of(h.nfgen_family);
        const Attrs attrs = attrs_of(m);
        const std::string_view table = text_at(attrs, NFTA_CHAIN_TABLE);
        const std::string_view chain = text_at(attrs, NFTA_CHAIN_NAME);
        if (!families || table.empty() || chain.empty()) return;
        if (families == Families::both && std::ranges::find(own_, table) != own_.end()) return;
        const auto base = base_of(attrs);
        const std::string_view manager = manager_of_chain(chain);
        if (!base && manager.empty() && !is_user_chain(chain)) return;
        Table& t = found[{h.nfgen_family, std::string(table)}];
        t.families = *families;
        t.name = std::string(table);
        if (!manager.empty()) t.managers.emplace(manager);
        if (base || is_user_chain(chain)) t.chains[std::string(chain)].base = base;
      });
  MARGAY_CHECK(done);
  std::vector<Table> out;
  for (auto& [key, t] : found) {
    if (const auto manager = manager_of_table(t.name); !manager.empty())
      t.managers.emplace(manager);
    out.push_back(std::move(t));
  }
  return out;
}

Result<void> NftFilters::read_rules(Table& table, const std::string& chain) {
  auto done = socket_.dump_retry(
      [&](Writer& w, std::uint32_t seq) {
        table.chains[chain].rules.clear();
        nft::begin_request(w, NFT_MSG_GETRULE, NLM_F_DUMP, seq, number_of(table.families));
        w.attr_string(NFTA_RULE_TABLE, table.name);
        w.attr_string(NFTA_RULE_CHAIN, chain);
        w.end();
      },
      [&](const Message& m) {
        std::string of;
        auto r = parse_nft_rule(m, of);
        if (r && of == chain) table.chains[chain].rules.push_back(std::move(*r));
      });
  if (!done.ok() && done.error().sys_errno == ENOENT) return {};  // gone meanwhile
  return done;
}

Result<std::vector<Table>> NftFilters::read() {
  MARGAY_TRY(auto tables, read_chains());
  for (Table& t : tables) {
    std::vector<std::string> left;
    for (const auto& [name, chain] : t.chains) left.push_back(name);
    while (!left.empty()) {
      const std::string name = std::move(left.back());
      left.pop_back();
      MARGAY_CHECK(read_rules(t, name));
      for (const Rule& r : t.chains[name].rules) {
        const bool follows =
            (r.verdict == Rule::Verdict::jump || r.verdict == Rule::Verdict::goto_) && !r.more &&
            !t.chains.contains(r.target);
        if (!follows) continue;
        t.chains[r.target];
        left.push_back(r.target);
      }
    }
  }
  return tables;
}

Result<void> NftFilters::apply(const Table& table, const Edit& edit) {
  Writer w;
  const std::uint8_t family = number_of(table.families);
  nft::open_transaction(w, socket_.next_seq());
  for (const auto& [chain, handle] : edit.remove) {
    nft::begin_request(w, NFT_MSG_DELRULE, 0, socket_.next_seq(), family);
    w.attr_string(NFTA_RULE_TABLE, table.name);
    w.attr_string(NFTA_RULE_CHAIN, chain);
    w.attr_be64(NFTA_RULE_HANDLE, handle);
    w.end();
  }
  for (const Accept& a : edit.insert) {
    nft::References ignored;
    const nft::EncodedRule rule = nft::encode(accept_rule(a.match), ignored);
    // Neither APPEND nor a position: before all other rules.
    nft::begin_request(w, NFT_MSG_NEWRULE, NLM_F_CREATE, socket_.next_seq(), family);
    w.attr_string(NFTA_RULE_TABLE, table.name);
    w.attr_string(NFTA_RULE_CHAIN, a.chain);
    w.attr(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, rule.exprs);
    w.attr(NFTA_RULE_USERDATA, rule.userdata);
    w.end();
  }
  nft::close_transaction(w, socket_.next_seq());
  MARGAY_TRY(const auto refused, socket_.transact(w.bytes()));
  if (refused.empty()) return {};
  const std::string described = describe_table(table.backend, table.families, table.name);
  if (refused.front().sys_errno == EPERM) {
    return make_error(Code::refused,
                      described + ": its owner, a running process, keeps others out of it");
  }
  return sys_error(refused.front().sys_errno, described);
}

}  // namespace margay::foreign
