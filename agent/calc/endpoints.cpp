// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/endpoints.h"

#include <cstring>
#include <functional>

#include "agent/calc/ip_sets.h"
#include "agent/calc/members.h"

namespace margay::calc {
namespace {

std::size_t hash_key(std::string_view key) { return std::hash<std::string_view>{}(key); }

}  // namespace

std::string_view Endpoints::Record::key() const {
  // The block was filled from a text of this size.
  return {static_cast<const char*>(static_cast<const void*>(block.get())), key_size};
}

std::uint32_t Endpoints::index_of(std::string_view key) const {
  return table_.find(hash_key(key), [&](std::uint32_t i) { return records_[i].key() == key; });
}

Endpoints::View Endpoints::view(std::uint32_t i) const {
  const Record& r = records_[i];
  return {r.cls, unpack(r.nets()), r.node == kNone ? std::string_view() : nodes_.text(r.node),
          r.hidden};
}

std::optional<Endpoints::View> Endpoints::find(std::string_view key) const {
  const std::uint32_t i = index_of(key);
  if (i == kNone) return std::nullopt;
  return view(i);
}

void Endpoints::link(std::uint32_t i) {
  std::uint32_t& first = classes_.first_endpoint(records_[i].cls);
  records_[i].next = first;
  records_[i].prev = kNone;
  if (first != kNone) records_[first].prev = i;
  first = i;
}

void Endpoints::unlink(std::uint32_t i) {
  const Record& r = records_[i];
  if (r.next != kNone) records_[r.next].prev = r.prev;
  if (r.prev != kNone) {
    records_[r.prev].next = r.next;
  } else {
    classes_.first_endpoint(r.cls) = r.next;
  }
}

void Endpoints::store(Record& r, std::string_view key, std::span<const std::uint8_t> nets) {
  auto block = std::make_unique_for_overwrite<std::uint8_t[]>(key.size() + nets.size());
  std::memcpy(block.get(), key.data(), key.size());
  if (!nets.empty()) std::memcpy(block.get() + key.size(), nets.data(), nets.size());
  r.key_size = static_cast<std::uint16_t>(key.size());
  r.nets_size = static_cast<std::uint32_t>(nets.size());
  r.block = std::move(block);
}

bool Endpoints::set(std::string_view key, const EndpointValue& value) {
  const auto [cls, fresh] = classes_.acquire(value.labels, value.profiles, value.ports);
  if (fresh) sets_.evaluate(cls);
  const std::vector<std::uint8_t> nets = pack(value.nets);
  const std::uint32_t node = value.node.empty() ? kNone : nodes_.acquire(value.node);
  std::uint32_t i = index_of(key);
  if (i == kNone) {
    i = records_.take();
    store(records_[i], key, nets);
    table_.insert(i, hash_key(key));
    if (!value.hidden) sets_.contribute(i, cls, nets);
  } else {
    Record& r = records_[i];
    const bool same_nets = std::ranges::equal(r.nets(), nets);
    const bool same = same_nets && r.cls == cls && r.node == node && r.hidden == value.hidden;
    if (same) {
      if (node != kNone) nodes_.release(node);
      classes_.release(cls);
      return false;
    }
    // First the new, then the old: what stays the same never leaves a set.
    if (!value.hidden) sets_.contribute(i, cls, nets);
    if (!r.hidden) sets_.withdraw(i, r.cls, r.nets());
    if (r.node != kNone) nodes_.release(r.node);
    unlink(i);
    classes_.release(r.cls);
    if (!same_nets) store(r, std::string(key), nets);
  }
  records_[i].cls = cls;
  records_[i].node = node;
  records_[i].hidden = value.hidden;
  link(i);
  return true;
}

bool Endpoints::erase(std::string_view key) {
  const std::uint32_t i = index_of(key);
  if (i == kNone) return false;
  const Record& r = records_[i];
  if (!r.hidden) sets_.withdraw(i, r.cls, r.nets());
  if (r.node != kNone) nodes_.release(r.node);
  unlink(i);
  classes_.release(r.cls);
  table_.erase(i, hash_key(key));
  records_.give_back(i);
  return true;
}

void Endpoints::hide(std::string_view key, bool hidden) {
  const std::uint32_t i = index_of(key);
  if (i == kNone || records_[i].hidden == hidden) return;
  Record& r = records_[i];
  r.hidden = hidden;
  if (hidden) {
    sets_.withdraw(i, r.cls, r.nets());
  } else {
    sets_.contribute(i, r.cls, r.nets());
  }
}

}  // namespace margay::calc
