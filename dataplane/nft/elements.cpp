// SPDX-License-Identifier: Apache-2.0
#include "dataplane/nft/elements.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

namespace margay::nft {

namespace {

using Key = std::span<const std::uint8_t>;

int compare(Key a, Key b) { return std::memcmp(a.data(), b.data(), std::min(a.size(), b.size())); }

}  // namespace

ElementTable::ElementTable(const SetType& type)
    : key_(type.key_size()),
      full_key_(type.interval ? 2 * key_ : key_),
      value_(type.is_verdict_map() ? sizeof(std::uint32_t) : type.value_size()),
      record_(full_key_ + value_),
      interval_(type.interval),
      verdicts_map_(type.is_verdict_map()) {
  MARGAY_ASSERT(key_ > 0 && key_ <= Packed::kCapacity);
}

void ElementTable::reserve(std::size_t elements) { bytes_.reserve(elements * record_); }

void ElementTable::clear() {
  bytes_.clear();
  verdicts_.clear();
  sealed_ = true;
}

Key ElementTable::record(std::size_t i) const { return Key(bytes_).subspan(i * record_, record_); }
Key ElementTable::full_key(std::size_t i) const { return record(i).first(full_key_); }
Key ElementTable::key(std::size_t i) const { return record(i).first(key_); }
Key ElementTable::key_end(std::size_t i) const {
  return interval_ ? record(i).subspan(key_, key_) : key(i);
}
Key ElementTable::value(std::size_t i) const { return record(i).subspan(full_key_); }

std::uint32_t ElementTable::verdict_index(std::size_t i) const {
  std::uint32_t index = 0;
  std::memcpy(&index, value(i).data(), sizeof index);
  return index;
}

const Verdict& ElementTable::verdict(std::size_t i) const { return verdicts_[verdict_index(i)]; }

void ElementTable::append_verdict(const Verdict& v) {
  const auto index = static_cast<std::uint32_t>(verdicts_.size());
  std::uint8_t raw[sizeof index];
  std::memcpy(raw, &index, sizeof index);
  bytes_.insert(bytes_.end(), std::begin(raw), std::end(raw));
  verdicts_.push_back(v);
}

void ElementTable::append(const Element& e) {
  MARGAY_ASSERT(e.key.size() == key_);
  const auto put = [this](Key k) { bytes_.insert(bytes_.end(), k.begin(), k.end()); };
  put(e.key.bytes());
  if (interval_) put(e.key_end.empty() ? e.key.bytes() : e.key_end.bytes());
  if (verdicts_map_) {
    append_verdict(e.verdict.value_or(Verdict{}));
  } else if (value_ > 0) {
    MARGAY_ASSERT(e.value.size() == value_);
    put(e.value.bytes());
  }
  sealed_ = false;
}

void ElementTable::append_key(Key k) {
  MARGAY_ASSERT(k.size() == key_ && value_ == 0);
  bytes_.insert(bytes_.end(), k.begin(), k.end());
  if (interval_) bytes_.insert(bytes_.end(), k.begin(), k.end());
  sealed_ = false;
}

void ElementTable::append_range(Key from, Key to) {
  MARGAY_ASSERT(from.size() == key_ && to.size() == key_ && interval_ && value_ == 0);
  bytes_.insert(bytes_.end(), from.begin(), from.end());
  bytes_.insert(bytes_.end(), to.begin(), to.end());
  sealed_ = false;
}

void ElementTable::append_from(const ElementTable& other, std::size_t i) {
  const Key r = other.record(i);
  if (verdicts_map_) {
    bytes_.insert(bytes_.end(), r.begin(), r.begin() + static_cast<std::ptrdiff_t>(full_key_));
    append_verdict(other.verdict(i));
  } else {
    bytes_.insert(bytes_.end(), r.begin(), r.end());
  }
  sealed_ = false;
}

void ElementTable::seal() {
  if (sealed_) return;
  sealed_ = true;
  const std::size_t n = size();
  bool ascending = true;
  for (std::size_t i = 1; i < n && ascending; ++i) {
    ascending = compare(full_key(i - 1), full_key(i)) < 0;
  }
  if (ascending) return;
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
    const int c = compare(full_key(a), full_key(b));
    return c != 0 ? c < 0 : a < b;
  });
  std::vector<std::uint8_t> sorted;
  sorted.reserve(bytes_.size());
  for (std::size_t i = 0; i < n; ++i) {
    // Of equal keys the last appended stands last.
    if (i + 1 < n && compare(full_key(order[i]), full_key(order[i + 1])) == 0) continue;
    const Key r = record(order[i]);
    sorted.insert(sorted.end(), r.begin(), r.end());
  }
  bytes_ = std::move(sorted);
}

bool ElementTable::same_value(std::size_t i, const ElementTable& other, std::size_t j) const {
  if (verdicts_map_) return verdict(i) == other.verdict(j);
  return compare(value(i), other.value(j)) == 0;
}

Element ElementTable::element(std::size_t i) const {
  Element e;
  e.key = Packed::of(key(i));
  if (interval_) e.key_end = Packed::of(key_end(i));
  if (verdicts_map_) {
    e.verdict = verdict(i);
  } else if (value_ > 0) {
    e.value = Packed::of(value(i));
  }
  return e;
}

