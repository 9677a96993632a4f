// SPDX-License-Identifier: Apache-2.0
#include "dataplane/managers/policy_plane.h"

#include <array>
#include <deque>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "dataplane/foreign/watch.h"
#include "dataplane/managers/endpoint_book.h"
#include "dataplane/managers/flow_review.h"
#include "dataplane/managers/latency.h"
#include "dataplane/managers/program_book.h"
#include "dataplane/managers/set_keeper.h"
#include "dataplane/managers/static_book.h"
#include "dataplane/managers/unit_store.h"
#include "dataplane/nft/keeper.h"

namespace margay::managers {

namespace {

using namespace std::chrono_literals;

// The endpoints' table is applied first: what it denies must not wait for anything.
constexpr std::size_t kEndpoints = 0, kStatic = 1;
// What the kernel refused is tried again now and then: what was in its way may have gone.
constexpr auto kRefusedRetry = 30s;

// What the books know, as somebody who judges packets reads it.
class Known : public model::PolicyTables {
 public:
  Known(const ProgramBook& programs, const SetKeeper& sets) : programs_(programs), sets_(sets) {}
  const model::ActivePolicy* policy(const model::PolicyKey& key) const override {
    return programs_.source().policy(key);
  }
  const model::ActiveProfile* profile(const std::string& name) const override {
    return programs_.source().profile(name);
  }
  bool contains(const model::SetId& id, const Ip& address) const override {
    return sets_.contains(id, address);
  }
  bool contains(const model::SetId& id, const Ip& address, std::uint8_t protocol,
                std::uint16_t port) const override {
    return sets_.contains(id, address, protocol, port);
  }

 private:
  const ProgramBook& programs_;
  const SetKeeper& sets_;
};

// What the review of standing connections needs from outside.
struct ReviewNeeds {
  EventLoop& loop;
  const FlowJudge& judge;
  metrics::Counter& cut;
  std::function<bool(const Ip&)> is_host;
};

// Everything that exists once the kernel's sockets are open.
struct Tables {
  Tables(std::unique_ptr<nft::Keeper> k, const policy::PolicyConfig& config, ReviewNeeds needs)
      : keeper(std::move(k)),
        endpoint_table(keeper->table(kEndpoints)),
        static_table(keeper->table(kStatic)),
        sets(endpoint_table),
        units(endpoint_table),
        programs(units, sets.shapes(), config),
        endpoints(endpoint_table, units, programs, sets.shapes(), config),
        static_sets(static_table),
        static_units(static_table),
        statics(static_sets, static_units, config),
        known(programs, sets),
        review(needs.loop, endpoint_table,
               {known,
                endpoints.workloads(),
                std::move(needs.is_host),
                {endpoints, config, needs.judge}},
               needs.judge, needs.cut,
               [this] { keeper->request(kEndpoints, nft::Scope::atomic); }) {}

  std::unique_ptr<nft::Keeper> keeper;
  nft::Table &endpoint_table, &static_table;
  SetKeeper sets;
  UnitStore units;
  ProgramBook programs;
  EndpointBook endpoints;
  SetKeeper static_sets;
  UnitStore static_units;
  StaticBook statics;
  Known known;
  FlowReview review;
};

struct Instruments {
  explicit Instruments(metrics::Registry& m)
      : applies(m.counter("margay_policy_applies_total", "Times wanted policy was applied")),
        failures(m.counter("margay_policy_apply_failures_total", "Applies that failed whole")),
        messages(m.counter("margay_policy_kernel_messages_total", "nftables changes sent")),
        repairs(m.counter("margay_policy_repairs_total", "Objects restored after foreign changes")),
        compile_seconds(m.histogram("margay_policy_compile_seconds", "From changes to wants",
                                    {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1})),
        seconds(m.histogram("margay_policy_apply_seconds", "From wants to the kernel",
                            {0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5})),
        cut(m.counter("margay_policy_flows_cut_total",
                      "Standing connections deleted because policy denies them now")),
        quarantined(m.gauge("margay_policy_quarantined", "Objects the kernel refuses")),
        closed(m.gauge("margay_policy_fails_closed", "Chains that deny as a set is unknown")),
        chains(m.gauge("margay_policy_chains", "Chains wanted")),
        rules(m.gauge("margay_policy_rules", "Rules wanted")),
        sets(m.gauge("margay_policy_sets", "Sets wanted")),
        elements(m.gauge("margay_policy_elements", "Elements of sets of addresses wanted")) {}
  metrics::Counter &applies, &failures, &messages, &repairs;
  metrics::Histogram &compile_seconds, &seconds;
  metrics::Counter& cut;
  metrics::Gauge &quarantined, &closed, &chains, &rules, &sets, &elements;
};

}  // namespace

class PolicyPlane::Impl {
 public:
  Impl(EventLoop& loop, metrics::Registry& metrics, StatusFn on_status, FlowJudge judge)
      : loop_(loop),
        metrics_(metrics),
        instruments_(metrics),
        on_status_(std::move(on_status)),
        judge_(std::move(judge)),
        latency_(metrics, "policy") {}

