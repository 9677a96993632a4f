// SPDX-License-Identifier: Apache-2.0
// The elements of one set in flat memory: fixed-size records (key, for interval sets the last key,
// for maps the value), sorted once sealed. 100,000 IPv4 addresses take 400 kB. Duplicate keys: the
// last one appended wins. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/nft/objects.h"

namespace margay::nft {

class ElementTable {
 public:
  explicit ElementTable(const SetType& type);

  // Any order; call seal() before reading.
  void reserve(std::size_t elements);
  void append(const Element& e);
  // Just a key (or key and key_end, of one width): for large sets.
  void append_key(std::span<const std::uint8_t> key);
  void append_range(std::span<const std::uint8_t> from, std::span<const std::uint8_t> to);
  void append_from(const ElementTable& other, std::size_t i);
  void seal();
  [[nodiscard]] bool sealed() const { return sealed_; }

  [[nodiscard]] std::size_t size() const { return bytes_.size() / record_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  // Keys are what makes an element: for interval sets key and key_end together.
  [[nodiscard]] std::span<const std::uint8_t> full_key(std::size_t i) const;
  [[nodiscard]] std::span<const std::uint8_t> key(std::size_t i) const;
  [[nodiscard]] std::span<const std::uint8_t> key_end(std::size_t i) const;  // interval sets
  [[nodiscard]] std::span<const std::uint8_t> value(std::size_t i) const;    // maps to data
  [[nodiscard]] const Verdict& verdict(std::size_t i) const;                 // verdict maps
  [[nodiscard]] Element element(std::size_t i) const;
  [[nodiscard]] bool same_value(std::size_t i, const ElementTable& other, std::size_t j) const;

  // Sealed tables only.
  [[nodiscard]] std::optional<std::size_t> find(std::span<const std::uint8_t> full_key) const;
  // Makes this table (this without `removed`) with `added`: both sealed, of the same type.
  void merge(const ElementTable& added, const ElementTable& removed);
  void drop_front(std::size_t elements);

  [[nodiscard]] std::size_t full_key_size() const { return full_key_; }
  [[nodiscard]] std::size_t memory() const { return bytes_.capacity(); }
  void shrink() { bytes_.shrink_to_fit(); }
  void clear();

 private:
  ElementTable() = default;
  [[nodiscard]] ElementTable empty_like() const;
  // The first of elements low <= i < high that is not below the key, or high.
  [[nodiscard]] std::size_t lower_bound(std::span<const std::uint8_t> full_key, std::size_t low,
                                        std::size_t high) const;
  [[nodiscard]] std::size_t lower_bound_after(std::size_t first,
                                              std::span<const std::uint8_t> full_key) const;
  void append_run(const ElementTable& other, std::size_t first, std::size_t last);
  void insert(std::span<const std::uint8_t> new_record);  // replaces one of the same key
  void erase(std::span<const std::uint8_t> full_key);
  [[nodiscard]] std::span<const std::uint8_t> record(std::size_t i) const;
  void append_verdict(const Verdict& v);
  [[nodiscard]] std::uint32_t verdict_index(std::size_t i) const;

  std::size_t key_ = 0, full_key_ = 0, value_ = 0, record_ = 1;
  bool interval_ = false, verdicts_map_ = false;
  bool sealed_ = true;
  std::vector<std::uint8_t> bytes_;
  std::vector<Verdict> verdicts_;  // verdict maps are small: one per element of the same index
};

struct ElementDiff {
  ElementTable add, remove;  // sealed; an element whose value changed is in both
};
// What makes `have` into `want`; both sealed.
[[nodiscard]] ElementDiff diff(const SetType& type, const ElementTable& want,
                               const ElementTable& have);

// Text for people: "10.0.0.1", "10.0.0.1 . tcp . 80" as far as the type tells.
[[nodiscard]] std::string describe(const SetType& type, std::span<const std::uint8_t> key);

}  // namespace margay::nft
