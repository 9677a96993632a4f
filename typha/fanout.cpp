// SPDX-License-Identifier: Apache-2.0
#include "typha/fanout.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace margay::typha {

Fanout::Fanout(EventLoop& loop, Cache& cache, metrics::Registry& m, Clock::duration heartbeat)
    : loop_(loop),
      cache_(cache),
      heartbeat_(heartbeat),
      connected_(m.gauge("margay_typha_clients", "Clients connected.")),
      connections_(m.counter("margay_typha_connections_total", "Subscriptions ever begun.")),
      messages_(m.counter("margay_typha_messages_total", "Messages sent to clients.")),
      bytes_(m.counter("margay_typha_bytes_total", "Bytes of messages sent to clients.")),
      snapshots_(m.counter("margay_typha_snapshots_total", "Snapshots begun for a client.")),
      resumes_(m.counter("margay_typha_resumes_total", "Clients that needed no snapshot.")),
      overtaken_(m.counter("margay_typha_overtaken_total",
                           "Clients so slow that they were moved to a newer snapshot.")),
      refused_(m.counter("margay_typha_refused_total",
                         "Clients that hold a newer view of the store than this server.")) {
  beat();
}

Fanout::Id Fanout::add(Downstream& downstream, Subscriber subscriber) {
  const Id id = ++last_id_;
  Client c{};
  c.downstream = &downstream;
  c.subscriber = std::move(subscriber);
  c.since = loop_.now();
  const auto it = clients_.emplace(id, std::move(c)).first;
  connected_.set(static_cast<double>(clients_.size()));
  connections_.add();
  advance(it->second);
  return id;
}

void Fanout::remove(Id id) {
  clients_.erase(id);
  connected_.set(static_cast<double>(clients_.size()));
}

void Fanout::sent(Id id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  it->second.busy = false;
  advance(it->second);
}

void Fanout::changed() {
  for (auto& [id, c] : clients_) advance(c);
}

void Fanout::advance(Client& c) {
  if (c.busy || !cache_.ready()) return;
  switch (c.stage) {
    case Stage::waiting:
      return place(c);
    case Stage::snapshot:
      return go_on_with_snapshot(c);
    case Stage::following:
      return follow(c);
  }
}

void Fanout::place(Client& c) {
  const auto& s = c.subscriber;
  if (s.resume_store_id == cache_.store_id() && s.seen_revision > cache_.revision()) {
    return refuse(c);
  }
  if (s.resume_revision.value() != 0 && s.resume_store_id == cache_.store_id()) {
    if (auto at = cache_.log().after(s.resume_revision)) {
      resumes_.add();
      c.stage = Stage::following;
      c.sent = s.resume_revision;
      c.next_delta = at->sequence;
      c.head = std::move(at->head);
      c.head_upto = at->head_upto;
      return follow(c);
    }
  }
  begin_snapshot(c);
}

// What this server does not have yet must not look deleted to its client.
void Fanout::refuse(Client& c) {
  const auto& s = c.subscriber;
  refused_.add();
  log::warn("typha_view_older", kv("node", s.node_name), kv("revision", cache_.revision().value()),
            kv("client", s.seen_revision.value()));
  c.busy = true;  // for good: it is about to go
  c.downstream->refuse(
      "this margay-typha has an older view of the store: revision " +
      std::to_string(cache_.revision().value()) + ", the client has " +
      std::to_string(s.seen_revision.value()) +
      "; if an older copy of the store was restored on purpose, start it once with "
      "--restored");
}

void Fanout::begin_snapshot(Client& c) {
  const bool same_store = c.subscriber.resume_store_id == cache_.store_id();
  c.snapshot = cache_.snapshot(same_store ? c.subscriber.seen_revision : Revision(0));
  c.next_body = 0;
  c.stage = Stage::snapshot;
  c.tell_in_sync = true;
  c.head = nullptr;
  ++c.snapshots;
  snapshots_.add();
  send(c, Kind::snapshot_begin, c.snapshot->revision, {}, cache_.store_id());
}

