// SPDX-License-Identifier: Apache-2.0
#include "agent/policy_thread.h"

#include "agent/calc/evaluator.h"
#include "agent/show.h"
#include "base/log.h"

namespace margay::agent {
namespace {

using namespace std::chrono_literals;

std::string detail_of(const managers::PolicyStatus& s) {
  if (!s.in_sync) return "waiting for the first complete view";
  std::string out = s.last_error;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : "; ") + text; };
  if (!s.quarantined.empty()) {
    add(std::to_string(s.quarantined.size()) + " objects refused by the kernel, first " +
        s.quarantined.front());
  }
  if (!s.fails_closed.empty()) {
    add(std::to_string(s.fails_closed.size()) + " policies fail closed, first " +
        s.fails_closed.front());
  }
  for (const foreign::Drop& d : s.foreign) {
    if (!d.drops.empty()) add(foreign::sentence(d));
  }
  return out;
}

bool allows(const model::LocalWorkload& workload, managers::FlowWay way,
            const conntrack::Tuple& packet, const model::PolicyTables& tables) {
  const bool to = way == managers::FlowWay::to_workload;
  return calc::evaluate(workload, to ? calc::Direction::ingress : calc::Direction::egress,
                        {packet.source, packet.destination, packet.protocol, packet.source_port,
                         packet.destination_port, packet.icmp_type, packet.icmp_code},
                        tables)
      .allowed;
}

}  // namespace

PolicyThread::PolicyThread(health::Health& health, metrics::Registry& registry,
                           policy::PolicyConfig config)
    : health_(health), batches_(loop_, [this](std::vector<model::Batch> batches) {
        for (model::Batch& b : batches) plane_->apply(std::move(b));
      }) {
  plane_ = std::make_unique<managers::PolicyPlane>(
      loop_, registry, [this](const managers::PolicyStatus& s) { report(s); }, allows);
  plane_->set_config(std::move(config));
  loop_.post([this] {
    pulse_ = std::make_unique<Pulse>(loop_, health_, kSubsystem);
    start();
  });
  loop_.run_in_thread();
}

PolicyThread::~PolicyThread() { loop_.join(); }

void PolicyThread::start() {
  const auto started = plane_->start();
  if (started.ok()) return report(plane_->status());
  log::error("policy_start_failed", kv("error", started.error()));
  health_.report(kSubsystem, false, started.error().message());
  retry_ = loop_.after(1s, [this] { start(); });
}

void PolicyThread::report(const managers::PolicyStatus& status) {
  health_.report(kSubsystem, status.applied, detail_of(status), status.behind_since);
}

void PolicyThread::configure(policy::PolicyConfig config) {
  loop_.post(
      [this, config = std::move(config)]() mutable { plane_->set_config(std::move(config)); });
}

void PolicyThread::set_interfaces(std::map<std::string, std::vector<Ip>> interfaces) {
  loop_.post([this, interfaces = std::move(interfaces)]() mutable {
    plane_->set_interfaces(std::move(interfaces));
  });
}

void PolicyThread::show(local_api::Answer answer) {
  loop_.post([this, answer = std::move(answer)] {
    answer(show_policy(plane_->status(), plane_->holdings(), loop_.now()));
  });
}

void PolicyThread::show_foreign(local_api::Answer answer) {
  loop_.post([this, answer = std::move(answer)] { answer(agent::show_foreign(plane_->status())); });
}

}  // namespace margay::agent
