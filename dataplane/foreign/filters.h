// SPDX-License-Identifier: Apache-2.0
// Packet filters of other software, as far as they can drop what this node lets through: in the
// kernel an accept of ours ends our base chain only, so that a chain of somebody else that drops by
// default (its policy, or a last rule that drops everything) still has its say. Here such filters
// are plain values, whatever made them (nf_tables, or the older xtables); pure functions tell what
// they drop of ours, who they belong to, what would help, and which accepts of ours belong into
// them. Rules of ours in there carry kComment; nothing else is ever changed. Must not know netlink,
// sockets or policies.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "dataplane/nft/objects.h"

namespace margay::foreign {

using nft::Hook;

// A rule with a comment that begins like this is ours.
inline constexpr std::string_view kComment = "margay: ForeignDropAction";

enum class Backend { nft, legacy };
enum class Families { v4, v6, both };
[[nodiscard]] bool includes(Families families, Family f);

// What a packet must be like, or what is known of one. Interfaces: "cali*" or a whole name; in what
// is known, a prefix with its star stands for every interface of that kind.
struct Traits {
  std::optional<std::string> in, out;
  std::optional<std::uint8_t> protocol;
  std::optional<std::uint16_t> port;  // of the destination
  friend auto operator<=>(const Traits&, const Traits&) = default;
};

struct Rule {
  enum class Verdict { none, accept, drop, return_, jump, goto_ };
  Verdict verdict = Verdict::none;
  std::string target;  // of jump and goto_
  Traits match;
  std::optional<Family> family;
  bool more = false;         // it has conditions that are not understood here
  bool ours = false;         // its comment begins with kComment
  std::uint64_t handle = 0;  // nft's; legacy: its place in the table's bytes
  friend bool operator==(const Rule&, const Rule&) = default;
};

struct Base {
  Hook hook = Hook::forward;
  std::int32_t priority = 0;
  bool drops = false;  // its policy
  friend bool operator==(const Base&, const Base&) = default;
};

struct Chain {
  std::optional<Base> base;
  std::vector<Rule> rules;
  friend bool operator==(const Chain&, const Chain&) = default;
};

// Holds base chains, the chains that they jump to without a condition, and kUserChains.
struct Table {
  Backend backend = Backend::nft;
  Families families = Families::both;
  std::string name;
  std::set<std::string> managers;  // whose marks its chains bear: "Docker"
  std::map<std::string, Chain, std::less<>> chains;
  friend bool operator==(const Table&, const Table&) = default;
};

// Chains that their managers keep for rules of others, and leave alone.
[[nodiscard]] bool is_user_chain(std::string_view chain);
// Whose mark a table or chain of this name is; empty: nobody's that is known.
[[nodiscard]] std::string_view manager_of_table(std::string_view table);
[[nodiscard]] std::string_view manager_of_chain(std::string_view chain);

// What of ours has to get through.
struct Subject {
  std::vector<std::string> prefixes;                          // of workload interfaces
  bool v4 = false, v6 = false;                                // workloads have such addresses
  std::optional<std::uint16_t> vxlan_v4_port, vxlan_v6_port;  // in use
  bool workloads_to_host = false;                             // accepted by us
  friend bool operator==(const Subject&, const Subject&) = default;
};

// A base chain that drops by default.
struct Drop {
  Backend backend = Backend::nft;
  Families families = Families::both;
  std::string table, chain;
  Hook hook = Hook::forward;
  std::string by;                   // "policy drop", or the chain whose last word drops
  std::string manager;              // may be empty
  std::vector<std::string> drops;   // of ours: "packets from workloads"; empty: nothing known
  std::vector<std::string> spared;  // what it would drop but for accepts of ours
  std::string remedy;               // empty when it drops nothing of ours
  std::string error;                // why an accept of ours does not stand there
  friend bool operator==(const Drop&, const Drop&) = default;
};
// "table ip filter"; "legacy table ip6 filter"
[[nodiscard]] std::string describe_table(Backend backend, Families families, std::string_view name);
// "chain FORWARD of table ip filter (iptables-nft, Docker)"
[[nodiscard]] std::string describe(const Drop& d);
// What it drops and what helps, for a person.
[[nodiscard]] std::string sentence(const Drop& d);
[[nodiscard]] std::string_view to_string(Hook h);

[[nodiscard]] std::vector<Drop> find_drops(const Table& table, const Subject& subject);

// Changes of our own rules, so that what is wanted stands and nothing else of ours does.
struct Accept {
  std::string chain;
  Traits match;
  friend bool operator==(const Accept&, const Accept&) = default;
};
struct Edit {
  std::vector<Accept> insert;                                 // each at the head of its chain
  std::vector<std::pair<std::string, std::uint64_t>> remove;  // chain and handle
  [[nodiscard]] bool empty() const { return insert.empty() && remove.empty(); }
};
// `accepting` false: what of ours is there goes.
[[nodiscard]] Edit edit_for(const Table& table, const Subject& subject, bool accepting);

}  // namespace margay::foreign
