// SPDX-License-Identifier: Apache-2.0
// One nf_tables transaction as bytes, with the owner of every message, so that the kernel's refusal
// of a sequence number names an object, and for elements the element. Reused from transaction to
// transaction. Builds only; sending is the socket's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/netlink/message.h"
#include "dataplane/nft/elements.h"
#include "dataplane/nft/encode.h"
#include "dataplane/nft/objects.h"

namespace margay::nft {

class Batch {
 public:
  enum class Kind { frame, table, chain, rule, set, elements };
  struct Owner {
    Kind kind = Kind::frame;
    const std::string* object = nullptr;  // chain or set; must outlive the batch
    std::size_t index = 0;  // rule: which of the wanted ones; elements: first of the message
    bool removal = false;
    std::size_t offset = 0;  // of the message in bytes()
  };

  explicit Batch(std::string table);

  void begin();   // forgets the previous transaction
  void finish();  // nothing may follow
  [[nodiscard]] bool empty() const { return owners_.size() <= 1; }
  [[nodiscard]] std::size_t messages() const { return owners_.size() - 1; }  // without the frame
  [[nodiscard]] ByteView bytes() const { return out_.bytes(); }
  void release_memory();

  void add_table();
  void delete_table();
  void add_chain(const std::string& name, const std::optional<BaseChain>& base);
  void delete_chain(const std::string& name);
  void flush_chain(const std::string& name);
  // `before`: handle of the rule that will follow; nullopt: at the end. The kernel echoes the rule.
  void add_rule(const std::string& chain, const EncodedRule& rule, std::size_t index,
                std::optional<std::uint64_t> before);
  void delete_rule(const std::string& chain, std::uint64_t handle);
  void add_set(const std::string& name, const SetType& type);
  void delete_set(const std::string& name);
  // Elements first <= i < last of the table.
  void add_elements(const std::string& set, const SetType& type, const ElementTable& elements,
                    std::size_t first, std::size_t last);
  void remove_elements(const std::string& set, const SetType& type, const ElementTable& elements,
                       std::size_t first, std::size_t last);

  // Who is behind a sequence number of this transaction.
  [[nodiscard]] const Owner* owner(std::uint32_t seq) const;
  // Which element of the table given to add_elements an attribute at `bad_offset` of the message
  // belongs to.
  [[nodiscard]] std::optional<std::size_t> element_at(const Owner& o, const SetType& type,
                                                      std::uint32_t bad_offset) const;

 private:
  void start(Kind kind, const std::string* object, unsigned message, unsigned flags,
             bool removal = false, std::size_t index = 0);
  // Numbers the next message and notes whose it is.
  std::uint32_t note(Kind kind, const std::string* object, bool removal, std::size_t index);
  void elements(const std::string& set, const SetType& type, const ElementTable& table,
                std::size_t first, std::size_t last, bool removal);
  void put_element(const SetType& type, const ElementTable& table, std::size_t i, bool removal);
  void put_key(std::uint16_t type, ByteView key);

  std::string table_;
  netlink::Writer out_;
  std::vector<Owner> owners_;
  std::uint32_t seq_ = 0;
  std::uint32_t first_seq_ = 0;
  std::uint32_t set_id_ = 0;
};

// A request: its header; the caller adds attributes and end(). Families are the kernel's numbers.
inline constexpr std::uint8_t kInetFamily = 1;
void begin_request(netlink::Writer& w, unsigned message, unsigned flags, std::uint32_t seq,
                   std::uint8_t family = kInetFamily);
// What stands around the requests of a transaction.
void open_transaction(netlink::Writer& w, std::uint32_t seq);
void close_transaction(netlink::Writer& w, std::uint32_t seq);

}  // namespace margay::nft
