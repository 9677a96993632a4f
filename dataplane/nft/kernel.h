// SPDX-License-Identifier: Apache-2.0
// What the kernel says about a table: netlink messages of nf_tables decoded into values. Decoders
// are total (any bytes give a value or nothing) and pure. Objects of other tables give nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/netlink/message.h"
#include "dataplane/nft/elements.h"
#include "dataplane/nft/encode.h"
#include "dataplane/nft/objects.h"

namespace margay::nft {

using netlink::Message;

struct KernelChain {
  std::string name;
  std::optional<BaseChain> base;
  bool odd = false;  // a base chain of a kind that we cannot express: never what is wanted
};
struct KernelRule {
  std::string chain;
  std::uint64_t handle = 0;
  std::uint64_t fingerprint = 0;
  References refs;
};

// A set's definition in the kernel's terms, to compare and to send.
struct SetHeader {
  std::uint32_t flags = 0, key_type = 0, key_length = 0, data_type = 0, data_length = 0;
  std::vector<std::uint32_t> fields;  // lengths, for concatenations of ranges
  friend bool operator==(const SetHeader&, const SetHeader&) = default;
};
[[nodiscard]] SetHeader header_of(const SetType& type);
struct KernelSet {
  std::string name;
  SetHeader header;
};

// nf_tables message numbers without the subsystem.
[[nodiscard]] std::optional<unsigned> nft_message(const Message& m);

[[nodiscard]] std::optional<KernelChain> parse_chain(const Message& m, std::string_view table);
[[nodiscard]] std::optional<KernelRule> parse_rule(const Message& m, std::string_view table);
[[nodiscard]] std::optional<KernelSet> parse_set(const Message& m, std::string_view table);

// Gathers the elements of a dump.
class ElementCollector {
 public:
  explicit ElementCollector(SetType type);
  void clear();
  void add(const Message& m);
  [[nodiscard]] ElementTable finish();  // sealed

 private:
  void add_element(ByteView element);
  void add_point(ByteView key, bool end);
  void pair_points();

  SetType type_;
  bool points_mode_;  // intervals of one field: starts and ends come one by one
  ElementTable table_;
  std::vector<std::uint8_t> points_;  // key, then 0 for an end and 1 for a start
};

// The address after (before) `key` as a big-endian number; nullopt when it wraps.
[[nodiscard]] std::optional<Packed> successor(ByteView key);
[[nodiscard]] std::optional<Packed> predecessor(ByteView key);

// A notification: which table and object it is about. message: nf_tables message number.
struct Notice {
  unsigned message = 0;
  std::uint8_t family = 0;  // the kernel's number; ours is kInetFamily
  std::string_view table;   // into the message; empty for generation events
  std::string_view object;  // chain or set; empty for tables
  bool hooked = false;      // a base chain
  ByteView elements;        // element events: the list
};
[[nodiscard]] std::optional<Notice> parse_notice(const Message& m);
// Keys of an element list (the raw keys; ends of intervals included).
void for_each_key(ByteView elements, const std::function<void(ByteView key)>& f);
struct Generation {
  std::uint32_t id = 0;
  std::uint32_t process = 0;
  std::string program;
};
[[nodiscard]] std::optional<Generation> parse_generation(const Message& m);

}  // namespace margay::nft
