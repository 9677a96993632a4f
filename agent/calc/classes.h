// SPDX-License-Identifier: Apache-2.0
// Endpoints with the same own labels, profiles and named ports match the same selectors; they share
// one record, a class, and selectors are evaluated once per class. Labels inherited from a profile
// are looked up through it, so that a change of a namespace's labels touches its classes only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/calc/index_table.h"
#include "agent/calc/labels.h"
#include "model/resources.h"

namespace margay::calc {

using ClassId = std::uint32_t;
using ProfileId = std::uint32_t;

struct NamedPort {
  std::uint32_t name = 0;  // of Classes::names()
  std::uint16_t port = 0;
  std::uint8_t protocol = 0;
  friend bool operator==(const NamedPort&, const NamedPort&) = default;
};

class Classes {
 public:
  Classes() = default;
  Classes(const Classes&) = delete;
  Classes& operator=(const Classes&) = delete;

  // The class of such endpoints, with one reference more. `fresh`: nobody had it before, and
  // nothing has been evaluated for it yet.
  struct Acquired {
    ClassId id;
    bool fresh;
  };
  Acquired acquire(const model::Labels& own, std::span<const std::string> profiles,
                   std::span<const model::EndpointPort> ports);
  // True when that was the last reference: the class is gone.
  bool release(ClassId id);

  // Replaces the labels that a profile hands down. Its classes are then stale: see classes_of.
  void set_profile_labels(std::string_view profile, const model::Labels& labels);
  // Those that inherit from the profile, and maybe others, and ids that are free again.
  [[nodiscard]] std::span<const ClassId> classes_of(std::string_view profile) const;

  void effective(ClassId id, EffectiveLabels& out) const;
  [[nodiscard]] std::vector<NamedPort> ports(ClassId id) const;
  [[nodiscard]] bool has_ports(ClassId id) const { return classes_[id].n_ports != 0; }

  // Upper bound of the number of classes that have such a label, and these classes (maybe more,
  // all of them live).
  [[nodiscard]] std::size_t cost(const Requirement& requirement) const;
  void candidates(const Requirement& requirement, std::vector<ClassId>& out) const;

  // Sets that the class is a member of, and its endpoints (a list through the endpoint records):
  // kept here for the owners of both.
  [[nodiscard]] IdList& sets(ClassId id) { return classes_[id].sets; }
  [[nodiscard]] std::uint32_t& first_endpoint(ClassId id) { return classes_[id].first_endpoint; }
  [[nodiscard]] bool live(ClassId id) const { return classes_[id].refs != 0; }
  [[nodiscard]] std::uint32_t bound() const { return classes_.bound(); }
  [[nodiscard]] std::size_t size() const { return classes_.live(); }

  [[nodiscard]] LabelTable& labels() { return labels_; }
  [[nodiscard]] const LabelTable& labels() const { return labels_; }
  [[nodiscard]] Interner& names() { return names_; }

 private:
  struct Class {
    std::unique_ptr<std::uint32_t[]> words;  // pairs (sorted), profiles, two words per port
    std::uint32_t n_pairs = 0, n_profiles = 0, n_ports = 0;
    std::uint32_t refs = 0;
    std::uint32_t first_endpoint = kNone;
    IdList sets;
    [[nodiscard]] std::size_t word_count() const {
      return std::size_t{n_pairs} + n_profiles + 2 * std::size_t{n_ports};
    }
    [[nodiscard]] std::span<const std::uint32_t> all() const { return {words.get(), word_count()}; }
    [[nodiscard]] std::span<const PairId> pairs() const { return {words.get(), n_pairs}; }
    [[nodiscard]] std::span<const ProfileId> profiles() const {
      return {words.get() + n_pairs, n_profiles};
    }
  };
  struct Profile {
    std::vector<PairId> labels;
    std::vector<ClassId> classes;
  };
  // Who has a pair: classes of their own, profiles that hand it down. Classes that are gone stay
  // listed until there are as many of them as live ones: to look for each in a list of thousands
  // would make the end of a pod expensive.
  struct Holders {
    IdList classes;
    IdList profiles;
  };

  void fill_words(const model::Labels& own, std::span<const std::string> profiles,
                  std::span<const model::EndpointPort> ports);
  void drop_words(std::span<const std::uint32_t> words, std::size_t n_pairs,
                  std::size_t n_profiles);
  ProfileId profile_id(std::string_view name);  // counts one reference of the name
  Holders& holders(PairId pair);
  void list(ClassId id);
  void forget_gone();

  LabelTable labels_;
  Interner names_;     // of ports
  Interner profiles_;  // names; the ids index profile_
  std::vector<Profile> profile_;
  std::vector<Holders> holders_;       // by PairId
  std::size_t listed_ = 0, gone_ = 0;  // entries in the lists of classes: of live ones, of others
  Slots<Class> classes_;
  IndexTable table_;
  std::vector<std::uint32_t> words_;  // of the class being looked up
};

}  // namespace margay::calc
