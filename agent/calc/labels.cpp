// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/labels.h"

#include <functional>

#include "base/result.h"

namespace margay::calc {
namespace {

using Op = model::SelectorNode::Op;

std::size_t hash_text(std::string_view text) { return std::hash<std::string_view>{}(text); }

std::size_t hash_pair(KeyId key, std::string_view value) {
  return hash_text(value) ^ (std::size_t{key} + 1) * 0xff51afd7ed558ccdULL;
}

// How an operator stands in compiled code, by what follows it.
enum class Form {
  constant,    // nothing
  prefix,      // one operand
  group,       // the end of its operands, then the operands
  comparison,  // key, number of values, the pairs of the key with each value
};

constexpr Form form(Op op) {
  switch (op) {
    case Op::all:
    case Op::global:
      return Form::constant;
    case Op::negation:
      return Form::prefix;
    case Op::conjunction:
    case Op::disjunction:
      return Form::group;
    case Op::has:
    case Op::eq:
    case Op::ne:
    case Op::in:
    case Op::not_in:
    case Op::contains:
    case Op::starts_with:
    case Op::ends_with:
      break;
  }
  return Form::comparison;
}

}  // namespace

std::uint32_t Interner::acquire(std::string_view text) {
  std::uint32_t id = find(text);
  if (id == kNone) {
    id = entries_.take();
    entries_[id].text = text;
    table_.insert(id, hash_text(text));
  }
  ++entries_[id].refs;
  return id;
}

void Interner::release(std::uint32_t id) {
  MARGAY_ASSERT(entries_[id].refs > 0);
  if (--entries_[id].refs != 0) return;
  table_.erase(id, hash_text(entries_[id].text));
  entries_.give_back(id);
}

std::uint32_t Interner::find(std::string_view text) const {
  return table_.find(hash_text(text), [&](std::uint32_t i) { return entries_[i].text == text; });
}

PairId LabelTable::acquire(std::string_view key, std::string_view value) {
  const KeyId key_id = keys_.acquire(key);
  const std::size_t hash = hash_pair(key_id, value);
  PairId id = table_.find(hash, [&](PairId i) {
    return pairs_[i].key == key_id && pairs_[i].value == value;
  });
  if (id == kNone) {
    id = pairs_.take();
    pairs_[id].key = key_id;  // keeps the reference taken above
    pairs_[id].value = value;
    table_.insert(id, hash);
  } else {
    keys_.release(key_id);
  }
  ++pairs_[id].refs;
  return id;
}

void LabelTable::release(PairId id) {
  MARGAY_ASSERT(pairs_[id].refs > 0);
  if (--pairs_[id].refs != 0) return;
  table_.erase(id, hash_pair(pairs_[id].key, pairs_[id].value));
  keys_.release(pairs_[id].key);
  pairs_.give_back(id);
}

CompiledSelector::CompiledSelector(const model::Selector& selector, LabelTable& labels) {
  compile(selector.root(), labels);
  code_.shrink_to_fit();
}

std::vector<Requirement> CompiledSelector::requirements(const model::Selector& selector,
                                                        LabelTable& labels) {
  std::vector<Requirement> out;
  for (const auto& [label, restriction] : selector.restrictions()) {
    if (!restriction.present && !restriction.one_of) continue;
    Requirement r;
    r.key = labels.keys().find(label);
    r.any_value = !restriction.one_of.has_value();
    if (restriction.one_of) {
      for (const auto& value : *restriction.one_of) {
        const PairId pair = labels.acquire(label, value);
        labels.release(pair);  // the selector's code holds it
        r.pairs.push_back(pair);
      }
    }
    out.push_back(std::move(r));
  }
  return out;
}

void CompiledSelector::compile(const model::SelectorNode& node, LabelTable& labels) {
  code_.push_back(static_cast<std::uint32_t>(node.op));
  switch (form(node.op)) {
    case Form::constant:
      return;
    case Form::prefix:
      return compile(node.children.front(), labels);
    case Form::group: {
      const std::size_t end_at = code_.size();
      code_.push_back(0);
      for (const auto& child : node.children) compile(child, labels);
      code_[end_at] = static_cast<std::uint32_t>(code_.size());
      return;
    }
    case Form::comparison:
      code_.push_back(labels.keys().acquire(node.label));
      code_.push_back(static_cast<std::uint32_t>(node.values.size()));
      for (const auto& value : node.values) code_.push_back(labels.acquire(node.label, value));
  }
}

void CompiledSelector::release(LabelTable& labels) {
  for (std::size_t at = 0; at < code_.size();) {
    const Form f = form(static_cast<Op>(code_[at]));
    if (f != Form::comparison) {
      at += f == Form::group ? 2 : 1;
      continue;
    }
    const std::size_t end = at + 3 + code_[at + 2];
    for (std::size_t i = at + 3; i < end; ++i) labels.release(code_[i]);
    labels.keys().release(code_[at + 1]);
    at = end;
  }
  code_.clear();
}

bool CompiledSelector::matches(const EffectiveLabels& effective, const LabelTable& labels) const {
  std::size_t at = 0;
  return evaluate(at, effective, labels);
}

bool CompiledSelector::evaluate(std::size_t& at, const EffectiveLabels& effective,
                                const LabelTable& labels) const {
  const Op op = static_cast<Op>(code_[at++]);
  switch (form(op)) {
    case Form::constant:
      return true;
    case Form::prefix:
      return !evaluate(at, effective, labels);
    case Form::group:
      return evaluate_group(op, at, effective, labels);
    case Form::comparison:
      break;
  }
  const std::size_t operands = at;
  at += 2 + code_[at + 1];
  return compare(op, operands, effective, labels);
}

bool CompiledSelector::evaluate_group(Op op, std::size_t& at, const EffectiveLabels& effective,
                                      const LabelTable& labels) const {
  const bool decides = op == Op::disjunction;  // this result of one operand is the group's
  const std::size_t end = code_[at++];
  while (at < end) {
    if (evaluate(at, effective, labels) == decides) {
      at = end;
      return decides;
    }
  }
  return !decides;
}

bool CompiledSelector::compare(Op op, std::size_t at, const EffectiveLabels& effective,
                               const LabelTable& labels) const {
  const PairId have = effective.find(code_[at]);
  const std::span<const std::uint32_t> pairs(code_.data() + at + 2, code_[at + 1]);
  const auto listed = [&] { return std::find(pairs.begin(), pairs.end(), have) != pairs.end(); };
  switch (op) {
    case Op::has:
      return have != kNone;
    case Op::eq:
    case Op::in:
      return have != kNone && listed();
    case Op::ne:
    case Op::not_in:
      return have == kNone || !listed();
    case Op::contains:
      return have != kNone &&
             labels.value(have).find(labels.value(pairs.front())) != std::string::npos;
    case Op::starts_with:
      return have != kNone && labels.value(have).starts_with(labels.value(pairs.front()));
    case Op::ends_with:
      return have != kNone && labels.value(have).ends_with(labels.value(pairs.front()));
    default:
      return false;  // no comparison
  }
}

}  // namespace margay::calc
