// SPDX-License-Identifier: Apache-2.0
// Labels as numbers: a key is a KeyId, a (key, value) pair a PairId; equal texts have equal ids.
// Both are reference-counted, so that labels of objects long gone take no memory. A
// CompiledSelector is a selector over these ids: matching compares numbers, not texts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/calc/index_table.h"
#include "model/selector.h"

namespace margay::calc {

using KeyId = std::uint32_t;
using PairId = std::uint32_t;

// Texts with reference counts.
class Interner {
 public:
  std::uint32_t acquire(std::string_view text);  // counts one reference
  void hold(std::uint32_t id) { ++entries_[id].refs; }
  void release(std::uint32_t id);
  [[nodiscard]] std::uint32_t find(std::string_view text) const;  // kNone: not there
  [[nodiscard]] const std::string& text(std::uint32_t id) const { return entries_[id].text; }
  [[nodiscard]] std::uint32_t bound() const { return entries_.bound(); }
  [[nodiscard]] std::size_t size() const { return entries_.live(); }

 private:
  struct Entry {
    std::string text;
    std::uint32_t refs = 0;
  };
  Slots<Entry> entries_;
  IndexTable table_;
};

class LabelTable {
 public:
  PairId acquire(std::string_view key, std::string_view value);
  void hold(PairId id) { ++pairs_[id].refs; }
  void release(PairId id);
  [[nodiscard]] KeyId key_of(PairId id) const { return pairs_[id].key; }
  [[nodiscard]] const std::string& value(PairId id) const { return pairs_[id].value; }
  [[nodiscard]] Interner& keys() { return keys_; }
  [[nodiscard]] const Interner& keys() const { return keys_; }
  [[nodiscard]] std::uint32_t bound() const { return pairs_.bound(); }
  [[nodiscard]] std::size_t size() const { return pairs_.live(); }

 private:
  struct Pair {
    std::string value;
    KeyId key = kNone;
    std::uint32_t refs = 0;
  };
  Interner keys_;
  Slots<Pair> pairs_;
  IndexTable table_;
};

// The labels in effect for an endpoint, inherited ones included: at most one pair per key.
class EffectiveLabels {
 public:
  void clear() { labels_.clear(); }
  void add(KeyId key, PairId pair) {  // the first one of a key wins
    if (find(key) == kNone) labels_.push_back({key, pair});
  }
  [[nodiscard]] PairId find(KeyId key) const {
    for (const auto& label : labels_) {
      if (label.key == key) return label.pair;
    }
    return kNone;
  }
  struct Label {
    KeyId key;
    PairId pair;
  };
  [[nodiscard]] std::span<const Label> all() const { return labels_; }

 private:
  std::vector<Label> labels_;
};

// A label that every match has, with one of `pairs`, or with any value when there are none.
struct Requirement {
  KeyId key = kNone;
  std::vector<PairId> pairs;
  bool any_value = false;
};

class CompiledSelector {
 public:
  CompiledSelector() = default;
  CompiledSelector(const model::Selector& selector, LabelTable& labels);
  // Must be called before the end: the ids go back to the table.
  void release(LabelTable& labels);

  [[nodiscard]] bool matches(const EffectiveLabels& effective, const LabelTable& labels) const;
  // Of what a match must have. The ids are the selector's: they live as long as it does.
  [[nodiscard]] static std::vector<Requirement> requirements(const model::Selector& selector,
                                                             LabelTable& labels);

 private:
  using Op = model::SelectorNode::Op;
  void compile(const model::SelectorNode& node, LabelTable& labels);
  bool evaluate(std::size_t& at, const EffectiveLabels& effective, const LabelTable& labels) const;
  bool evaluate_group(Op op, std::size_t& at, const EffectiveLabels& effective,
                      const LabelTable& labels) const;
  bool compare(Op op, std::size_t at, const EffectiveLabels& effective,
               const LabelTable& labels) const;

  // Prefix code. A comparison: op, key, count, pairs. A group: op, words to its end, operands.
  std::vector<std::uint32_t> code_;
};

}  // namespace margay::calc
