// SPDX-License-Identifier: Apache-2.0
// A list that is mostly empty or short and held in great numbers: one pointer, and with items one
// allocation of just their size. As std::vector where it is used alike; items are trivially
// copyable.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace margay::bgp {

template <typename T>
class ShortList {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;
  ShortList() = default;
  ShortList(std::initializer_list<T> items) { insert(begin(), items.begin(), items.end()); }
  ShortList(const ShortList& o) { insert(begin(), o.begin(), o.end()); }
  ShortList(ShortList&& o) noexcept : block_(std::exchange(o.block_, nullptr)) {}
  ShortList& operator=(ShortList o) noexcept {
    std::swap(block_, o.block_);
    return *this;
  }
  ~ShortList() { std::free(block_); }

  [[nodiscard]] bool empty() const { return block_ == nullptr; }
  [[nodiscard]] std::size_t size() const { return block_ == nullptr ? 0 : block_->size; }
  [[nodiscard]] T* begin() { return items(block_); }
  [[nodiscard]] T* end() { return begin() + size(); }
  [[nodiscard]] const T* begin() const { return items(block_); }
  [[nodiscard]] const T* end() const { return begin() + size(); }
  [[nodiscard]] const T* data() const { return begin(); }
  [[nodiscard]] T& operator[](std::size_t i) { return begin()[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const { return begin()[i]; }

  void clear() { std::free(std::exchange(block_, nullptr)); }
  void push_back(const T& item) { insert(end(), &item, &item + 1); }
  template <typename... Args>
  void emplace_back(Args&&... args) {
    push_back(T(std::forward<Args>(args)...));
  }
  void insert(const T* at, const T& item) { insert(at, &item, &item + 1); }
  // The range must not be within this list.
  template <typename It>
  void insert(const T* at, It first, It last) {
    const auto n = static_cast<std::size_t>(last - first), before = size();
    const auto offset = static_cast<std::size_t>(at - begin());
    if (n == 0) return;
    Block* block = allocate(before + n);
    T* to = items(block);
    to = std::copy(begin(), begin() + offset, to);
    to = std::copy(first, last, to);
    std::copy(begin() + offset, end(), to);
    std::free(std::exchange(block_, block));
  }

  friend bool operator==(const ShortList& a, const ShortList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  // NOLINTNEXTLINE(google-explicit-constructor): a span wherever one is asked for, as of a vector
  operator std::span<const T>() const { return {begin(), size()}; }

 private:
  struct Block {
    std::uint32_t size;
  };
  // Items begin where their alignment lets them.
  static constexpr std::size_t kHead = std::max(sizeof(Block), alignof(T));
  static T* items(Block* block) {
    if (block == nullptr) return nullptr;
    return static_cast<T*>(
        static_cast<void*>(static_cast<char*>(static_cast<void*>(block)) + kHead));
  }
  static Block* allocate(std::size_t n) {
    void* memory = std::malloc(kHead + n * sizeof(T));
    if (memory == nullptr) std::abort();
    return new (memory) Block{static_cast<std::uint32_t>(n)};
  }
  Block* block_ = nullptr;
};

}  // namespace margay::bgp
