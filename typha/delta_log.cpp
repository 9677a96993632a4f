// SPDX-License-Identifier: Apache-2.0
#include "typha/delta_log.h"

#include <algorithm>

#include "base/result.h"

namespace margay::typha {

void DeltaLog::reset(Revision base) {
  first_ = end() + 1;  // no place from before is ever valid again
  deltas_.clear();
  dropped_ = total_;
  base_ = whole_ = base;
}

void DeltaLog::add(std::string body, Revision last, std::size_t entries,
                   Clock::time_point committed) {
  const auto size = body.size();
  deltas_.push_back({std::make_shared<const std::string>(std::move(body)), whole_, last, entries,
                     total_, committed});
  total_ += size;
}

// A client that breaks off goes on after the last revision that it has all of: several events may
// be of one revision, and one event may be in several pieces.
void DeltaLog::append(const std::vector<datastore::Event>& events, Revision upto,
                      Clock::time_point committed) {
  std::string body;
  std::size_t entries = 0;
  Revision last;
  const auto flush = [&] {
    if (entries != 0) add(std::exchange(body, {}), last, std::exchange(entries, 0), committed);
  };
  for (const auto& e : events) {
    for (auto& piece : encode_entry(e)) {
      if (last < e.revision) whole_ = std::max(whole_, last);
      if (body.size() + piece.size() > kMaxBody || entries == kMaxEntries) flush();
      body += piece;
      ++entries;
      last = e.revision;
    }
  }
  if (last <= upto) whole_ = std::max(whole_, last);
  flush();
  trim();
}

void DeltaLog::trim() {
  while (bytes() > max_bytes_ && deltas_.size() > 1) {
    base_ = deltas_.front().last;
    dropped_ += deltas_.front().body->size();
    deltas_.pop_front();
    ++first_;
  }
}

std::size_t DeltaLog::bytes_from(std::uint64_t sequence) const {
  if (sequence >= end()) return 0;
  return total_ - deltas_[std::max(sequence, first_) - first_].start;
}

std::optional<DeltaLog::Place> DeltaLog::after(Revision revision) const {
  const auto last = deltas_.empty() ? base_ : deltas_.back().last;
  if (revision < base_ || revision > last) return std::nullopt;
  // The first delta that goes beyond `revision`; the client may have its beginning.
  const auto it = std::upper_bound(deltas_.begin(), deltas_.end(), revision,
                                   [](Revision r, const Delta& d) { return r < d.last; });
  const auto index = static_cast<std::uint64_t>(it - deltas_.begin());
  if (it == deltas_.end()) return Place{end(), nullptr, {}};
  const auto before = it == deltas_.begin() ? base_ : std::prev(it)->last;
  if (before == revision) return Place{first_ + index, nullptr, {}};
  return Place{first_ + index + 1, typha::after(it->body, revision), it->upto};
}

DeltaLog::Run DeltaLog::run(std::uint64_t sequence) const {
  MARGAY_ASSERT(sequence >= first_ && sequence < end());
  Run run{{}, {}, sequence};
  std::size_t size = 0;
  std::size_t entries = 0;
  while (run.next < end()) {
    const auto& d = deltas_[run.next - first_];
    size += d.body->size();
    entries += d.entries;
    if (!run.bodies.empty() && (size > kMaxBody || entries > kMaxEntries)) break;
    if (run.bodies.empty()) run.committed = d.committed;
    run.bodies.push_back(d.body);
    run.upto = d.upto;
    ++run.next;
  }
  return run;
}

}  // namespace margay::typha
