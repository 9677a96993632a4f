// SPDX-License-Identifier: Apache-2.0
// What the active tables say about one packet: the verdict, and the rule that decided. The plainest
// reading of model/desired.h, rule by rule: the oracle for the compiler's tests, and what
// `margayctl explain` shows. Knows the first packet of a connection only: return traffic, failsafe
// ports and the host's own chains are the dataplane's.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/calc/rules.h"
#include "base/ip.h"
#include "model/policy_tables.h"

namespace margay::calc {

struct Packet {
  Ip source, destination;  // of one family
  std::uint8_t protocol = 0;
  std::uint16_t source_port = 0, destination_port = 0;  // TCP, UDP, SCTP, UDPLite
  std::uint8_t icmp_type = 0, icmp_code = 0;            // ICMP with IPv4, ICMPv6 with IPv6
  [[nodiscard]] Family family() const { return source.family(); }
};

// Policies, profiles and sets, as batches build them.
class EvaluatorTables : public model::PolicyTables {
 public:
  // Changes of other tables are passed over.
  void apply(const model::Change& change);
  void apply(const model::Batch& batch);

  [[nodiscard]] const model::ActivePolicy* policy(const model::PolicyKey& key) const override;
  [[nodiscard]] const model::ActiveProfile* profile(const std::string& name) const override;
  [[nodiscard]] bool contains(const model::SetId& id, const Ip& address) const override;
  [[nodiscard]] bool contains(const model::SetId& id, const Ip& address, std::uint8_t protocol,
                              std::uint16_t port) const override;

 private:
  struct Set {
    std::set<model::SetMember> members;
    std::array<std::map<unsigned, std::size_t>, 2> lengths;  // by family: members of each length
    void add(const model::SetMember& m);
    void remove(const model::SetMember& m);
  };
  std::map<model::PolicyKey, model::ActivePolicy> policies_;
  std::map<std::string, model::ActiveProfile> profiles_;
  std::map<model::SetId, Set> sets_;
};

[[nodiscard]] bool matches(const model::ActiveRule& rule, const Packet& packet,
                           const model::PolicyTables& tables);

struct Decision {
  enum class By {
    rule,          // of `policy`
    end_of_tier,   // policies of `tier` apply, none of their rules gave a verdict
    profile_rule,  // of `profile`
    no_profile,    // nothing allowed it
    inactive,      // the workload is down
    not_policed,   // no policy of this class: the next class of rules decides
  };
  bool allowed = false;
  By by = By::no_profile;
  std::string tier;
  std::optional<model::PolicyKey> policy;
  std::string profile;
  std::size_t rule = 0;  // index in the list of the direction
  // Log rules passed on the way: policy or profile, and the rule's index.
  std::vector<std::pair<std::string, std::size_t>> logged;
};

// Tiers, then profiles. A policy that the tables do not know denies.
[[nodiscard]] Decision evaluate(const std::vector<model::EndpointTier>& tiers,
                                const std::vector<std::string>& profiles, Direction direction,
                                const Packet& packet, const model::PolicyTables& tables);
// ingress: to the workload, egress: from it. Anti-spoofing is may_send's.
[[nodiscard]] Decision evaluate(const model::LocalWorkload& workload, Direction direction,
                                const Packet& packet, const model::PolicyTables& tables);
// Only the tiers, for the untracked, pre-DNAT and forward classes of host endpoints: without a
// verdict the decision is `not_policed`.
[[nodiscard]] Decision evaluate_tiers(const std::vector<model::EndpointTier>& tiers,
                                      Direction direction, const Packet& packet,
                                      const model::PolicyTables& tables);
// May the workload send from this address?
[[nodiscard]] bool may_send(const model::LocalWorkload& workload, const Ip& source);

}  // namespace margay::calc
