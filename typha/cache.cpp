// SPDX-License-Identifier: Apache-2.0
#include "typha/cache.h"

#include <algorithm>
#include <utility>

namespace margay::typha {
namespace {

// A snapshot is given again as long as what has changed since fits into one message.
constexpr std::size_t kFreshEnough = kMaxMessage;

}  // namespace

void Cache::set(const datastore::Event& e) {
  segments_.set(e.key, e.deleted ? std::vector<std::string>{} : encode_entry(e));
}

void Cache::replace(datastore::Listing& listing) {
  segments_.clear();
  latest_.reset();
  for (auto& e : listing.entries) {
    set({std::move(e.key), std::move(e.value), false, e.revision});
    e = {};  // the listing shrinks as the segments grow
  }
  log_.reset(listing.revision);
}

std::vector<datastore::Event> Cache::difference(datastore::Listing& listing) {
  std::vector<datastore::Event> events;
  auto have = segments_.keys();
  auto h = have.begin();
  const auto gone = [&] { events.push_back({std::move(h++->key), {}, true, listing.revision}); };
  for (auto& e : listing.entries) {
    while (h != have.end() && h->key < e.key) gone();
    const bool same_key = h != have.end() && h->key == e.key;
    const bool changed = !same_key || h->revision != e.revision;
    if (same_key) ++h;
    if (changed) events.push_back({std::move(e.key), std::move(e.value), false, e.revision});
  }
  while (h != have.end()) gone();
  std::stable_sort(events.begin(), events.end(),
                   [](const auto& a, const auto& b) { return a.revision < b.revision; });
  return events;
}

void Cache::load(datastore::Listing listing) {
  keys_ = listing.entries.size();
  history_ = false;
  if (!loaded_ || listing.store_id != store_id_ || listing.revision < revision_) {
    replace(listing);
    store_id_ = listing.store_id;
    revision_ = listing.revision;
    loaded_ = true;
    return;
  }
  auto events = difference(listing);
  const auto upto = listing.revision;
  apply(events, upto);
}

void Cache::begin_history(Revision oldest) {
  if (oldest >= revision_) return;
  log_.reset(oldest);
  latest_.reset();
  history_ = true;
}

void Cache::apply(const std::vector<datastore::Event>& events, Revision upto,
                  Clock::time_point committed) {
  log_.append(events, upto, committed);
  for (const auto& e : events) {
    if (e.revision > revision_) set(e);
  }
  if (upto >= revision_) history_ = false;
  revision_ = std::max(revision_, upto);
}

std::shared_ptr<const Snapshot> Cache::snapshot(Revision at_least) {
  const bool fresh = latest_ && latest_->revision >= at_least &&
                     latest_->next_delta >= log_.begin() &&
                     log_.bytes_from(latest_->next_delta) <= kFreshEnough;
  if (fresh) return latest_;
  auto s = std::make_shared<Snapshot>();
  s->bodies = segments_.snapshot();
  s->revision = revision_;
  s->next_delta = log_.end();
  for (const auto& b : s->bodies) s->bytes += b->size();
  ++built_;
  return latest_ = std::move(s);
}

}  // namespace margay::typha