  // Taken in one go with what else waits, so that a repair in between never applies half of it.
  void apply(model::Batch batch) {
    if (batch.in_sync) in_sync_ = true;
    for (const model::Change& c : batch.changes) note_endpoint(c, batch.since);
    latency_.arrived(batch.since);
    std::move(batch.changes.begin(), batch.changes.end(), std::back_inserter(waiting_));
    schedule();
  }

  void set_config(policy::PolicyConfig config) {
    MARGAY_ASSERT(judge_ || !config.cut_flows);
    waiting_config_ = std::move(config);
    schedule();
  }

  void set_interfaces(InterfaceAddresses interfaces) {
    interfaces_ = std::move(interfaces);
    host_addresses_.clear();
    for (const auto& [name, addresses] : interfaces_) {
      host_addresses_.insert(addresses.begin(), addresses.end());
    }
    schedule();
  }

  Result<void> start() {
    if (tables_) return {};
    nft::KeeperOptions options;
    options.audit = Clock::duration::zero();  // ours may change its period
    const std::vector<std::string> names{"margay", "margay-static"};
    MARGAY_TRY(auto watch,
               foreign::Watch::open(loop_, metrics_, names, [this] { foreign_changed(); }));
    MARGAY_TRY(auto keeper,
               nft::Keeper::open(
                   loop_, names, options,
                   [this](nft::Table& t, const Result<nft::Progress>& r) { applied(t, r); },
                   [this](const nft::Notice* n) { foreign_->noticed(n); }));
    foreign_ = std::move(watch);
    take_config();
    tables_ = std::make_unique<Tables>(
        std::move(keeper), config_,
        ReviewNeeds{loop_, judge_, instruments_.cut, [this](const Ip& a) { return is_host(a); }});
    tables_->review.enable(config_.cut_flows);
    arm_audit();
    schedule();
    return {};
  }

  const PolicyStatus& status() const { return status_; }

  Holdings holdings() const {
    Holdings out;
    if (!tables_) return out;
    for (const nft::Table* t : {&tables_->endpoint_table, &tables_->static_table}) {
      out.want += t->wanted();
      out.have += t->held();
    }
    return out;
  }

 private:
  // --- input -----------------------------------------------------------------------------------

  void take(model::SetUpdate& c) {
    if (!c.more && !tables_->sets.incomplete(c.id)) tables_->review.set_changed(c);
    tables_->sets.apply(c);
  }
  void take(model::SetRemove& c) {
    std::erase_if(pieces_, [&](const model::SetUpdate& piece) { return piece.id == c.id; });
    tables_->sets.remove(c.id);
  }
  void take(model::ActivePolicy& c) {
    tables_->review.policy_changed(c.key);
    tables_->programs.set_policy(std::move(c));
  }
  void take(model::PolicyRemove& c) {
    tables_->review.policy_changed(c.key);
    tables_->programs.remove_policy(c.key);
  }
  void take(model::ActiveProfile& c) {
    tables_->review.profile_changed(c.name);
    tables_->programs.set_profile(std::move(c));
  }
  void take(model::ProfileRemove& c) {
    tables_->review.profile_changed(c.name);
    tables_->programs.remove_profile(c.name);
  }
  void take(model::LocalWorkload& c) {
    floating_due_ = true;
    tables_->review.workload_changed(c.id);
    tables_->endpoints.set_workload(std::move(c));
  }
  void take(model::WorkloadRemove& c) {
    floating_due_ = true;
    tables_->endpoints.remove_workload(c.id);
  }
  void take(model::LocalHostEndpoint& c) {
    tables_->review.host_endpoint_changed();
    tables_->endpoints.set_host_endpoint(std::move(c));
  }
  void take(model::HostEndpointRemove& c) {
    tables_->review.host_endpoint_changed();
    tables_->endpoints.remove_host_endpoint(c.id);
  }
  void take(model::DesiredPool& c) { tables_->statics.set_pool(c); }
  void take(model::PoolRemove& c) { tables_->statics.remove_pool(c.cidr); }
  void take(model::RouteTarget&) {}
  void take(model::RouteRemove&) {}
  void take(model::Vtep& c) {
    tables_->statics.set_vtep(c);
    hosts_due_ = true;
  }
  void take(model::VtepRemove& c) {
    tables_->statics.remove_vtep(c);
    hosts_due_ = true;
  }
  void take(model::HostAddresses& c) {
    tables_->statics.set_host(c);
    hosts_due_ = true;
  }
  void take(model::HostRemove& c) {
    tables_->statics.remove_host(c.node);
    hosts_due_ = true;
  }
  void take(model::LocalNode& c) { tables_->statics.set_node(c); }
  void take(model::ServiceRanges& c) { tables_->statics.set_services(c); }
  void take(model::EncapInUse& c) {
    encap_ = c;
    tables_->statics.set_encap(c);
    tables_->endpoints.set_encap(c.vxlan_v4 || c.vxlan_v6, c.ipip);
    hosts_due_ = true;
  }

