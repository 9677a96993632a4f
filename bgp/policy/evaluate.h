// SPDX-License-Identifier: Apache-2.0
// Evaluation of route policy: filters of the user, what may be advertised, what the kernel gets.
// Built once per configuration, asked once per route. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "bgp/policy/policy.h"
#include "bgp/policy/prefix_set.h"

namespace margay::bgp {

enum class Direction { import, export_ };
enum class Verdict { none, accept, reject };

// Why a peer is not told of a path.
enum class Withheld {
  no,
  session_down,
  not_best,
  its_own,        // it sent the path
  unreachable,    // nothing leads to the next hop
  no_advertise,   // RFC 1997
  no_export,      // RFC 1997
  not_reflected,  // RFC 4271 9.2.1, RFC 4456
  filter,         // a BGPFilter's rule
  tunnel,         // a route of the kernel's that leads into a tunnel
  disabled_pool,  // disableBGPExport
  inside_own_block,
  outside_pools,
};
[[nodiscard]] std::string_view to_string(Withheld w);

// What a rule may look at.
struct RouteFacts {
  const Prefix& prefix;
  const Attributes& attributes;
  bool from_peer = false;           // learnt from a BGP session
  bool session_external = false;    // the session that it comes from (import) or goes to (export)
  std::string_view interface = {};  // through which the route leads; empty: unknown or none
};

struct FilterResult {
  Verdict verdict = Verdict::none;
  std::optional<Attributes> changed;  // with accept: the attributes after the operations, if any
};

// The first rule that matches decides; `none` when no rule of any filter does.
[[nodiscard]] FilterResult run_filters(const FilterList& filters, Direction direction,
                                       const RouteFacts& facts);
[[nodiscard]] bool matches(const FilterRule& rule, const RouteFacts& facts);
// "eth*" and the like; '*' stands for any run of characters.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

// The built-in part of ExportPolicy, after the filters of the user.
class ExportDecider {
 public:
  explicit ExportDecider(const ExportPolicy& policy);
  // More preferred than a normal route: LOCAL_PREF of a workload that is just moving here.
  [[nodiscard]] bool elevated(const Prefix& prefix, const Attributes& attributes) const;
  [[nodiscard]] Withheld judge(const Prefix& prefix, bool elevated) const;
  [[nodiscard]] bool accepts(const Prefix& prefix, bool elevated) const {
    return judge(prefix, elevated) == Withheld::no;
  }
  // A route of the kernel's that leads into a tunnel or to a device of eBPF is not for everybody.
  [[nodiscard]] bool accepts_interface(std::string_view interface, bool internal) const;
  [[nodiscard]] std::uint32_t normal_local_pref(Family f) const;
  [[nodiscard]] bool has_communities() const { return !policy_.communities.empty(); }
  // True: at least one was added.
  bool add_communities(const Prefix& prefix, Attributes& attributes) const;
  [[nodiscard]] bool has_communities_for(const Prefix& prefix) const;

 private:
  ExportPolicy policy_;
  PrefixSet disabled_, own_, services_, reflected_, pools_;
};

class KernelDecider {
 public:
  explicit KernelDecider(const KernelPolicy& policy);
  [[nodiscard]] bool programs(const Prefix& prefix) const;

 private:
  PrefixSet services_;
  std::vector<KernelPolicy::Pool> pools_;  // longest first
};

}  // namespace margay::bgp
