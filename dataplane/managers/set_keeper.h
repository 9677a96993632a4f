// SPDX-License-Identifier: Apache-2.0
// Model sets -> kernel sets of one table: splits members by family and prefix length, keeps the
// shapes that rules are compiled against. Members live in the table's wants only (but those of
// interval sets, of which there are few). No I/O: wants change, the table's apply() acts.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "dataplane/managers/interval_members.h"
#include "dataplane/nft/driver.h"
#include "dataplane/policy/set_shape.h"

namespace margay::managers {

class SetKeeper {
 public:
  explicit SetKeeper(nft::Table& table) : table_(table) {}

  void apply(const model::SetUpdate& update);
  void remove(const model::SetId& id);
  // The whole content of a set of nets; for sets that the plane itself makes.
  void replace(std::string_view id, const std::vector<Prefix>& members);

  // Families in use on this node: sets have a kernel set for their host addresses even when empty,
  // so that the first member of a set touches no rule.
  void set_families(bool v4, bool v6);

  [[nodiscard]] const policy::SetShapes& shapes() const { return shapes_; }
  // Is the address, or the port of it, a member? False for an unknown set.
  [[nodiscard]] bool contains(const model::SetId& id, const Ip& address) const;
  [[nodiscard]] bool contains(const model::SetId& id, const Ip& address, std::uint8_t protocol,
                              std::uint16_t port) const;
  struct Count {
    std::size_t sets = 0, elements = 0;
  };
  [[nodiscard]] const Count& count() const { return count_; }  // of the kernel's sets
  // Members of it are still to come: no rule that stands looks it up.
  [[nodiscard]] bool incomplete(const model::SetId& id) const;
  // Sets that appeared, went, or changed shape since the last call.
  [[nodiscard]] std::set<model::SetId> take_changed();

 private:
  struct Part {                                // one family of one set
    std::optional<IntervalMembers> intervals;  // the family is one interval set
    std::set<unsigned> lengths;                // kernel sets that stand
    bool ports = false;
  };
  struct Entry {
    model::SetKind kind = model::SetKind::nets;
    bool more = false;  // SetUpdate::more
    Part v4, v6;
    [[nodiscard]] Part& of(Family f) { return f == Family::v4 ? v4 : v6; }
    [[nodiscard]] const Part& of(Family f) const { return f == Family::v4 ? v4 : v6; }
  };
  // Members of one family by prefix length.
  using ByLength = std::map<unsigned, std::vector<Prefix>>;

  void make(const std::string& name, nft::SetType type);
  void drop(const std::string& name);
  void fill(const std::string& name, nft::ElementTable elements);
  void change(const std::string& name, nft::ElementTable add, nft::ElementTable remove);
  void change_lengths(const model::SetId& id, Part& part, Family f, bool replace,
                      const ByLength& added, const ByLength& removed);
  void change_intervals(const model::SetId& id, Part& part, Family f, bool replace,
                        const ByLength& added, const ByLength& removed);
  void change_length(const model::SetId& id, Part& part, Family f, unsigned length, bool replace,
                     const std::vector<Prefix>& added, const std::vector<Prefix>& removed);
  void to_intervals(const model::SetId& id, Part& part, Family f);
  void from_intervals(const model::SetId& id, Part& part, Family f);
  void apply_ports(const model::SetUpdate& update, Part& part, Family f);
  void drop_part(const model::SetId& id, Part& part, Family f);
  [[nodiscard]] static std::vector<std::string> names_of(const model::SetId& id, const Part& part,
                                                         Family f);
  void settle(const model::SetId& id, Entry& entry);
  [[nodiscard]] bool used(Family f) const { return f == Family::v4 ? use_v4_ : use_v6_; }

  nft::Table& table_;
  std::map<model::SetId, Entry, std::less<>> sets_;
  policy::SetShapes shapes_;
  std::set<model::SetId> changed_;
  Count count_;
  bool use_v4_ = false, use_v6_ = false;
};

}  // namespace margay::managers