  // --- applying --------------------------------------------------------------------------------

  // Behind everything that already waits on the loop: a burst of input becomes one transaction, a
  // single change is applied at once.
  void schedule() {
    if (scheduled_ || !tables_ || !in_sync_) return;
    scheduled_ = true;
    loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
      if (alive.expired()) return;
      scheduled_ = false;
      run();
    });
  }

  void run() {
    const auto start = loop_.now();
    if (take_config()) {
      tables_->programs.config_changed();
      tables_->endpoints.config_changed();
      tables_->statics.config_changed();
      floating_due_ = hosts_due_ = true;
      tables_->review.enable(config_.cut_flows);
      arm_audit();
    }
    tables_->endpoints.set_interfaces(interfaces_);
    for (model::Change& c : std::exchange(waiting_, {})) {
      if (!put_off(c)) std::visit([this](auto& change) { take(change); }, c);
    }
    take_piece();
    prepare();
    for (Outcome& o : outcomes_) o.due = true;
    if (!behind_since_) behind_since_ = loop_.now();
    for (const auto& [id, since] : std::exchange(arrived_, {})) fresh_.push_back(since);
    instruments_.compile_seconds.observe(seconds_since(start));
    asked_ = loop_.now();
    // One transaction for all that can be seen: a packet meets the state before or after it.
    tables_->keeper->request(kEndpoints, nft::Scope::atomic);
    tables_->keeper->request(kStatic, nft::Scope::atomic);
    publish_pending();
  }

  // Of a set that comes in pieces nothing is in force before the last: one at a time, so that what
  // comes meanwhile passes between them.
  bool put_off(model::Change& c) {
    auto* update = std::get_if<model::SetUpdate>(&c);
    if (update == nullptr || update->replace || !tables_->sets.incomplete(update->id)) return false;
    pieces_.push_back(std::move(*update));
    return true;
  }
  void take_piece() {
    if (pieces_.empty()) return;
    take(pieces_.front());
    pieces_.pop_front();
    if (!pieces_.empty()) schedule();
  }

  bool take_config() {
    if (!waiting_config_) return false;
    const bool changed = *waiting_config_ != config_;
    config_ = std::move(*waiting_config_);
    waiting_config_.reset();
    return changed;
  }

  double seconds_since(Clock::time_point start) const {
    return std::chrono::duration<double>(loop_.now() - start).count();
  }

  void prepare() {
    Tables& t = *tables_;
    if (std::exchange(floating_due_, false)) take_floating();
    t.statics.refresh();
    const auto used = [&](Family f) {
      return t.statics.has_pool_of(f) || t.endpoints.has_address_of(f);
    };
    t.sets.set_families(used(Family::v4), used(Family::v6));
    t.static_sets.set_families(used(Family::v4), used(Family::v6));
    families_ = {used(Family::v4), used(Family::v6)};
    t.statics.refresh();
    if (std::exchange(hosts_due_, false) || t.endpoints.has_host_endpoints() != host_sets_) {
      host_sets_ = t.endpoints.has_host_endpoints();
      for (const auto& [id, members] : t.statics.host_sets()) {
        if (host_sets_) {
          t.sets.replace(id, members);
        } else {
          t.sets.remove(id);
        }
      }
    }
    const std::set<model::SetId> changed = t.sets.take_changed();
    if (changed.contains(std::string(policy::kVxlanHosts)) ||
        changed.contains(std::string(policy::kAllHosts))) {
      t.endpoints.shapes_changed();
    }
    t.programs.shapes_changed(changed);
    t.endpoints.passing_changed(t.programs.refresh());
    t.endpoints.refresh();
  }

  void take_floating() {
    std::vector<model::IpNat> all;
    for (const auto& [id, w] : tables_->endpoints.workloads()) {
      if (w.active) all.insert(all.end(), w.nats.begin(), w.nats.end());
    }
    tables_->statics.set_floating(std::move(all));
  }

  // When endpoints that nobody knew before were first heard of.
  void note_endpoint(const model::Change& change, std::optional<Clock::time_point> since) {
    const auto* workload = std::get_if<model::LocalWorkload>(&change);
    if (workload == nullptr || !since || !tables_) return;
    if (tables_->endpoints.workloads().contains(workload->id)) return;
    arrived_.try_emplace(workload->id, *since);
  }

  struct Outcome {  // of the last apply of one table
    bool good = false;
    bool due = false;  // what was asked for is not all done
    std::string error;
    std::vector<std::string> refused;
  };

  // After each apply of one of the tables, whoever asked for it.
  void applied(const nft::Table& table, const Result<nft::Progress>& result) {
    const bool of_endpoints = &table == &tables_->endpoint_table;
    Outcome& o = outcomes_[of_endpoints ? kEndpoints : kStatic];
    o = {};
    if (!result.ok()) {
      o.due = true;
      if (!behind_since_) behind_since_ = loop_.now();
      instruments_.failures.add();
      o.error = table.name() + ": " + result.error().message();
    } else {
      const nft::Progress& p = result.value();
      o.due = p.more || p.incomplete;
      o.good = !o.due;
      if (o.due) behind_since_ = loop_.now();  // it goes on
      written_ = written_ || p.changed();
      if (of_endpoints) {
        for (const auto since : std::exchange(fresh_, {})) latency_.endpoint(since, loop_.now());
      }
      instruments_.messages.add(p.messages);
      instruments_.repairs.add(p.repairs);
      repairs_ += p.repairs;
      for (const nft::Refused& r : p.refused) {
        o.refused.push_back(r.error.message());
      }
      for (const std::string& w : p.waiting) o.refused.push_back(w + ": waits for another");
    }
    if (!outcomes_[kEndpoints].due && !outcomes_[kStatic].due) {
      behind_since_.reset();
      latency_.settled(std::exchange(written_, false), loop_.now());
    }
    instruments_.applies.add();
    if (&table == &tables_->static_table) instruments_.seconds.observe(seconds_since(asked_));
    settle();
    if (&table == &tables_->endpoint_table && outcomes_[kEndpoints].good) {
      tables_->review.settled();
    }
  }

  // Link-local and loopback addresses are never a workload's.
  bool is_host(const Ip& a) const {
    return a.is_loopback() || a.is_link_local() || host_addresses_.contains(a);
  }

  void settle() {
    PolicyStatus next = status_;
    next.in_sync = in_sync_;
    next.repairs = repairs_;
    next.last_error.clear();
    next.quarantined.clear();
    bool good = true;
    for (const Outcome& o : outcomes_) {
      good = good && o.good;
      if (next.last_error.empty()) next.last_error = o.error;
      next.quarantined.insert(next.quarantined.end(), o.refused.begin(), o.refused.end());
    }
    next.pending =
        !good || scheduled_ || tables_->endpoint_table.pending() || tables_->static_table.pending();
    next.applied = next.applied || good;
    if (good) next.last_apply = loop_.now();
    next.behind_since = behind_since_;
    if (next.quarantined != status_.quarantined) {
      for (const std::string& q : next.quarantined) {
        log::error("policy_quarantined", kv("object", q));
      }
      retry_refused(!next.quarantined.empty());
    }
    count(next);
    publish(std::move(next));
    watch_foreign();
  }

  // Nothing of others is touched before policy of ours stands: it is what makes accepts harmless.
  void watch_foreign() {
    foreign::Subject s;
    s.prefixes = config_.interface_prefixes;
    s.v4 = families_.v4;
    s.v6 = families_.v6;
    if (encap_.vxlan_v4) s.vxlan_v4_port = config_.vxlan_port;
    if (encap_.vxlan_v6) s.vxlan_v6_port = config_.vxlan_port;
    s.workloads_to_host = config_.endpoint_to_host == policy::EndpointToHost::accept;
    foreign_->set_subject(
        s, status_.applied ? std::optional(config_.accept_in_foreign_chains) : std::nullopt);
  }

  void foreign_changed() {
    PolicyStatus next = status_;
    next.foreign = foreign_->drops();
    publish(std::move(next));
  }

  void publish_pending() {
    PolicyStatus next = status_;
    next.in_sync = in_sync_;
    next.pending = true;
    next.behind_since = behind_since_;
    publish(std::move(next));
  }

  void retry_refused(bool some) {
    if (!some) {
      refused_retry_.reset();
      return;
    }
    refused_retry_ = loop_.after(kRefusedRetry, [this] {
      retry_refused(true);
      look_again(&nft::Table::retry_refused);
    });
  }

  // Outside of input: what the tables want is complete, as it is whenever the loop is idle.
  void look_again(void (nft::Table::*how)()) {
    if (!in_sync_) return;
    (tables_->endpoint_table.*how)();
    (tables_->static_table.*how)();
    schedule();
  }

  void count(PolicyStatus& s) {
    const Tables& t = *tables_;
    const auto a = t.sets.count(), b = t.static_sets.count();
    s.chains = t.units.chains() + t.static_units.chains();
    s.rules = t.units.rules() + t.static_units.rules();
    s.sets = a.sets + b.sets + t.units.sets() + t.static_units.sets();
    s.elements = a.elements + b.elements;
    s.fails_closed.clear();
    for (const auto& [chain, set] : t.programs.fails_closed()) {
      s.fails_closed.push_back(chain + ": set " + set + " is unknown");
    }
    instruments_.quarantined.set(static_cast<double>(s.quarantined.size()));
    instruments_.closed.set(static_cast<double>(s.fails_closed.size()));
    instruments_.chains.set(static_cast<double>(s.chains));
    instruments_.rules.set(static_cast<double>(s.rules));
    instruments_.sets.set(static_cast<double>(s.sets));
    instruments_.elements.set(static_cast<double>(s.elements));
  }

  void publish(PolicyStatus next) {
    if (next == status_) return;
    status_ = std::move(next);
    if (on_status_) on_status_(status_);
  }

  // The safety net under the kernel's notifications.
  void arm_audit() {
    audit_.reset();
    if (config_.refresh_interval.count() <= 0) return;
    audit_ = loop_.after(config_.refresh_interval, [this] {
      arm_audit();
      look_again(&nft::Table::suspect_all);
      foreign_->look_again();
    });
  }

  EventLoop& loop_;
  metrics::Registry& metrics_;
  Instruments instruments_;
  StatusFn on_status_;
  FlowJudge judge_;
  PolicyStatus status_;
  policy::PolicyConfig config_;
  std::vector<model::Change> waiting_;   // until run()
  std::deque<model::SetUpdate> pieces_;  // of sets that are incomplete
  std::optional<policy::PolicyConfig> waiting_config_;
  InterfaceAddresses interfaces_;
  std::unordered_set<Ip> host_addresses_;
  bool in_sync_ = false;
  bool scheduled_ = false;
  bool floating_due_ = false, hosts_due_ = true, host_sets_ = false;
  std::unique_ptr<foreign::Watch> foreign_;  // before `tables_`, whose keeper tells it
  model::EncapInUse encap_;
  struct {
    bool v4 = false, v6 = false;
  } families_;  // of workloads and pools
  std::unique_ptr<Tables> tables_;
  std::array<Outcome, 2> outcomes_;
  std::uint64_t repairs_ = 0;
  Clock::time_point asked_{};
  std::optional<Clock::time_point> behind_since_;
  bool written_ = false;                                    // for what is due
  std::map<model::EndpointId, Clock::time_point> arrived_;  // new endpoints, until run()
  std::vector<Clock::time_point> fresh_;                    // new ones in what is due
  dataplane::Latency latency_;
  EventLoop::Timer refused_retry_, audit_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // posted tasks hold it weakly
};

PolicyPlane::PolicyPlane(EventLoop& loop, metrics::Registry& metrics, StatusFn on_status,
                         FlowJudge judge)
    : impl_(std::make_unique<Impl>(loop, metrics, std::move(on_status), std::move(judge))) {}
PolicyPlane::~PolicyPlane() = default;
void PolicyPlane::apply(model::Batch batch) { impl_->apply(std::move(batch)); }
void PolicyPlane::set_config(policy::PolicyConfig config) { impl_->set_config(std::move(config)); }
void PolicyPlane::set_interfaces(std::map<std::string, std::vector<Ip>> interfaces) {
  impl_->set_interfaces(std::move(interfaces));
}
Result<void> PolicyPlane::start() { return impl_->start(); }
const PolicyStatus& PolicyPlane::status() const { return impl_->status(); }
PolicyPlane::Holdings PolicyPlane::holdings() const { return impl_->holdings(); }

}  // namespace margay::managers