std::size_t ElementTable::lower_bound(Key wanted, std::size_t low, std::size_t high) const {
  while (low < high) {
    const std::size_t mid = low + (high - low) / 2;
    if (compare(full_key(mid), wanted) < 0) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

std::optional<std::size_t> ElementTable::find(Key wanted) const {
  const std::size_t i = lower_bound(wanted, 0, size());
  if (i == size() || compare(full_key(i), wanted) != 0) return std::nullopt;
  return i;
}

void ElementTable::erase(Key wanted) {
  const auto i = find(wanted);
  if (!i) return;
  const auto at = bytes_.begin() + static_cast<std::ptrdiff_t>(*i * record_);
  bytes_.erase(at, at + static_cast<std::ptrdiff_t>(record_));
}

void ElementTable::insert(Key new_record) {
  const std::size_t i = lower_bound(new_record.first(full_key_), 0, size());
  const auto at = static_cast<std::ptrdiff_t>(i * record_);
  if (i < size() && compare(full_key(i), new_record.first(full_key_)) == 0) {
    std::copy(new_record.begin(), new_record.end(), bytes_.begin() + at);
  } else {
    bytes_.insert(bytes_.begin() + at, new_record.begin(), new_record.end());
  }
}

ElementTable ElementTable::empty_like() const {
  ElementTable out;
  out.key_ = key_;
  out.full_key_ = full_key_;
  out.value_ = value_;
  out.record_ = record_;
  out.interval_ = interval_;
  out.verdicts_map_ = verdicts_map_;
  return out;
}

void ElementTable::drop_front(std::size_t elements) {
  if (elements >= size()) {
    *this = empty_like();  // gives the memory back
    return;
  }
  const auto end = bytes_.begin() + static_cast<std::ptrdiff_t>(elements * record_);
  bytes_.erase(bytes_.begin(), end);
}

// The same from `first` on, fast when it is near.
std::size_t ElementTable::lower_bound_after(std::size_t first, Key wanted) const {
  std::size_t step = 1;
  std::size_t low = first;
  while (low < size() && compare(full_key(low), wanted) < 0) {
    first = low + 1;
    low += step;
    step *= 2;
  }
  return lower_bound(wanted, first, std::min(low, size()));
}

void ElementTable::append_run(const ElementTable& other, std::size_t first, std::size_t last) {
  if (verdicts_map_) {
    for (std::size_t i = first; i < last; ++i) append_from(other, i);
    return;
  }
  const auto at = [&](std::size_t i) {
    return other.bytes_.begin() + static_cast<std::ptrdiff_t>(i * record_);
  };
  bytes_.insert(bytes_.end(), at(first), at(last));
}

void ElementTable::merge(const ElementTable& added, const ElementTable& removed) {
  MARGAY_ASSERT(sealed_ && added.sealed_ && removed.sealed_);
  // One element more in a large table is a shift of memory, not a new table.
  constexpr std::size_t kFew = 16;
  if (!verdicts_map_ && added.size() + removed.size() <= kFew) {
    for (std::size_t k = 0; k < removed.size(); ++k) erase(removed.full_key(k));
    for (std::size_t k = 0; k < added.size(); ++k) insert(added.record(k));
    return;
  }
  ElementTable out = empty_like();
  out.bytes_.reserve(bytes_.size() + added.bytes_.size());
  std::size_t i = 0;
  std::size_t a = 0;
  std::size_t r = 0;
  // What lies between two changes is taken over as it is.
  while (a < added.size() || r < removed.size()) {
    const int c = a == added.size()     ? 1
                  : r == removed.size() ? -1
                                        : compare(added.full_key(a), removed.full_key(r));
    const Key key = c <= 0 ? added.full_key(a) : removed.full_key(r);
    const std::size_t at = lower_bound_after(i, key);
    out.append_run(*this, i, at);
    i = at < size() && compare(full_key(at), key) == 0 ? at + 1 : at;
    if (c <= 0) out.append_from(added, a++);
    if (c >= 0) ++r;
  }
  out.append_run(*this, i, size());
  out.sealed_ = true;
  *this = std::move(out);
}

ElementDiff diff(const SetType& type, const ElementTable& want, const ElementTable& have) {
  ElementDiff d{ElementTable(type), ElementTable(type)};
  std::size_t w = 0;
  std::size_t h = 0;
  while (w < want.size() || h < have.size()) {
    const int c = w == want.size()   ? 1
                  : h == have.size() ? -1
                                     : compare(want.full_key(w), have.full_key(h));
    const bool changed = c == 0 && !want.same_value(w, have, h);
    if (c < 0 || changed) d.add.append_from(want, w);
    if (c > 0 || changed) d.remove.append_from(have, h);
    if (c <= 0) ++w;
    if (c >= 0) ++h;
  }
  d.add.seal();
  d.remove.seal();
  return d;
}

namespace {

std::string describe_field(Datatype t, Key raw) {
  switch (t) {
    case Datatype::ipv4_addr:
    case Datatype::ipv6_addr:
      return Ip::from_bytes(raw).to_string();
    case Datatype::inet_proto:
    case Datatype::icmp_type:
    case Datatype::icmpv6_type:
      return std::to_string(raw[0]);
    case Datatype::inet_service:
      return std::to_string(raw[0] << 8 | raw[1]);
    case Datatype::ifname: {
      const auto end = std::find(raw.begin(), raw.end(), std::uint8_t{0});
      return {raw.begin(), end};
    }
    case Datatype::integer:
    case Datatype::mark: {
      std::uint32_t v = 0;
      std::memcpy(&v, raw.data(), sizeof v);
      return std::to_string(v);
    }
    case Datatype::verdict:
      break;
  }
  return "?";
}

}  // namespace

std::string describe(const SetType& type, Key key) {
  std::string out;
  std::size_t at = 0;
  for (const Datatype t : type.key) {
    const std::size_t n = size_of(t);
    if (at + n > key.size()) break;
    if (!out.empty()) out += " . ";
    out += describe_field(t, key.subspan(at, n));
    at += (n + 3) & ~std::size_t{3};
  }
  return out;
}

}  // namespace margay::nft
