// SPDX-License-Identifier: Apache-2.0
#include "agent/sync/session.h"

#include <utility>

namespace margay::sync {
namespace {

constexpr std::size_t kMaxKey = 4096;
constexpr std::size_t kMaxValue = 8U << 20;  // of assembled parts; a Store accepts much less

Error garbage(std::string what) {
  return make_error(Code::invalid, "sync stream: " + std::move(what));
}

std::string number(std::uint64_t n) { return std::to_string(n); }

Session::Effects age_of(const v1::SyncMessage& m) {
  constexpr std::uint64_t kLongest = 1000ULL * 3600 * 24 * 365;  // ms; a server may say anything
  Session::Effects out;
  out.age = std::chrono::milliseconds(std::min(m.stale_ms(), kLongest));
  out.age_reason = m.stale_reason();
  return out;
}

}  // namespace

void Session::connected(v1::SubscribeRequest* request) {
  phase_ = Phase::opening;
  partial_.reset();
  resuming_ = revision_.value() != 0 && !merger_.store_id().empty();
  request->set_resume_store_id(seen_store_);
  request->set_seen_revision(seen_.value());
  if (resuming_) request->set_resume_revision(revision_.value());
}

Result<Session::Effects> Session::handle(v1::SyncMessage* m) {
  if (partial_ && m->kind() != v1::SNAPSHOT && m->kind() != v1::DELTA) {
    return garbage("the value of " + partial_->key + " is not finished");
  }
  switch (m->kind()) {
    case v1::SNAPSHOT_BEGIN:
      return begin_snapshot(m);
    case v1::SNAPSHOT:
      return snapshot(m);
    case v1::SNAPSHOT_END:
      return end_snapshot(*m);
    case v1::DELTA:
      return delta(m);
    case v1::IN_SYNC:
      return in_sync(*m);
    case v1::HEARTBEAT:
      return heartbeat(*m);
    default:  // what newer or broken servers send is not in the enumeration
      return garbage("message of unknown kind " + number(static_cast<std::uint64_t>(m->kind())));
  }
}

Result<Session::Effects> Session::begin_snapshot(v1::SyncMessage* m) {
  if (m->store_id().empty()) return garbage("a snapshot of a store without an id");
  MARGAY_CHECK(not_older(m->store_id(), Revision(m->revision())));
  if (seen_store_ != m->store_id()) seen_ = Revision(0);
  seen_store_ = m->store_id();
  see(Revision(m->revision()));
  phase_ = Phase::snapshot;
  revision_ = Revision(0);
  last_key_.clear();
  merger_.begin_snapshot(std::move(*m->mutable_store_id()));
  Effects effects;
  effects.snapshot_begun = true;
  return effects;
}

// What an older view lacks was not deleted, it was not there yet.
Result<void> Session::not_older(const std::string& store_id, Revision revision) const {
  if (store_id != seen_store_ || revision >= seen_) return {};
  return make_error(Code::conflict, "an older view of the store: revision " +
                                        number(revision.value()) + ", but " +
                                        number(seen_.value()) + " is in force");
}

Result<Session::Effects> Session::snapshot(v1::SyncMessage* m) {
  if (phase_ != Phase::snapshot) return garbage("a segment outside a snapshot");
  Effects effects;
  MARGAY_CHECK(collect(m, &effects.updates));
  for (const auto& u : effects.updates) {
    if (u.deleted) return garbage("a delete in a snapshot: " + u.key);
    if (u.key <= last_key_) return garbage("keys of a snapshot out of order at " + u.key);
    last_key_ = u.key;
  }
  merger_.filter(effects.updates);
  return effects;
}

Result<Session::Effects> Session::end_snapshot(const v1::SyncMessage& m) {
  if (phase_ != Phase::snapshot) return garbage("the end of a snapshot that was not begun");
  MARGAY_CHECK(not_older(seen_store_, Revision(m.revision())));
  phase_ = Phase::following;
  revision_ = Revision(m.revision());
  see(revision_);
  Effects effects;
  effects.updates = merger_.end_snapshot(revision_);
  return effects;
}

Result<Session::Effects> Session::delta(v1::SyncMessage* m) {
  if (phase_ == Phase::opening && resuming_) phase_ = Phase::following;
  if (phase_ != Phase::following) return garbage("a delta before a snapshot");
  const Revision upto(m->revision());
  if (upto < revision_) {
    return garbage("revision " + number(upto.value()) + " after " + number(revision_.value()));
  }
  Effects effects;
  MARGAY_CHECK(collect(m, &effects.updates));
  auto& updates = effects.updates;
  const Revision last = updates.empty() ? upto : std::max(upto, updates.back().revision);
  for (const auto& u : updates) {
    // Only of the last one more may follow.
    if (u.revision > upto && u.revision != last) {
      return garbage("revision of " + u.key + " is beyond its message's");
    }
  }
  merger_.filter(updates);
  for (std::size_t i = 0; i < updates.size(); ++i) {
    const bool ends = i + 1 == updates.size();
    updates[i].more =
        ends ? updates[i].revision > upto : updates[i].revision == updates[i + 1].revision;
  }
  // A resume in the middle of a cut value would miss its beginning: stay before it.
  if (!partial_) revision_ = upto;
  see(last);
  return effects;
}

Result<Session::Effects> Session::in_sync(const v1::SyncMessage& m) {
  if (phase_ == Phase::opening && resuming_) phase_ = Phase::following;
  if (phase_ != Phase::following) return garbage("in sync before a snapshot");
  if (m.store_id() != merger_.store_id()) {
    return garbage("in sync with store '" + m.store_id() + "', not " + merger_.store_id());
  }
  if (m.revision() < revision_.value()) {
    return garbage("in sync at revision " + number(m.revision()) + " after " +
                   number(revision_.value()));
  }
  revision_ = Revision(m.revision());
  see(revision_);
  Effects effects = age_of(m);
  effects.in_sync = true;
  return effects;
}

Result<Session::Effects> Session::heartbeat(const v1::SyncMessage& m) {
  if (phase_ == Phase::following) {
    if (m.revision() < revision_.value()) {
      return garbage("heartbeat at revision " + number(m.revision()) + " after " +
                     number(revision_.value()));
    }
    revision_ = Revision(m.revision());
    see(revision_);
  }
  return age_of(m);
}

Result<void> Session::collect(v1::SyncMessage* m, std::vector<Update>* updates) {
  updates->reserve(static_cast<std::size_t>(m->entries_size()));
  for (auto& e : *m->mutable_entries()) MARGAY_CHECK(add(&e, updates));
  return {};
}

Result<void> Session::add(v1::Entry* e, std::vector<Update>* updates) {
  if (e->key().empty() || e->key().size() > kMaxKey) {
    return garbage("a key of " + number(e->key().size()) + " bytes");
  }
  if (partial_) {
    if (e->key() != partial_->key || e->deleted() || e->revision() != partial_->revision.value()) {
      return garbage("the value of " + partial_->key + " is not finished");
    }
    partial_->value += e->value();
  } else {
    partial_ = Update{{std::move(*e->mutable_key()), std::move(*e->mutable_value()), e->deleted(),
                       Revision(e->revision())}};
  }
  if (partial_->deleted && (e->more() || !partial_->value.empty())) {
    return garbage("a delete with a value: " + partial_->key);
  }
  if (partial_->value.size() > kMaxValue) return garbage("endless value of " + partial_->key);
  if (e->more()) return {};
  updates->push_back(std::move(*partial_));
  partial_.reset();
  return {};
}

}  // namespace margay::sync
