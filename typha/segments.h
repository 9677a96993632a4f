// SPDX-License-Identifier: Apache-2.0
// All keys, in the form in which they travel: encoded entries in key order, cut into segments. A
// change costs a line in an overlay; taking a snapshot folds the overlay into the segments that it
// touches and shares all others with the snapshots before. Values exist once. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "typha/frame.h"

namespace margay::typha {

class Segments {
 public:
  // `pieces` empty: the key is deleted.
  void set(std::string_view key, std::vector<std::string> pieces);
  // In order, each at most kMaxBody; valid for ever.
  [[nodiscard]] std::vector<Body> snapshot();
  void clear();

  struct KeyRevision {
    std::string key;
    Revision revision;
  };
  [[nodiscard]] std::vector<KeyRevision> keys();  // in order

  [[nodiscard]] std::size_t bytes() const { return bytes_ + overlay_bytes_; }  // about

 private:
  using Pieces = std::vector<std::string>;
  using Overlay = std::map<std::string, Pieces, std::less<>>;
  // The bodies of the keys from this one up to the next segment's. More than one only when a single
  // key's value is longer than a message.
  using Table = std::map<std::string, std::vector<Body>, std::less<>>;
  class Packer;

  void fold();
  Table::iterator fold_segment(Table::iterator segment, Overlay::iterator begin,
                               Overlay::iterator end);

  Table table_;
  Overlay overlay_;
  std::size_t bytes_ = 0;
  std::size_t overlay_bytes_ = 0;
};

}  // namespace margay::typha
