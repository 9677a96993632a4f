// SPDX-License-Identifier: Apache-2.0
#include "agent/calc/classes.h"

#include <algorithm>

#include "base/ip.h"

namespace margay::calc {
namespace {

std::size_t hash_words(std::span<const std::uint32_t> words, std::size_t seed) {
  std::uint64_t h = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (const std::uint32_t w : words) {
    h = (h ^ w) * 0xff51afd7ed558ccdULL;
    h ^= h >> 32;
  }
  return h;
}

std::size_t shape(std::size_t n_pairs, std::size_t n_profiles) {
  return n_pairs << 32 | n_profiles;
}

}  // namespace

ProfileId Classes::profile_id(std::string_view name) {
  const ProfileId id = profiles_.acquire(name);
  if (id >= profile_.size()) profile_.resize(id + 1);
  return id;
}

Classes::Holders& Classes::holders(PairId pair) {
  if (pair >= holders_.size()) holders_.resize(std::max<std::size_t>(pair + 1, labels_.bound()));
  return holders_[pair];
}

void Classes::fill_words(const model::Labels& own, std::span<const std::string> profiles,
                         std::span<const model::EndpointPort> ports) {
  words_.clear();
  for (const auto& [key, value] : own) words_.push_back(labels_.acquire(key, value));
  std::sort(words_.begin(), words_.end());
  for (const auto& name : profiles) words_.push_back(profile_id(name));
  for (const auto& port : ports) {
    words_.push_back(names_.acquire(port.name));
    words_.push_back(std::uint32_t{port.port} << 8 | port.protocol.number);
  }
}

void Classes::drop_words(std::span<const std::uint32_t> words, std::size_t n_pairs,
                         std::size_t n_profiles) {
  for (std::size_t i = 0; i < n_pairs; ++i) labels_.release(words[i]);
  for (std::size_t i = n_pairs; i < n_pairs + n_profiles; ++i) profiles_.release(words[i]);
  for (std::size_t i = n_pairs + n_profiles; i < words.size(); i += 2) names_.release(words[i]);
}

Classes::Acquired Classes::acquire(const model::Labels& own, std::span<const std::string> profiles,
                                   std::span<const model::EndpointPort> ports) {
  fill_words(own, profiles, ports);
  const std::size_t hash = hash_words(words_, shape(own.size(), profiles.size()));
  ClassId id = table_.find(hash, [&](ClassId i) {
    const Class& c = classes_[i];
    return c.n_pairs == own.size() && c.n_profiles == profiles.size() &&
           std::ranges::equal(c.all(), words_);
  });
  if (id != kNone) {
    drop_words(words_, own.size(), profiles.size());
    ++classes_[id].refs;
    return {id, false};
  }
  id = classes_.take();
  Class& c = classes_[id];
  c.words = std::make_unique_for_overwrite<std::uint32_t[]>(words_.size());
  std::copy(words_.begin(), words_.end(), c.words.get());
  c.n_pairs = static_cast<std::uint32_t>(own.size());
  c.n_profiles = static_cast<std::uint32_t>(profiles.size());
  c.n_ports = static_cast<std::uint32_t>(ports.size());
  c.refs = 1;
  list(id);
  table_.insert(id, hash);
  return {id, true};
}

bool Classes::release(ClassId id) {
  Class& c = classes_[id];
  MARGAY_ASSERT(c.refs > 0);
  if (--c.refs != 0) return false;
  table_.erase(id, hash_words(c.all(), shape(c.n_pairs, c.n_profiles)));
  const std::size_t entries = std::size_t{c.n_pairs} + c.n_profiles;
  listed_ -= entries;
  gone_ += entries;
  drop_words(c.all(), c.n_pairs, c.n_profiles);
  classes_.give_back(id);
  if (gone_ > listed_ + 1024) forget_gone();
  return true;
}

void Classes::list(ClassId id) {
  const Class& c = classes_[id];
  for (const PairId pair : c.pairs()) holders(pair).classes.push(id);
  for (const ProfileId profile : c.profiles()) profile_[profile].classes.push_back(id);
  listed_ += std::size_t{c.n_pairs} + c.n_profiles;
}

void Classes::forget_gone() {
  for (Holders& h : holders_) h.classes.assign({});
  for (Profile& p : profile_) p.classes = {};
  listed_ = gone_ = 0;
  for (ClassId id = 0; id < classes_.bound(); ++id) {
    if (live(id)) list(id);
  }
}

void Classes::set_profile_labels(std::string_view profile, const model::Labels& labels) {
  const ProfileId id = profile_id(profile);
  std::vector<PairId> want;
  for (const auto& [key, value] : labels) want.push_back(labels_.acquire(key, value));
  std::vector<PairId> have = std::exchange(profile_[id].labels, std::move(want));
  for (const PairId pair : profile_[id].labels) holders(pair).profiles.push(id);
  for (const PairId pair : have) {
    holders(pair).profiles.erase(id);
    labels_.release(pair);
  }
  // One reference of the name for as long as it hands anything down.
  if (!have.empty()) profiles_.release(id);
  if (labels.empty()) profiles_.release(id);
}

std::span<const ClassId> Classes::classes_of(std::string_view profile) const {
  const ProfileId id = profiles_.find(profile);
  if (id == kNone) return {};
  return profile_[id].classes;
}

void Classes::effective(ClassId id, EffectiveLabels& out) const {
  out.clear();
  const Class& c = classes_[id];
  for (const PairId pair : c.pairs()) out.add(labels_.key_of(pair), pair);
  for (const ProfileId profile : c.profiles()) {
    for (const PairId pair : profile_[profile].labels) out.add(labels_.key_of(pair), pair);
  }
}

std::vector<NamedPort> Classes::ports(ClassId id) const {
  const Class& c = classes_[id];
  std::vector<NamedPort> out(c.n_ports);
  const std::uint32_t* word = c.words.get() + c.n_pairs + c.n_profiles;
  for (auto& port : out) {
    port.name = *word++;
    port.port = static_cast<std::uint16_t>(*word >> 8);
    port.protocol = static_cast<std::uint8_t>(*word++);
  }
  return out;
}

std::size_t Classes::cost(const Requirement& requirement) const {
  if (requirement.any_value) return classes_.live() / 2 + 1;
  std::size_t sum = 0;
  for (const PairId pair : requirement.pairs) {
    if (pair >= holders_.size()) continue;
    sum += holders_[pair].classes.size();
    for (const ProfileId p : holders_[pair].profiles.span()) sum += profile_[p].classes.size();
  }
  return sum;
}

void Classes::candidates(const Requirement& requirement, std::vector<ClassId>& out) const {
  out.clear();
  if (requirement.any_value || requirement.key == kNone) {
    for (ClassId id = 0; id < classes_.bound(); ++id) {
      if (live(id)) out.push_back(id);
    }
    return;
  }
  for (const PairId pair : requirement.pairs) {
    if (pair >= holders_.size()) continue;
    const auto own = holders_[pair].classes.span();
    out.insert(out.end(), own.begin(), own.end());
    for (const ProfileId p : holders_[pair].profiles.span()) {
      out.insert(out.end(), profile_[p].classes.begin(), profile_[p].classes.end());
    }
  }
  std::erase_if(out, [this](ClassId id) { return !live(id); });
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
}

}  // namespace margay::calc
