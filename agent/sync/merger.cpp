// SPDX-License-Identifier: Apache-2.0
#include "agent/sync/merger.h"

#include <algorithm>
#include <utility>

namespace margay::sync {

void Merger::begin_snapshot(std::string store_id) {
  comparable_ = store_id == store_id_;
  if (!comparable_) store_id_.clear();  // if cut short, the table holds revisions of two stores
  next_id_ = std::move(store_id);
  keys_.begin_generation();
}

bool Merger::news(Update& u) {
  if (u.deleted) return u.known = keys_.erase(u.key);
  const auto had = keys_.touch(u.key, u.revision);
  u.known = had.value() != 0;
  return !u.known || !comparable_ || had != u.revision;
}

void Merger::filter(std::vector<Update>& updates) {
  std::erase_if(updates, [this](Update& u) { return !news(u); });
}

std::vector<Update> Merger::end_snapshot(Revision revision) {
  store_id_ = std::move(next_id_);
  comparable_ = true;
  auto stale = keys_.take_stale();
  std::sort(stale.begin(), stale.end());
  std::vector<Update> deletes;
  deletes.reserve(stale.size());
  for (auto& key : stale) deletes.push_back({{std::move(key), {}, true, revision}, true});
  return deletes;
}

}  // namespace margay::sync
