// SPDX-License-Identifier: Apache-2.0
#include "typha/segments.h"

#include <algorithm>
#include <utility>

namespace margay::typha {
namespace {

// New segments are not filled to the brim, so that a few additions do not split them; small
// neighbours are joined up to the same size.
constexpr std::size_t kTarget = kMaxBody * 3 / 4;
constexpr std::size_t kSmall = kMaxBody / 4;
// An overlay beyond this is folded even if nobody wants a snapshot.
constexpr std::size_t kMaxOverlay = 4U << 20;

}  // namespace

// Builds segments from entries given in key order.
class Segments::Packer {
 public:
  explicit Packer(Table* out) : out_(out) {}
  template <typename PieceList>
  void add(std::string_view key, const PieceList& pieces) {
    std::size_t size = 0;
    for (const auto& p : pieces) size += p.size();
    const bool alone = pieces.size() > 1;
    if (!body_.empty() && (alone || body_.size() + size > kTarget || ++entries_ > kMaxEntries)) {
      flush();
    }
    if (alone) {
      auto& bodies = (*out_)[std::string(key)];
      for (const auto& p : pieces) bodies.push_back(std::make_shared<const std::string>(p));
      return;
    }
    if (body_.empty()) {
      first_ = key;
      entries_ = 1;
    }
    for (const auto& p : pieces) body_ += p;
  }
  void flush() {
    if (body_.empty()) return;
    body_.shrink_to_fit();
    (*out_)[first_] = {std::make_shared<const std::string>(std::exchange(body_, {}))};
  }

 private:
  Table* out_;
  std::string first_;
  std::string body_;
  std::size_t entries_ = 0;
};

void Segments::set(std::string_view key, std::vector<std::string> pieces) {
  auto it = overlay_.find(key);
  if (it == overlay_.end()) it = overlay_.emplace(std::string(key), Pieces{}).first;
  for (const auto& p : it->second) overlay_bytes_ -= p.size();
  for (const auto& p : pieces) overlay_bytes_ += p.size();
  it->second = std::move(pieces);
  if (overlay_bytes_ > kMaxOverlay) fold();
}

void Segments::clear() {
  table_.clear();
  overlay_.clear();
  bytes_ = overlay_bytes_ = 0;
}

// Merges one segment with the overlay's keys that fall into it. Returns the segment after it.
Segments::Table::iterator Segments::fold_segment(Table::iterator segment, Overlay::iterator begin,
                                                 Overlay::iterator end) {
  Table result;
  Packer packer(&result);
  auto change = begin;
  const auto take_change = [&] {
    if (!change->second.empty()) packer.add(change->first, change->second);
    ++change;
  };
  std::vector<std::string_view> current;  // the pieces of the key at hand
  std::string_view current_key;
  const auto flush_current = [&] {
    if (current.empty()) return;
    while (change != end && change->first < current_key) take_change();
    if (change != end && change->first == current_key) {
      take_change();
    } else {
      packer.add(current_key, current);
    }
    current.clear();
  };
  const auto bodies = segment->second;  // keeps what the views point into
  for (const auto& body : bodies) {
    bytes_ -= body->size();
    for (const auto& p : pieces_of(*body)) {
      if (p.key != current_key) flush_current();
      current_key = p.key;
      current.push_back(p.bytes);
    }
  }
  flush_current();
  while (change != end) take_change();
  packer.flush();
  const auto next = table_.erase(segment);
  for (const auto& [key, made] : result) {
    for (const auto& b : made) bytes_ += b->size();
  }
  table_.merge(result);
  return next;
}

void Segments::fold() {
  if (overlay_.empty()) return;
  if (table_.empty()) table_.emplace(std::string(), std::vector<Body>{});
  for (auto it = overlay_.begin(); it != overlay_.end();) {
    // The segment whose range has this key; the first one takes what is before it as well.
    auto segment = table_.upper_bound(it->first);
    if (segment != table_.begin()) --segment;
    const auto next = std::next(segment);
    const auto end = next == table_.end() ? overlay_.end() : overlay_.lower_bound(next->first);
    fold_segment(segment, it, end);
    it = end;
  }
  overlay_.clear();
  overlay_bytes_ = 0;
  // Join small neighbours, so that deletes do not leave a trail of crumbs.
  for (auto a = table_.begin(); a != table_.end();) {
    const auto b = std::next(a);
    if (b == table_.end()) break;
    const auto single = [](const auto& s) { return s->second.size() == 1; };
    if (single(a) && single(b) && std::min(a->second[0]->size(), b->second[0]->size()) < kSmall &&
        a->second[0]->size() + b->second[0]->size() <= kTarget) {
      a->second[0] = std::make_shared<const std::string>(*a->second[0] + *b->second[0]);
      table_.erase(b);
    } else {
      ++a;
    }
  }
}

std::vector<Body> Segments::snapshot() {
  fold();
  std::vector<Body> bodies;
  for (const auto& [key, parts] : table_) bodies.insert(bodies.end(), parts.begin(), parts.end());
  return bodies;
}

std::vector<Segments::KeyRevision> Segments::keys() {
  std::vector<KeyRevision> keys;
  for (const auto& body : snapshot()) {
    for (const auto& p : pieces_of(*body)) {
      if (keys.empty() || keys.back().key != p.key) {
        keys.push_back({std::string(p.key), p.revision});
      }
    }
  }
  return keys;
}

}  // namespace margay::typha
