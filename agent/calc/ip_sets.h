// SPDX-License-Identifier: Apache-2.0
// The IP sets that active rules refer to: who is in them, and what the consumer has to be told.
// Sets are named by a spec (what is in it) and counted by users; a class joins a set once, and its
// endpoints contribute members from then on. New and unused sets take effect in refresh(), so that
// a set which loses its last user and finds another costs nothing. A large new set is filled a
// bounded piece per refresh().
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/calc/classes.h"
#include "agent/calc/members.h"
#include "agent/calc/selector_index.h"
#include "model/desired.h"
#include "model/selector.h"

namespace margay::calc {

class Endpoints;
class Services;

// A spec is a text: its first character says what follows.
inline constexpr char kSelectorSpec = 's';   // canonical selector
inline constexpr char kNamedPortSpec = 'n';  // "<protocol number>,<port name>,<canonical selector>"
inline constexpr char kServicePortSpec = 'p';  // "<namespace>/<name>", with protocol and port
inline constexpr char kServiceSpec = 'q';      // "<namespace>/<name>", addresses only
[[nodiscard]] std::string named_port_spec(std::uint8_t protocol, std::string_view port,
                                          std::string_view canonical_selector);

class IpSets {
 public:
  explicit IpSets(Classes& classes) : classes_(classes) {}
  IpSets(const IpSets&) = delete;
  IpSets& operator=(const IpSets&) = delete;
  // Where members come from; both must outlive this object. To be called before anything else.
  void connect(const Endpoints& endpoints, const Services& services);

  // One user more, or less, of the set of a spec.
  std::uint32_t acquire(std::string_view spec);
  void release(std::uint32_t set);
  [[nodiscard]] const model::SetId& id(std::uint32_t set) const { return sets_[set]->id; }

  // A class that is new, or whose inherited labels changed: join and leave sets.
  void evaluate(ClassId cls);
  // An endpoint (its number, see Endpoints) of a class comes with these networks, or goes.
  void contribute(std::uint32_t endpoint, ClassId cls, std::span<const std::uint8_t> nets);
  void withdraw(std::uint32_t endpoint, ClassId cls, std::span<const std::uint8_t> nets);
  // The same for one endpoint of a service, by the service's "<namespace>/<name>".
  void service_member(std::string_view service, bool with_ports, const model::SetMember& member,
                      bool add);

  // Drops sets without users, fills new ones. `stale` classes are evaluated first. Of members, and
  // what has to be looked at to find them, new sets are given about `budget`; kNoLimit: all.
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();
  void refresh(std::span<const ClassId> stale, std::size_t budget);
  [[nodiscard]] bool filling() const { return !filling_.empty(); }  // refresh() has more to do
  struct Changes {
    std::vector<model::Change> fresh;  // whole new sets
    std::vector<model::Change> deltas;
    std::vector<model::Change> removed;
  };
  [[nodiscard]] Changes take_changes();
  [[nodiscard]] std::size_t size() const { return sets_.live(); }
  [[nodiscard]] std::size_t member_count() const;

 private:
  struct Set {
    model::SetId id;
    std::string spec;
    model::SetKind kind = model::SetKind::nets;
    CompiledSelector selector;        // not of services
    std::uint32_t port_name = kNone;  // of a named port
    std::uint8_t protocol = 0;        // of a named port; 0: any
    bool by_selector = true;
    bool filled = false, sent = false, dirty = false;
    bool more = false;  // it was sent, but members of its filling have not been
    // Endpoints of lower numbers have contributed; kNone: all have.
    std::uint32_t reached = 0;
    std::uint32_t users = 0;
    Members members;
  };
  // A set that takes several refresh(): first all its classes join, then the endpoints contribute
  // in the order of their numbers, however their classes change meanwhile.
  struct Filling {
    std::uint32_t set = kNone;
    bool begun = false;
    std::vector<ClassId> classes;
    std::size_t next = 0;  // of the classes, to be looked at
  };
  void make(std::uint32_t set, std::string_view spec);
  void fill(std::uint32_t set);
  void fill_from_service(Set& set);
  void fill_whole(const std::vector<std::uint32_t>& fresh);
  // False when the budget is used up and something is left.
  bool go_on(Filling& filling, std::size_t& budget);
  bool fill_small(const Filling& filling, std::size_t& budget);
  void drop(std::uint32_t set);
  [[nodiscard]] bool joins(const Set& set, ClassId cls, const EffectiveLabels& labels) const;
  [[nodiscard]] bool joined(std::uint32_t set, ClassId cls);
  void join_if_matching(std::uint32_t set, ClassId cls);
  void join(std::uint32_t set, ClassId cls);
  void leave(std::uint32_t set, ClassId cls);
  void apply(std::uint32_t set, ClassId cls, std::span<const std::uint8_t> nets, bool add);
  void apply_reached(std::uint32_t set, ClassId cls, bool add);
  void put(std::uint32_t set, const model::SetMember& member, bool add);
  void mark_dirty(std::uint32_t set);

  Classes& classes_;
  const Endpoints* endpoints_ = nullptr;
  const Services* services_ = nullptr;
  Slots<std::unique_ptr<Set>> sets_;
  std::unordered_map<std::string, std::uint32_t> by_spec_;
  SelectorIndex index_;
  std::vector<std::uint32_t> fresh_, unused_, unsent_, dirty_;
  std::vector<Filling> filling_;  // the last one is next: small ones overtake
  std::vector<model::Change> removed_;
  EffectiveLabels labels_;  // scratch
  std::vector<std::uint32_t> joined_;
  std::vector<ClassId> candidates_;
};

}  // namespace margay::calc
