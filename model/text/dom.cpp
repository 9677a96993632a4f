// SPDX-License-Identifier: Apache-2.0
#include "model/text/dom.h"

#include <algorithm>
#include <utility>

namespace margay::model::text {
namespace {

std::size_t scalar_weight(const Dom& v) {
  return kValueWeight + (v.is_string() ? v.get_ref<const std::string&>().size() : 0);
}

// Dom's own insertion looks for the key first, which the caller has done.
void append(Dom& object, std::string key, Dom v) {
  object.get_ref<Dom::object_t&>().emplace_back(std::move(key), std::move(v));
}

}  // namespace

bool TreeBuilder::fail(std::size_t line, std::string message) {
  if (error_.empty()) {
    error_ = std::move(message);
    error_line_ = line;
  }
  return false;
}

bool TreeBuilder::charge(std::size_t weight, std::size_t line) {
  weight_ += weight;
  return weight_ <= kMaxWeight ||
         fail(line, "the document is too large: over 4 million values, or too many aliases");
}

bool TreeBuilder::wants_key() const {
  if (open_.empty() || !open_.back().value.is_object()) return false;
  return !open_.back().key && !open_.back().merging;
}

bool TreeBuilder::begin_object(std::size_t line, Anchor anchor) {
  const bool item = !open_.empty() && open_.size() <= 2 && open_.back().value.is_array();
  if (item) tree_.item_lines.push_back(line);
  return begin(Dom::object(), line, anchor);
}
bool TreeBuilder::begin_list(std::size_t line, Anchor anchor) {
  return begin(Dom::array(), line, anchor);
}

bool TreeBuilder::begin(Dom empty, std::size_t line, Anchor anchor) {
  if (!error_.empty()) return false;
  if (wants_key()) return fail(line, "a key must be a text, not a list or a map");
  if (open_.size() >= kMaxDepth) return fail(line, "nested more than 100 levels deep");
  if (open_.empty()) tree_.line = line;
  Frame frame;
  frame.value = std::move(empty);
  frame.anchor = anchor;
  open_.push_back(std::move(frame));
  return charge(kValueWeight, line);
}

bool TreeBuilder::key(std::string name, std::size_t line) {
  if (!error_.empty()) return false;
  Frame& frame = open_.back();
  frame.weight += name.size();
  if (!charge(name.size(), line)) return false;
  if (!frame.keys.insert(name).second) return fail(line, "the key '" + name + "' is given twice");
  frame.key = std::move(name);
  return true;
}

bool TreeBuilder::merge_key(std::size_t line) {
  if (!error_.empty()) return false;
  open_.back().merging = true;
  return charge(kValueWeight, line);
}

bool TreeBuilder::value(Dom v, std::size_t line, Anchor anchor) {
  if (!error_.empty()) return false;
  const std::size_t weight = scalar_weight(v);
  if (!charge(weight, line)) return false;
  if (open_.empty()) tree_.line = line;
  if (anchor != 0) anchors_[anchor] = {v, weight, 0};
  return attach({std::move(v), weight, 0}, line);
}

bool TreeBuilder::alias(Anchor anchor, std::size_t line) {
  if (!error_.empty()) return false;
  const auto it = anchors_.find(anchor);
  if (it == anchors_.end()) return fail(line, "an alias within its own anchor");
  if (wants_key()) {
    if (!it->second.value.is_string()) return fail(line, "a key must be a text");
    return key(it->second.value.get<std::string>(), line);
  }
  return charge(it->second.weight, line) && attach(it->second, line);
}

bool TreeBuilder::end(std::size_t line) {
  if (!error_.empty()) return false;
  Frame frame = std::move(open_.back());
  open_.pop_back();
  if (!merge(frame, line)) return false;
  if (frame.anchor != 0) {
    if (!charge(frame.weight, line)) return false;
    anchors_[frame.anchor] = {frame.value, frame.weight, frame.height};
  }
  return attach({std::move(frame.value), frame.weight, frame.height}, line);
}

// "<<": the members of another map that this one does not have itself.
bool TreeBuilder::merge(Frame& frame, std::size_t line) {
  for (Dom& source : frame.merged) {
    if (!source.is_object()) return fail(line, "'<<' must be a map, or a list of maps");
    for (auto& [name, v] : source.get_ref<Dom::object_t&>()) {
      if (frame.keys.insert(name).second) append(frame.value, name, v);
    }
  }
  return true;
}

bool TreeBuilder::attach(Anchored child, std::size_t line) {
  // What an alias brings in has levels of its own.
  if (open_.size() + child.height > kMaxDepth) {
    return fail(line, "nested more than 100 levels deep");
  }
  if (open_.empty()) {
    tree_.root = std::move(child.value);
    return true;
  }
  Frame& parent = open_.back();
  parent.weight += child.weight;
  parent.height = std::max(parent.height, child.height + 1);
  if (parent.value.is_array()) {
    parent.value.push_back(std::move(child.value));
  } else if (!parent.merging) {
    append(parent.value, *std::exchange(parent.key, std::nullopt), std::move(child.value));
  } else {
    parent.merging = false;
    if (child.value.is_array()) {
      for (Dom& item : child.value) parent.merged.push_back(std::move(item));
    } else {
      parent.merged.push_back(std::move(child.value));
    }
  }
  return true;
}

Tree TreeBuilder::take() { return std::move(tree_); }

std::string compact(const Dom& dom) {
  return dom.dump(-1, ' ', false, Dom::error_handler_t::replace);
}

}  // namespace margay::model::text
