// SPDX-License-Identifier: Apache-2.0
// Numbered records in pieces of a fixed size: growing copies nothing, and references stay valid.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace margay::bgp {

template <typename T>
class Slabs {
 public:
  [[nodiscard]] T& operator[](std::size_t i) { return (*slabs_[i / kSlab])[i % kSlab]; }
  [[nodiscard]] const T& operator[](std::size_t i) const { return (*slabs_[i / kSlab])[i % kSlab]; }
  [[nodiscard]] std::size_t size() const { return size_; }
  void emplace_back() {
    if (size_ % kSlab == 0) slabs_.push_back(std::make_unique<Slab>());
    ++size_;
  }

 private:
  // Small enough for a speaker with few routes, a page or more for most records.
  static constexpr std::size_t kSlab = 256;
  using Slab = std::array<T, kSlab>;
  std::vector<std::unique_ptr<Slab>> slabs_;
  std::size_t size_ = 0;
};

}  // namespace margay::bgp
