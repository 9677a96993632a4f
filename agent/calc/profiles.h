// SPDX-License-Identifier: Apache-2.0
// Profiles: what Profile resources say and what namespaces and service accounts imply (spec
// policy-model.md 5.3). A profile is active while a local endpoint names it; one that is named but
// unknown denies everything.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/calc/classes.h"
#include "agent/calc/ip_sets.h"
#include "base/result.h"
#include "model/desired.h"
#include "model/resources.h"

namespace margay::calc {

struct ProfileValue {
  model::Labels labels;
  std::string inbound, outbound;  // packed rules
  friend bool operator==(const ProfileValue&, const ProfileValue&) = default;
};
[[nodiscard]] Result<ProfileValue> profile_value(const model::ProfileSpec& spec);
// Of a native Namespace ("kns.<name>") or ServiceAccount ("ksa.<namespace>.<name>").
[[nodiscard]] ProfileValue namespace_profile(std::string_view name, const model::Labels& labels);
[[nodiscard]] ProfileValue account_profile(std::string_view name, const model::Labels& labels);

class Profiles {
 public:
  // Both must outlive this object.
  Profiles(Classes& classes, IpSets& sets);
  Profiles(const Profiles&) = delete;
  Profiles& operator=(const Profiles&) = delete;

  // A Profile resource goes before what a native object implies for the same name.
  enum class Origin { resource, native };
  void set(std::string_view name, Origin origin, ProfileValue value);
  void erase(std::string_view name, Origin origin);

  void add_user(std::string_view name);
  void remove_user(std::string_view name);

  // Names whose labels changed since the last call.
  [[nodiscard]] std::set<std::string> take_relabelled() { return std::exchange(relabelled_, {}); }

  struct Changes {
    std::vector<model::Change> updated;
    std::vector<model::Change> removed;
  };
  [[nodiscard]] Changes refresh();
  [[nodiscard]] std::size_t active() const { return active_; }

 private:
  struct Profile {
    std::optional<ProfileValue> resource, native;
    std::size_t users = 0;
    bool sent = false;
    bool changed = false;
    std::vector<std::uint32_t> sets;
    [[nodiscard]] const ProfileValue* value() const {
      return resource ? &*resource : native ? &*native : nullptr;
    }
  };
  template <typename F>
  void change(std::string_view name, const F& f);
  void activate(const std::string& name, Profile& p, std::vector<model::Change>& out);

  Classes& classes_;
  IpSets& sets_;
  std::map<std::string, Profile, std::less<>> profiles_;
  std::set<std::string> dirty_, relabelled_;
  std::size_t active_ = 0;
};

}  // namespace margay::calc