void Fanout::go_on_with_snapshot(Client& c) {
  if (c.next_body < c.snapshot->bodies.size()) {
    return send(c, Kind::snapshot, Revision(0), {c.snapshot->bodies[c.next_body++]});
  }
  c.stage = Stage::following;
  c.next_delta = c.snapshot->next_delta;
  c.sent = c.snapshot->revision;
  c.snapshot.reset();
  send(c, Kind::snapshot_end, c.sent);
}

bool Fanout::too_far_behind(const Client& c) const {
  const auto& log = cache_.log();
  if (c.next_delta < log.begin()) return true;
  const auto behind = log.bytes_from(c.next_delta);
  return behind > kMaxMessage && behind > cache_.bytes();
}

void Fanout::follow(Client& c) {
  if (too_far_behind(c)) {
    overtaken_.add();
    log::info("typha_client_overtaken", kv("node", c.subscriber.node_name),
              kv("sent", c.sent.value()), kv("revision", cache_.revision().value()));
    return begin_snapshot(c);
  }
  if (c.head) {
    c.sent = std::max(c.sent, c.head_upto);
    return send(c, Kind::delta, c.sent, {std::exchange(c.head, nullptr)});
  }
  if (c.next_delta < cache_.log().end()) {
    auto run = cache_.log().run(c.next_delta);
    c.next_delta = run.next;
    c.sent = std::max(c.sent, run.upto);
    const bool told = run.committed != Clock::time_point{};
    const auto age = std::chrono::duration_cast<std::chrono::microseconds>(
        told ? loop_.now() - run.committed : Clock::duration{});
    return send(c, {encode_delta_head(c.sent, age), std::move(run.bodies)});
  }
  c.sent = cache_.revision();
  if (!std::exchange(c.tell_in_sync, false)) return;
  send(c, Kind::in_sync, c.sent, {}, cache_.store_id());
}

void Fanout::send(Client& c, Kind kind, Revision revision, std::vector<Body> bodies,
                  std::string_view store_id) {
  const bool tells_age = kind == Kind::in_sync || kind == Kind::heartbeat;
  send(c, {encode_head(kind, revision, store_id, tells_age ? staleness() : Staleness{}),
           std::move(bodies)});
}

void Fanout::send(Client& c, Message m) {
  messages_.add();
  std::size_t size = m.head.size();
  for (const auto& b : m.bodies) size += b->size();
  bytes_.add(size);
  c.busy = true;
  c.downstream->send(std::move(m));
}

void Fanout::set_lag(std::optional<Lag> lag) {
  const bool news = lag.has_value() != lag_.has_value();
  lag_ = std::move(lag);
  if (news) beat();
}

Staleness Fanout::staleness() const {
  if (!lag_) return {};
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - lag_->since);
  return {std::max<std::uint64_t>(1, static_cast<std::uint64_t>(age.count())), lag_->reason};
}

void Fanout::beat() {
  // A client with a message under way needs no other sign of life, and has no room for one.
  for (auto& [id, c] : clients_) {
    if (!c.busy) send(c, Kind::heartbeat, c.stage == Stage::following ? c.sent : Revision(0));
  }
  timer_ = loop_.after(heartbeat_, [this] { beat(); });
}

std::vector<Fanout::ClientStatus> Fanout::status() const {
  std::vector<ClientStatus> all;
  for (const auto& [id, c] : clients_) {
    const char* stage = c.stage == Stage::waiting    ? "waiting"
                        : c.stage == Stage::snapshot ? "snapshot"
                                                     : "following";
    const auto next = c.stage == Stage::snapshot ? c.snapshot->next_delta : c.next_delta;
    all.push_back({c.subscriber.node_name, c.subscriber.version, c.subscriber.peer, stage, c.sent,
                   c.snapshots, cache_.log().bytes_from(next), c.since});
  }
  return all;
}

}  // namespace margay::typha
