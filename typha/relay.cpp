// SPDX-License-Identifier: Apache-2.0
#include "typha/relay.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/log.h"

namespace margay::typha {

Relay::Relay(Cache& cache, metrics::Registry& m, std::function<void()> changed)
    : cache_(cache),
      changed_(std::move(changed)),
      changes_(m.counter("margay_typha_store_changes_total", "Changes received from the store.")),
      revision_(m.gauge("margay_typha_revision", "The store's revision that clients are told.")) {}

Result<std::unique_ptr<Relay>> Relay::make(EventLoop& loop, sync::TyphaConfig config, Cache& cache,
                                           metrics::Registry& metrics,
                                           std::function<void()> changed) {
  std::unique_ptr<Relay> relay(new Relay(cache, metrics, std::move(changed)));
  auto* self = relay.get();
  MARGAY_TRY(relay->source_,
             sync::make_typha_source(
                 loop, std::move(config),
                 {[self](std::vector<sync::Update>&& u) { self->updates(std::move(u)); },
                  [self] { self->in_sync(); }, [self](const sync::Status&) { self->changed_(); }}));
  return relay;
}

// What comes while the view is complete is news and goes on at once; what a snapshot brings must
// wait for the whole, because clients may resume only from complete views.
void Relay::updates(std::vector<sync::Update>&& batch) {
  changes_.add(batch.size());
  const bool more = !batch.empty() && batch.back().more;
  for (auto& u : batch) pending_.push_back(std::move(u));
  const auto& status = source_->status();
  if (status.in_sync && status.store_id == cache_.store_id()) apply(more);
}

// `more`: of the last revision not everything has come.
void Relay::apply(bool more) {
  if (pending_.empty()) return;
  // A snapshot is in the order of its keys.
  std::stable_sort(pending_.begin(), pending_.end(),
                   [](const auto& a, const auto& b) { return a.revision < b.revision; });
  const Revision last = pending_.back().revision;
  Revision whole = last;
  if (more) {
    whole = cache_.revision();
    for (const auto& e : pending_) whole = e.revision < last ? std::max(whole, e.revision) : whole;
  }
  cache_.apply(pending_, whole);
  pending_.clear();
  revision_.set(static_cast<double>(cache_.revision().value()));
  changed_();
}

void Relay::in_sync() {
  const auto& status = source_->status();
  if (cache_.ready() && status.store_id == cache_.store_id()) {
    apply(false);
  } else {
    // Of a store that is new to us the source tells everything.
    std::map<std::string, datastore::Entry> entries;
    for (auto& e : std::exchange(pending_, {})) {
      if (e.deleted) {
        entries.erase(e.key);
      } else {
        auto& entry = entries[e.key];
        entry = {std::move(e.key), std::move(e.value), e.revision};
      }
    }
    datastore::Listing listing;
    listing.store_id = status.store_id;
    listing.revision = status.revision;
    for (auto& [key, entry] : entries) listing.entries.push_back(std::move(entry));
    cache_.load(std::move(listing));
  }
  log::info("typha_store_read", kv("keys", cache_.keys()),
            kv("revision", cache_.revision().value()));
  revision_.set(static_cast<double>(cache_.revision().value()));
  changed_();
}

std::optional<Lag> Relay::lag() const {
  const auto& status = source_->status();
  if (!status.stale_since) return std::nullopt;
  return Lag{*status.stale_since, status.error.empty() ? "receiving a view" : status.error};
}

}  // namespace margay::typha
