// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/profiles.h"

#include <algorithm>
#include <optional>

#include "agent/calc/policies.h"
#include "agent/calc/rules.h"
#include "model/selector.h"

namespace margay::calc {
namespace {

constexpr std::string_view kAllowAll = "projectcalico-default-allow";  // built in

std::string packed_rule(model::Action action) {
  model::ActiveRule rule;
  rule.action = action;
  return pack_rules({&rule, 1});
}

model::Labels prefixed(std::string_view prefix, std::string_view name,
                       const model::Labels& labels) {
  model::Labels out;
  const std::string own = std::string(prefix) + "projectcalico.org/name";
  for (const auto& [key, value] : labels) {
    std::string k = std::string(prefix) + key;
    if (k != own) out.emplace_back(std::move(k), value);
  }
  out.emplace_back(own, name);
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

Result<ProfileValue> profile_value(const model::ProfileSpec& spec) {
  MARGAY_TRY(const auto inbound, translate(spec.ingress, "", Direction::ingress));
  MARGAY_TRY(const auto outbound, translate(spec.egress, "", Direction::egress));
  return ProfileValue{spec.labels_to_apply, pack_rules(inbound), pack_rules(outbound)};
}

ProfileValue namespace_profile(std::string_view name, const model::Labels& labels) {
  const std::string allow = packed_rule(model::Action::allow);
  return {prefixed(model::kNamespacePrefix, name, labels), allow, allow};
}

ProfileValue account_profile(std::string_view name, const model::Labels& labels) {
  return {prefixed(model::kServiceAccountPrefix, name, labels), {}, {}};
}

Profiles::Profiles(Classes& classes, IpSets& sets) : classes_(classes), sets_(sets) {
  const std::string allow = packed_rule(model::Action::allow);
  profiles_[std::string(kAllowAll)].native = ProfileValue{{}, allow, allow};
}

template <typename F>
void Profiles::change(std::string_view name, const F& f) {
  const std::string key(name);
  Profile& p = profiles_[key];
  const ProfileValue* old_value = p.value();
  const std::optional<ProfileValue> old = old_value ? std::optional(*old_value) : std::nullopt;
  f(p);
  const ProfileValue* now = p.value();
  const model::Labels labels = now ? now->labels : model::Labels{};
  if (labels != (old ? old->labels : model::Labels{})) {
    classes_.set_profile_labels(name, labels);
    relabelled_.insert(key);
  }
  p.changed |= old.has_value() != (now != nullptr) ||
               (old && (old->inbound != now->inbound || old->outbound != now->outbound));
  dirty_.insert(key);
}

void Profiles::set(std::string_view name, Origin origin, ProfileValue value) {
  change(name, [&](Profile& p) {
    (origin == Origin::resource ? p.resource : p.native) = std::move(value);
  });
}

void Profiles::erase(std::string_view name, Origin origin) {
  if (!profiles_.contains(name)) return;
  change(name, [&](Profile& p) { (origin == Origin::resource ? p.resource : p.native).reset(); });
}

void Profiles::add_user(std::string_view name) {
  ++profiles_[std::string(name)].users;
  dirty_.emplace(name);
}

void Profiles::remove_user(std::string_view name) {
  --profiles_[std::string(name)].users;
  dirty_.emplace(name);
}

void Profiles::activate(const std::string& name, Profile& p, std::vector<model::Change>& out) {
  const std::vector<std::uint32_t> old = std::exchange(p.sets, {});
  const ProfileValue* value = p.value();
  const std::string deny = value == nullptr ? packed_rule(model::Action::deny) : "";
  model::ActiveProfile profile{name, instantiate(value ? value->inbound : deny, sets_, p.sets),
                               instantiate(value ? value->outbound : deny, sets_, p.sets)};
  for (const std::uint32_t set : old) sets_.release(set);
  out.emplace_back(std::move(profile));
  active_ += p.sent ? 0 : 1;
  p.sent = true;
  p.changed = false;
}

Profiles::Changes Profiles::refresh() {
  Changes out;
  for (const auto& name : std::exchange(dirty_, {})) {
    const auto it = profiles_.find(name);
    Profile& p = it->second;
    if (p.users != 0 && (!p.sent || p.changed)) activate(name, p, out.updated);
    if (p.users == 0 && p.sent) {
      for (const std::uint32_t set : std::exchange(p.sets, {})) sets_.release(set);
      out.removed.emplace_back(model::ProfileRemove{name});
      --active_;
      p.sent = false;
      p.changed = false;
    }
    if (p.users == 0 && p.value() == nullptr) profiles_.erase(it);
  }
  return out;
}

}  // namespace margay::calc
