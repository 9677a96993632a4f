// SPDX-License-Identifier: Apache-2.0
// Route policy as plain values: which route is advertised to a peer (spec bgp.md 6), how a filter
// of the user changes it (3.2), and which learnt route reaches the kernel (7.2). Evaluated by
// bgp/policy/evaluate.h. Pure: knows neither sessions nor resources.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "bgp/wire/attributes.h"

namespace margay::bgp {

// LOCAL_PREF carries the priority of a route: lower metric, higher preference (spec 5).
inline constexpr std::uint32_t kPreferenceBase = 2147483647;
inline constexpr std::uint32_t kNormalPriority = 1024;

// --- filters of the user ---------------------------------------------------------------------

enum class MatchOperator { equal, not_equal, in, not_in };
struct PrefixMatch {
  Prefix cidr;
  MatchOperator op = MatchOperator::in;
  unsigned min_length = 0, max_length = 128;  // already clamped to the family and the CIDR
  bool ranged = false;                        // a prefixLength was given
  friend bool operator==(const PrefixMatch&, const PrefixMatch&) = default;
};
enum class SessionKind { any, external, internal };

struct PrependAs {
  std::vector<Asn> path;  // in the order they will stand at the head
  friend bool operator==(const PrependAs&, const PrependAs&) = default;
};
struct SetLocalPref {
  std::uint32_t value = 0;
  friend bool operator==(const SetLocalPref&, const SetLocalPref&) = default;
};
using FilterOperation = std::variant<Community, PrependAs, SetLocalPref>;

// All conditions that are present must hold.
struct FilterRule {
  std::optional<PrefixMatch> prefix;
  bool from_remote_peer = false;  // only routes learnt from a BGP session
  std::string interface;          // outgoing interface, with '*'; empty: any
  SessionKind session = SessionKind::any;
  std::optional<Community> community;
  std::vector<Asn> as_path_prefix;
  std::optional<std::uint32_t> local_pref;
  bool accept = false;
  std::vector<FilterOperation> operations;  // in order, before accepting
  friend bool operator==(const FilterRule&, const FilterRule&) = default;
};
struct Filter {
  std::string name;
  std::vector<FilterRule> import_v4, import_v6, export_v4, export_v6;
  friend bool operator==(const Filter&, const Filter&) = default;
};
using FilterList = std::vector<std::shared_ptr<const Filter>>;      // first decision wins
[[nodiscard]] bool same(const FilterList& a, const FilterList& b);  // by content

// --- what goes out ---------------------------------------------------------------------------

struct PrefixCommunities {
  Prefix cidr;
  std::vector<Community> communities;
  friend bool operator==(const PrefixCommunities&, const PrefixCommunities&) = default;
};

// Same for every peer of this speaker. A route that nothing here accepts is not advertised.
struct ExportPolicy {
  std::vector<Prefix> disabled_pools;          // nothing inside goes out
  std::vector<Prefix> own_blocks;              // exactly these go out; more specific ones do not
  std::vector<Prefix> service_routes;          // exactly these go out
  std::vector<Prefix> reflected_ranges;        // anything inside goes out (set on reflectors only)
  std::vector<Prefix> pools;                   // anything inside goes out
  std::vector<PrefixCommunities> communities;  // added to everything inside
  bool ipip_is_ours = false;  // routes into tunl0 are BGP's own and go to the mesh as well
  std::uint32_t normal_priority_v4 = kNormalPriority;
  std::uint32_t normal_priority_v6 = kNormalPriority;
  friend bool operator==(const ExportPolicy&, const ExportPolicy&) = default;
};

// --- what reaches the kernel -----------------------------------------------------------------

struct KernelPolicy {
  struct Pool {
    Prefix cidr;
    bool program = false;  // false: its routes belong to somebody else (VXLAN: the dataplane)
    friend bool operator==(const Pool&, const Pool&) = default;
  };
  std::vector<Prefix> service_ranges;  // nothing inside is programmed
  std::vector<Pool> pools;             // the most specific that contains the route decides
  friend bool operator==(const KernelPolicy&, const KernelPolicy&) = default;
};

}  // namespace margay::bgp
