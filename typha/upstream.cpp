// SPDX-License-Identifier: Apache-2.0
#include "typha/upstream.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/memory.h"

namespace margay::typha {
namespace {

using namespace std::chrono_literals;
constexpr Clock::duration kFirstDelay = 100ms;
constexpr Clock::duration kLongestDelay = 5s;

}  // namespace

Upstream::Upstream(EventLoop& loop, datastore::Store& store, Cache& cache, metrics::Registry& m,
                   std::function<void()> changed)
    : loop_(loop),
      store_(store),
      cache_(cache),
      changed_(std::move(changed)),
      lists_(m.counter("margay_typha_store_lists_total", "Complete readings of the store.")),
      changes_(m.counter("margay_typha_store_changes_total", "Changes received from the store.")),
      revision_(m.gauge("margay_typha_revision", "The store's revision that clients are told.")),
      lag_(Lag{loop.now(), "the store has not been read yet"}),
      delay_(kFirstDelay) {
  timer_ = loop_.after(0s, [this] { list(); });
}

void Upstream::list() {
  watch_.reset();
  auto listing = store_.list("");
  if (!listing) return failed(listing.error(), [this] { list(); });
  lists_.add();
  const bool first = !cache_.ready();
  const auto oldest = listing->oldest;
  const auto revision = listing->revision;
  cache_.load(std::move(*listing));
  // With the store's own log, agents can resume with a server that has just started.
  if (first) cache_.begin_history(oldest);
  revision_.set(static_cast<double>(revision.value()));
  watch(first ? oldest : revision);
  log::info("typha_store_read", kv("keys", cache_.keys()), kv("revision", revision.value()));
  changed_();
  memory::give_back_heap();  // the listing is as large as what is kept
}

void Upstream::watch(Revision from) {
  lag_.reset();
  watch_ = store_.watch(
      "", from,
      {[this](const std::vector<datastore::Event>& e, Revision upto) { events(e, upto); },
       [this](const Error& e) {
         if (e.code == Code::compacted) {
           timer_ = loop_.after(0s, [this] { list(); });
         } else {
           // Half a history is of no use: begin anew.
           failed(e, [this] { cache_.ready() ? watch(cache_.revision()) : list(); });
         }
       }});
}

void Upstream::events(const std::vector<datastore::Event>& e, Revision upto) {
  delay_ = kFirstDelay;
  changes_.add(e.size());
  // A store tells at once; of what it tells as history the time is not known.
  cache_.apply(e, upto, cache_.ready() ? loop_.now() : Clock::time_point{});
  revision_.set(static_cast<double>(cache_.revision().value()));
  changed_();
}

void Upstream::failed(const Error& error, std::function<void()> again) {
  lag_ = Lag{lag_ ? lag_->since : loop_.now(), error.message()};
  changed_();
  log::warn("typha_store_failed", kv("error", error));
  timer_ = loop_.after(delay_, std::move(again));
  delay_ = std::min(2 * delay_, kLongestDelay);
}

}  // namespace margay::typha
