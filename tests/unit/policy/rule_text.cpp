// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/policy/rule_text.h"

#include <map>

namespace margay::test {

namespace {

using namespace nft;

std::string address(std::span<const std::uint8_t> b, bool v6 = false) {
  if (b.size() == 4 || b.size() == 16) return Ip::from_bytes(b).to_string();
  std::vector<std::uint8_t> full(b.begin(), b.end());
  const std::size_t whole = v6 ? 16 : 4;
  full.resize(whole);
  return Ip::from_bytes(full).to_string() + "/" + std::to_string(b.size() * 8);
}

std::uint64_t number(const Packed& p, bool network_order) {
  std::uint64_t v = 0;
  const auto bytes = p.bytes();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    v = (v << 8) | bytes[network_order ? i : bytes.size() - 1 - i];
  }
  return v;
}

unsigned mask_length(const Packed& p) {
  unsigned n = 0;
  for (const std::uint8_t b : p.bytes()) n += static_cast<unsigned>(__builtin_popcount(b));
  return n;
}

class Text {
 public:
  std::string run(const std::vector<Expr>& exprs) {
    for (const Expr& e : exprs) std::visit([this](const auto& x) { add(x); }, e);
    return out_;
  }

 private:
  void say(const std::string& s) { out_ += out_.empty() ? s : " " + s; }
  // Registers hold a description of what was loaded; concatenations take successive ones.
  std::string held(Reg r) {
    std::string s;
    for (auto it = regs_.lower_bound(r.index); it != regs_.end(); ++it) {
      s += s.empty() ? it->second : " . " + it->second;
    }
    regs_.clear();
    return s;
  }
  void load(Reg r, std::string what) { regs_[r.index] = std::move(what); }

  void add(const MetaLoad& m) {
    static const std::map<MetaKey, std::string> names{
        {MetaKey::iifname, "iif"}, {MetaKey::oifname, "oif"},   {MetaKey::mark, "mark"},
        {MetaKey::nfproto, "nf"},  {MetaKey::l4proto, "proto"},
    };
    load(m.dst, names.at(m.key));
  }
  void add(const MetaSet&) { say("set " + held(Reg{0})); }
  void add(const PayloadLoad& p) {
    std::string name = "payload";
    if (p.base == PayloadBase::network) {
      if (p.offset == 12 || p.offset == 8) name = "saddr";
      if (p.offset == 16 || p.offset == 24) name = "daddr";
    } else if (p.length == 2) {
      name = p.offset == 0 ? "sport" : "dport";
    } else {
      name = p.offset == 0 ? "icmp-type" : "icmp-code";
    }
    load(p.dst, name);
  }
  void add(const PayloadSet&) { say("payload set"); }
  void add(const CtLoad& c) { load(c.dst, c.key == CtKey::state ? "state" : "status"); }
  void add(const CtSet&) { say("ct set"); }
  void add(const Fib& f) {
    load(f.dst, std::string("fib ") + (f.flags & kFibSaddr ? "saddr" : "daddr") +
                    (f.flags & kFibOif ? ".oif" : ""));
  }
  void add(const Cmp& c) {
    const std::string what = held(c.src);
    const std::string op = c.op == CmpOp::eq ? " " : " != ";
    std::string value;
    if (what == "nf") {
      v6_ = number(c.value, true) != 2;
      return say(v6_ ? "v6" : "v4");
    } else if (what.starts_with("saddr") || what.starts_with("daddr")) {
      value = address(c.value.bytes(), v6_);
    } else if (what == "iif" || what == "oif") {
      const auto b = c.value.bytes();
      value.assign(b.begin(), b.end());
      if (b.size() < 16) value += "*";
      value = value.substr(0, value.find('\0'));
    } else if (what.starts_with("state&") || what.starts_with("status&")) {
      return say((c.op == CmpOp::eq ? "not " : "") + what);
    } else if (what.starts_with("mark&")) {
      value = std::to_string(number(c.value, false) >> 16);
    } else if (what.starts_with("fib")) {
      value = std::to_string(number(c.value, false));
    } else {
      value = std::to_string(number(c.value, true));
    }
    say(what + op + value);
  }
  void add(const Range& r) {
    say(held(r.src) + (r.inverted ? " != " : " ") + std::to_string(number(r.from, true)) + "-" +
        std::to_string(number(r.to, true)));
  }
  void add(const Bitwise& b) {
    std::string& what = regs_[b.dst.index];
    if (what.starts_with("saddr") || what.starts_with("daddr")) {
      what += "/" + std::to_string(mask_length(b.mask));
    } else if (what == "mark") {
      what += "&" + std::to_string(number(b.mask, false) >> 16) + "^" +
              std::to_string(number(b.xor_with, false) >> 16);
    } else {
      what += "&" + std::to_string(number(b.mask, false));
    }
  }
  void add(const Lookup& l) {
    say(held(l.src) + (l.inverted ? " != @" : l.verdict ? " vmap @" : " @") + l.set);
  }
  void add(const Verdict& v) {
    static const std::map<Verdict::Code, std::string> names{
        {Verdict::Code::drop, "drop"},      {Verdict::Code::accept, "accept"},
        {Verdict::Code::jump, "jump "},     {Verdict::Code::goto_, "goto "},
        {Verdict::Code::return_, "return"}, {Verdict::Code::continue_, "continue"},
    };
    say(names.at(v.code) + v.chain);
  }
  void add(const Immediate& i) {
    load(i.dst,
         i.value.size() == 2 ? std::to_string(number(i.value, true)) : address(i.value.bytes()));
  }
  void add(const Counter&) { say("counter"); }
  void add(const Log& l) { say("log '" + l.prefix + "'"); }
  void add(const Limit&) { say("limit"); }
  void add(const ConnLimit&) { say("connlimit"); }
  void add(const Masquerade& m) {
    say("masquerade" + (m.port_min ? " " + held(*m.port_min) : std::string()));
  }
  void add(const Nat& n) {
    say((n.kind == Nat::Kind::dnat ? "dnat " : "snat ") + held(n.address.value()));
  }
  void add(const Notrack&) { say("notrack"); }
  void add(const Reject&) { say("reject"); }

  std::string out_;
  bool v6_ = false;  // the family matched last
  std::map<unsigned, std::string> regs_;
};

}  // namespace

std::string to_text(const std::vector<Expr>& exprs) { return Text().run(exprs); }

std::vector<std::string> to_lines(const std::vector<Rule>& rules) {
  std::vector<std::string> out;
  for (const Rule& r : rules) out.push_back(to_text(r.exprs));
  return out;
}

}  // namespace margay::test
