// SPDX-License-Identifier: Apache-2.0
// Which margay-typha to turn to: every agent puts the addresses into an order of its own, so that
// many agents spread over them, and goes round in it while they fail. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace margay::sync {

class Servers {
 public:
  // `list`: "host:port, [v6]:port, unix:/path"; at least one.
  static Result<Servers> parse(std::string_view list, std::string_view node) {
    Servers out;
    while (!list.empty()) {
      const auto end = std::min(list.find(','), list.size());
      std::string_view item = list.substr(0, end);
      list.remove_prefix(std::min(end + 1, list.size()));
      while (item.starts_with(' ')) item.remove_prefix(1);
      while (item.ends_with(' ')) item.remove_suffix(1);
      if (!is_address(item)) {
        return make_error(Code::invalid, "TyphaAddr: '" + std::string(item) +
                                             "' is not host:port, [v6]:port or unix:/path (several "
                                             "are separated by commas)");
      }
      out.addresses_.emplace_back(item);
    }
    if (out.addresses_.empty()) return make_error(Code::invalid, "TyphaAddr: no address");
    // The order of rendezvous hashing: one server more or less moves only the agents that it must.
    std::sort(out.addresses_.begin(), out.addresses_.end(),
              [node](const std::string& a, const std::string& b) {
                return std::pair(weight(a, node), a) < std::pair(weight(b, node), b);
              });
    return out;
  }

  [[nodiscard]] const std::string& current() const { return addresses_[at_]; }
  [[nodiscard]] std::size_t count() const { return addresses_.size(); }
  // The present one is no good: on to the next. True: each has been tried since the last success,
  // time for a pause.
  bool failed() {
    at_ = (at_ + 1) % addresses_.size();
    tried_ = (tried_ + 1) % addresses_.size();
    return tried_ == 0;
  }
  void succeeded() { tried_ = 0; }

 private:
  Servers() = default;
  static bool is_address(std::string_view s) {
    if (s.starts_with("unix:")) return s.size() > 5;
    const auto colon = s.rfind(':');
    return colon != std::string_view::npos && colon != 0 && colon + 1 < s.size() &&
           std::all_of(s.begin() + static_cast<std::ptrdiff_t>(colon) + 1, s.end(),
                       [](char c) { return c >= '0' && c <= '9'; });
  }
  static std::uint64_t weight(std::string_view address, std::string_view node) {
    std::uint64_t h = 0xcbf29ce484222325U;  // FNV-1a
    for (const std::string_view part : {node, std::string_view("\0", 1), address}) {
      for (const char c : part) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    return h ^ (h >> 29);
  }

  std::vector<std::string> addresses_;
  std::size_t at_ = 0;
  std::size_t tried_ = 0;  // in a row without success
};

}  // namespace margay::sync
