// SPDX-License-Identifier: Apache-2.0
#include "dataplane/policy/rules.h"

#include <algorithm>

#include "dataplane/nft/builder.h"
#include "dataplane/policy/lower.h"
#include "dataplane/policy/merge.h"

namespace margay::policy {

namespace {

using nft::Exprs;

// Up to so many copies of a rule with its alternatives multiplied out; beyond it, chains.
constexpr std::size_t kMaxCopies = 4;
constexpr std::uint32_t kLogInfo = 6;
constexpr std::size_t kMaxLogPrefix = 126;  // NF_LOG_PREFIXLEN without its zero, less one to spare

std::string numbers_text(const std::vector<unsigned>& numbers) {
  std::string out;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t j = i;
    while (j + 1 < numbers.size() && numbers[j + 1] == numbers[j] + 1) ++j;
    if (!out.empty()) out += ",";
    out += std::to_string(numbers[i]);
    if (j > i) out += "-" + std::to_string(numbers[j]);
    i = j + 1;
  }
  return out;
}

class Compiler {
 public:
  Compiler(std::span<const model::ActiveRule> rules, const RuleContext& context)
      : rules_(rules), c_(context), lowering_(context.shapes, out_.sets) {}

  CompiledRules run() {
    for (const model::ActiveRule& r : rules_) {
      if (r.never) continue;
      for (auto& id : lowering_.unknown_sets(r)) out_.unknown.push_back(std::move(id));
    }
    if (!out_.unknown.empty()) {
      out_.rules.push_back({deny_verdict(c_.stage, c_.config),
                            c_.owner + " denies: set " + out_.unknown.front() + " is unknown"});
      return std::move(out_);
    }
    for (const MergedRule& m : merge_rules(rules_)) add(m);
    return std::move(out_);
  }

 private:
  void add(const MergedRule& m) {
    if (!Lowering::needs_family(m)) {
      if (auto match = lowering_.lower(m, std::nullopt)) emit(m, *match);
      return;
    }
    for (const Family f : kFamilies) {
      if (auto match = lowering_.lower(m, f)) emit(m, *match);
    }
  }

  Exprs action(const MergedRule& m) const {
    switch (m.rule.action) {
      case model::Action::allow:
        return allow_verdict(c_.stage, c_.config);
      case model::Action::deny:
        return deny_verdict(c_.stage, c_.config);
      case model::Action::log:
        return nft::log(log_prefix(c_), kLogInfo);
      case model::Action::pass:
        return nft::return_();
    }
    return nft::drop();
  }

  std::string comment(const MergedRule& m) const {
    std::string text = c_.owner + " rule " + numbers_text(m.numbers);
    if (m.numbers.size() == 1) {
      const std::string& annotations = rules_[m.numbers.front() - 1].annotations;
      if (!annotations.empty()) text += " " + annotations;
    }
    if (text.size() > nft_comment_max) text.resize(nft_comment_max);
    // Whatever people write, `nft list ruleset` must stay a text that nft can read.
    std::ranges::replace_if(
        text, [](char c) { return c < ' ' || c > '~' || c == '"' || c == '\\'; }, '?');
    return text;
  }

  void emit(const MergedRule& m, const Match& match) {
    std::size_t copies = 1;
    for (const auto& choice : match.choices) copies *= choice.size();
    // Pass returns from the tier's chain, so it may not stand in a deeper one; and a log must not
    // write twice where two alternatives hold.
    const bool flat = m.rule.action == model::Action::pass ||
                      (copies <= kMaxCopies && m.rule.action != model::Action::log) || copies == 1;
    if (flat) {
      multiply(match, 0, match.all, m, out_.rules);
    } else {
      out_.rules.push_back({nft::join({match.all, nft::jump(gate(match, 0, m))}), comment(m)});
    }
  }

  void multiply(const Match& match, std::size_t level, const Exprs& so_far, const MergedRule& m,
                std::vector<nft::Rule>& into) {
    if (level == match.choices.size()) {
      into.push_back({nft::join({so_far, action(m)}), comment(m)});
      return;
    }
    for (const Exprs& alternative : match.choices[level]) {
      multiply(match, level + 1, nft::join({so_far, alternative}), m, into);
    }
  }

  // A chain in which each alternative of choice `level` goes on to the next one, and the last to
  // the action; returns its name. goto, so that a packet takes only the first that holds.
  std::string gate(const Match& match, std::size_t level, const MergedRule& m) {
    nft::Chain chain;
    chain.name = c_.chain + "/" + std::to_string(out_.chains.size() + 1);
    const std::size_t slot = out_.chains.size();
    out_.chains.push_back(chain);
    if (level == match.choices.size()) {
      chain.rules.push_back({action(m), comment(m)});
    } else {
      const bool last = level + 1 == match.choices.size();
      const bool direct = last && m.rule.action != model::Action::log;
      const Exprs then = direct ? action(m) : nft::goto_(gate(match, level + 1, m));
      // Said again in each rule, so that people's tools can tell addresses from other bytes.
      const Exprs family = match.family ? nft::family(*match.family) : Exprs{};
      for (const Exprs& alternative : match.choices[level]) {
        chain.rules.push_back({nft::join({family, alternative, then}), comment(m)});
      }
    }
    out_.chains[slot] = chain;
    return chain.name;
  }

  static constexpr std::size_t nft_comment_max = 127;
  std::span<const model::ActiveRule> rules_;
  const RuleContext& c_;
  CompiledRules out_;
  Lowering lowering_;
};

}  // namespace

CompiledRules compile_rules(std::span<const model::ActiveRule> rules, const RuleContext& context) {
  return Compiler(rules, context).run();
}

bool can_pass(std::span<const model::ActiveRule> rules) {
  return std::ranges::any_of(rules, [](const model::ActiveRule& r) {
    return r.action == model::Action::pass && !r.never;
  });
}

std::uint32_t settled_mark(const PolicyConfig& config) {
  constexpr std::uint32_t kKubeProxy = 0xc000;  // its two bits are never ours
  const std::uint32_t mask = config.mark_mask & ~kKubeProxy;
  return mask != 0 ? mask & (~mask + 1) : 0x10000;
}

nft::Exprs allow_verdict(Stage stage, const PolicyConfig& config) {
  const std::uint32_t mark = settled_mark(config);
  switch (stage) {
    case Stage::filter:
    case Stage::post_nat:
      return nft::accept();
    case Stage::pre_nat:
      return nft::join({nft::set_mark(mark, mark), nft::accept()});
    case Stage::untracked:
      return nft::join({nft::set_mark(mark, mark), nft::notrack(), nft::accept()});
  }
  return nft::drop();
}

nft::Exprs deny_verdict(Stage stage, const PolicyConfig& config) {
  const bool reject = config.deny == DenyAction::reject && stage == Stage::filter;
  return reject ? nft::reject() : nft::drop();
}

std::string log_prefix(const RuleContext& context) {
  std::string out;
  const std::string& text = context.config.log_prefix;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '%' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 't') {
      out += context.tier;
    } else if (next == 'k') {
      out += context.kind;
    } else if (next == 'n') {
      out += context.name;
    } else if (next == 'p') {
      out += context.ns.empty() ? context.name : context.ns + "/" + context.name;
    } else {
      out += text[i];
      continue;
    }
    ++i;
  }
  out += ": ";
  if (out.size() > kMaxLogPrefix) out.resize(kMaxLogPrefix);
  return out;
}

}  // namespace margay::policy
