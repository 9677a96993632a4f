// SPDX-License-Identifier: Apache-2.0
// All endpoints and network sets of the cluster, as compact records: a class, packed networks and
// the key's text in one block. Whatever changes here reaches the members of the IP sets at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/calc/classes.h"
#include "agent/calc/index_table.h"
#include "base/ip.h"
#include "model/resources.h"

namespace margay::calc {

class IpSets;

struct EndpointValue {
  model::Labels labels;
  std::vector<std::string> profiles;
  std::vector<model::EndpointPort> ports;
  std::vector<Prefix> nets;
  std::string node;
  // Known, but treated as absent (it wants to spoof and may not).
  bool hidden = false;
};

class Endpoints {
 public:
  // Both must outlive this object.
  Endpoints(Classes& classes, IpSets& sets) : classes_(classes), sets_(sets) {}
  Endpoints(const Endpoints&) = delete;
  Endpoints& operator=(const Endpoints&) = delete;

  struct View {
    ClassId cls = 0;
    std::vector<Prefix> nets;
    std::string_view node;
    bool hidden = false;
  };
  // `key` is any text that is unique among endpoints. True when something changed.
  bool set(std::string_view key, const EndpointValue& value);
  bool erase(std::string_view key);
  void hide(std::string_view key, bool hidden);
  [[nodiscard]] std::optional<View> find(std::string_view key) const;

  // f(number, nets as packed bytes) for each endpoint of a class that is not hidden, while it
  // returns true. Endpoints have numbers, below bound(), that others get when they are gone.
  template <typename F>
  void for_each_in(ClassId cls, const F& f) const {
    for (std::uint32_t i = classes_.first_endpoint(cls); i != kNone; i = records_[i].next) {
      if (!records_[i].hidden && !f(i, records_[i].nets())) return;
    }
  }
  struct Numbered {
    ClassId cls = kNone;  // kNone: nobody has the number, or somebody who is hidden
    std::span<const std::uint8_t> nets;
  };
  [[nodiscard]] Numbered at(std::uint32_t number) const {
    const Record& r = records_[number];
    if (!r.block || r.hidden) return {};
    return {r.cls, r.nets()};
  }
  [[nodiscard]] std::uint32_t bound() const { return records_.bound(); }
  // f(key, View) for all.
  template <typename F>
  void for_each(const F& f) const {
    for (std::uint32_t i = 0; i < records_.bound(); ++i) {
      if (records_[i].block) f(records_[i].key(), view(i));
    }
  }
  [[nodiscard]] std::size_t size() const { return records_.live(); }

 private:
  struct Record {
    std::unique_ptr<std::uint8_t[]> block;  // the key's text, then packed networks
    std::uint32_t nets_size = 0;
    std::uint16_t key_size = 0;
    bool hidden = false;
    ClassId cls = kNone;
    std::uint32_t next = kNone, prev = kNone;  // in the class
    std::uint32_t node = kNone;
    [[nodiscard]] std::span<const std::uint8_t> nets() const {
      return {block.get() + key_size, nets_size};
    }
    [[nodiscard]] std::string_view key() const;
  };
  [[nodiscard]] std::uint32_t index_of(std::string_view key) const;
  [[nodiscard]] View view(std::uint32_t i) const;
  void link(std::uint32_t i);
  void unlink(std::uint32_t i);
  void store(Record& r, std::string_view key, std::span<const std::uint8_t> nets);

  Classes& classes_;
  IpSets& sets_;
  Interner nodes_;
  Slots<Record> records_;
  IndexTable table_;
};

}  // namespace margay::calc
