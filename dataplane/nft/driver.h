// SPDX-License-Identifier: Apache-2.0
// One `inet` table of ours: say what it should hold, and apply() makes the kernel hold exactly that
// with as few messages as possible (nothing at all when it does already). The first apply() reads
// the kernel. Objects that the kernel refuses are set aside by name and everything else goes in;
// what refers to them waits, or drops (Chain::fails_closed). A large set is filled a bounded piece
// per apply(), and what looks it up for the first time comes when it is whole. Tables of other
// names are never touched. Blocking calls on a netlink socket: one thread, the nft loop's. Must not
// know policies or pods.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dataplane/nft/elements.h"
#include "dataplane/nft/objects.h"

namespace margay::netlink {
class Socket;
}

namespace margay::nft {

struct Refused {
  std::string object;  // "chain p/web rule 3", "set s1 element 10.0.0.1"; `error` names it too
  Error error;
};

struct Progress {  // of one apply()
  std::size_t transactions = 0;
  std::size_t messages = 0;  // netlink messages that change something
  std::size_t chains_added = 0, chains_removed = 0;
  std::size_t rules_added = 0, rules_removed = 0;
  std::size_t sets_added = 0, sets_removed = 0;
  std::size_t elements_added = 0, elements_removed = 0;
  std::size_t repairs = 0;           // objects that somebody else had changed
  std::vector<Refused> refused;      // all that are set aside at the end
  std::vector<std::string> waiting;  // what refers to them or to objects nobody wants
  bool more = false;                 // large sets are not full yet: apply() again, soon
  bool incomplete = false;           // of some sets not all is wanted yet (expect_more)
  [[nodiscard]] bool changed() const { return messages > 0; }
};

struct Holding {  // how many objects of each kind
  std::size_t chains = 0, rules = 0, sets = 0, elements = 0;
  Holding& operator+=(const Holding& o) {
    chains += o.chains, rules += o.rules, sets += o.sets, elements += o.elements;
    return *this;
  }
};

enum class Scope {
  // Membership of existing sets first, in small transactions of their own; then the rest as one.
  members_first,
  // Everything that can be seen in one transaction, but for large sets, which grow by pieces: a new
  // one unseen, a standing one in force.
  atomic,
};

class Table {
 public:
  // The socket (NETLINK_NETFILTER) must outlive the table; several tables may share it.
  Table(netlink::Socket& socket, std::string name);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  [[nodiscard]] const std::string& name() const;

  // --- wants: no I/O ---
  void want_chain(const Chain& chain);  // replaces what was wanted under this name
  void forget_chain(std::string_view name);
  // A set of this type, empty at first; its elements stay if it was wanted with the same type.
  // Refused: maps of single-field intervals.
  [[nodiscard]] Result<void> want_set(const SetDef& def);
  void forget_set(std::string_view name);
  // Of a wanted set (asserted). Unsealed tables are sealed.
  void replace_elements(std::string_view set, ElementTable elements);
  // Adding what is there and removing what is not are no errors; a changed value counts.
  void change_elements(std::string_view set, ElementTable add, ElementTable remove);
  // Not all of its elements are wanted yet: what looks it up for the first time waits for the rest,
  // while those that are there go in. Of a wanted set (asserted); ends when the set is forgotten.
  void expect_more(std::string_view set, bool more);
  void add_element(std::string_view set, const Element& e);
  void remove_element(std::string_view set, const Element& e);
  [[nodiscard]] const SetType* set_type(std::string_view set) const;  // null: not wanted
  [[nodiscard]] const ElementTable* elements(std::string_view set) const;
  [[nodiscard]] bool wants_chain(std::string_view name) const;

  // --- doubts about what the kernel holds: no I/O; the next apply() looks ---
  void suspect_all();
  void suspect_chain(std::string_view name);
  void suspect_set(std::string_view name);
  void suspect_element(std::string_view set, std::span<const std::uint8_t> key);
  void retry_refused();

  // What is wanted, refused objects included, and what the kernel holds as far as is known. Costs a
  // look at everything: for people.
  [[nodiscard]] Holding wanted() const;
  [[nodiscard]] Holding held() const;
  // Something is wanted that apply() has not done yet, or there are doubts.
  [[nodiscard]] bool pending() const;
  // Progress also when objects were refused; an Error when nothing can be said about the kernel
  // (no permission, no memory): try again later, what was wanted stays wanted.
  [[nodiscard]] Result<Progress> apply(Scope scope = Scope::members_first);
  // Removes the whole table from the kernel, whoever made it; what was wanted stays wanted.
  [[nodiscard]] Result<void> destroy();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::nft
