// SPDX-License-Identifier: Apache-2.0
// The inside of Table: per object what is wanted, what the kernel holds, and what is in doubt.
// driver.cpp keeps the wants, load.cpp reads the kernel, plan.cpp and push.cpp make it so. For this
// module only.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/netlink/socket.h"
#include "dataplane/nft/batch.h"
#include "dataplane/nft/driver.h"
#include "dataplane/nft/kernel.h"

namespace margay::nft {

struct WantedRule {
  EncodedRule code;
  // The kernel's own form, where it differs from ours (a kernel that we do not know by heart).
  std::uint64_t kernel_form = 0;
  [[nodiscard]] bool is(std::uint64_t fingerprint) const {
    return fingerprint == code.fingerprint || (kernel_form != 0 && fingerprint == kernel_form);
  }
};

struct HaveRule {
  std::uint64_t handle = 0;
  std::uint64_t fingerprint = 0;
  friend bool operator==(const HaveRule&, const HaveRule&) = default;
};

struct ChainState {
  struct Want {
    std::optional<BaseChain> base;
    std::vector<WantedRule> rules;
    References refs;
  };
  struct Have {
    std::optional<BaseChain> base;
    bool odd = false;
    std::vector<HaveRule> rules;
    References refs;
    friend bool operator==(const Have&, const Have&) = default;
  };
  std::optional<Want> want;
  std::optional<Want> aside;  // what the kernel refused; `want` is its stand-in
  std::optional<Have> have;
  std::optional<Refused> refused;
  std::string refused_set;  // refused because of this set
  bool fails_closed = false;
  bool stand_in_refused = false;
  // Nothing is sent for it until somebody wants otherwise.
  [[nodiscard]] bool blocked() const { return refused && (!aside || stand_in_refused); }
};

struct SetState {
  explicit SetState(const SetType& t) : type(t), elements(t), add(t), remove(t) {}
  bool wanted = false;
  SetType type;
  ElementTable elements;  // wanted
  std::optional<SetHeader> have;
  bool unread = false;       // the kernel has the set, but we have not read its elements
  ElementTable add, remove;  // what the kernel lacks, has too much: valid unless unread or !have
  std::vector<Packed> suspects;                // keys to ask for
  std::optional<Refused> refused;              // the set itself
  std::map<Packed, Refused> refused_elements;  // by full key
  [[nodiscard]] bool type_matches() const { return have && *have == header_of(type); }
  [[nodiscard]] bool has_changes() const { return !add.empty() || !remove.empty(); }
};

// A transaction of this many elements holds the kernel's table lock for some 40 ms.
inline constexpr std::size_t kMaxElements = 5'000;
// More keys than this are not asked for one by one: reading the whole set is cheaper.
inline constexpr std::size_t kMaxQuestions = 256;

template <typename T>
using ByName = std::map<std::string, T, std::less<>>;
using Names = std::set<std::string, std::less<>>;

class Table::Impl {
 public:
  Impl(netlink::Socket& socket, std::string name);

  // driver.cpp
  void want_chain(const Chain& chain);
  void forget_chain(std::string_view name);
  Result<void> want_set(const SetDef& def);
  void forget_set(std::string_view name);
  void change_elements(SetState& s, const std::string& name, const ElementTable& add,
                       const ElementTable& remove);
  void retry_refused();
  static void set_aside(ChainState& c);                  // its stand-in is wanted from now on
  void forgive(const std::string& name, ChainState& c);  // nothing is held against it any more
  Result<Progress> apply(Scope scope);
  Result<void> destroy();
  SetState* wanted_set(std::string_view name);

  netlink::Socket& socket_;
  const std::string name_;
  ByName<ChainState> chains_;
  ByName<SetState> sets_;
  Names dirty_chains_, dirty_sets_;      // want and have may differ
  Names suspect_chains_, suspect_sets_;  // the kernel's state is in doubt
  Names asking_;                         // sets with SetState::suspects
  Names refused_chains_, refused_sets_;  // sets: also those with refused elements
  Names incomplete_;                     // sets of which more will be wanted
  bool suspect_all_ = true;              // also: never read

 private:
  enum class Step { done, again };
  using Index = std::size_t;

  // load.cpp: after refresh(), every `have` is what the kernel holds as far as it matters.
  Result<void> refresh(Progress& p);
  Result<void> load(Progress& p);
  Result<bool> load_table();
  Result<void> load_chains(ByName<ChainState::Have>& found);
  Result<void> load_rules(ByName<ChainState::Have>& found, const std::string* only);
  Result<void> load_sets(ByName<SetHeader>& found);
  void adopt(ByName<ChainState::Have> chains, ByName<SetHeader> sets, Progress& p);
  void settle_chain(const std::string& name, ChainState& c, Progress& p);
  Result<void> reread_chain(const std::string& name, Progress& p);
  Result<void> reread_set(const std::string& name, Progress& p);
  Result<void> read_elements(const std::string& name, SetState& s, Progress& p);
  Result<bool> dump_elements(const std::string& name, const SetState& s, ElementTable& found);
  Result<void> look_again(const std::string& name, SetState& s, ElementTable& found,
                          ElementDiff& d);
  Result<void> ask_elements(const std::string& name, SetState& s, Progress& p);
  Result<bool> has_element(const std::string& set, const Packed& key);
  void table_gone(Progress& p);
  [[nodiscard]] bool same_rules(const ChainState& c) const;

  // plan.cpp: what goes into the structural transaction. Objects that wait for refused or unknown
  // ones stay out of it.
  struct ChainPlan {
    const std::string* name = nullptr;
    ChainState* state = nullptr;
    bool create = false, remove = false;  // both: made anew
    bool policy = false;
    bool flush = false;                      // no rule stays
    std::vector<std::optional<Index>> keep;  // for each wanted rule: its index in have
  };
  struct SetPlan {
    const std::string* name = nullptr;
    SetState* state = nullptr;
    bool create = false, remove = false;
    ElementTable come, go;
  };
  struct Plan {
    std::vector<ChainPlan> chains;
    std::vector<SetPlan> sets;
    [[nodiscard]] bool empty() const { return chains.empty() && sets.empty(); }
  };
  void find_bulk();
  void find_waiting();
  void spread_waiting(bool for_bulk);
  void close_users_of_refused_sets();
  [[nodiscard]] bool in_use(std::string_view set) const;  // by a rule that stands
  [[nodiscard]] bool chain_available(std::string_view name) const;
  [[nodiscard]] bool set_available(std::string_view name) const;
  Plan make_plan(Scope scope);
  void plan_chain(const std::string& name, ChainState& c, Plan& plan);
  void plan_set(const std::string& name, SetState& s, Scope scope, Plan& plan);
  void plan_rebuilds(Plan& plan);
  // Of the plan what has to stand before the rest; empty: the plan is one transaction.
  [[nodiscard]] static Plan ahead(const Plan& plan);
  void spare_what_is_used(Plan& plan);
  ElementTable ready(const ElementTable& elements, SetState& s);
  [[nodiscard]] bool is_held(const SetState& s, std::size_t removal) const;
  [[nodiscard]] ElementTable to_fill(const SetState& s) const;

  // push.cpp: transactions.
  Result<Step> push(Scope scope, Progress& p);
  Result<Step> send_members(Progress& p);
  Result<Step> fill(Progress& p);
  // One transaction of at most kMaxElements; `names` loses the sets that are done with it.
  Result<Step> send_chunk(std::deque<const std::string*>& names, Progress& p);
  Result<Step> send_structure(Scope scope, Progress& p);
  Result<Step> send_plan(Plan plan, Progress& p);
  void open_batch(bool creates);
  void build(const Plan& plan);
  void build_rules(const ChainPlan& c);
  void done_chain(const ChainPlan& c, Progress& p);
  void done_set(SetPlan& s, Progress& p);
  // Sends batch_. done: it is in; again: it is not, but something was set aside or put in doubt.
  Result<Step> transact(Progress& p);
  Result<Step> handle(const std::vector<netlink::Socket::Refusal>& refusals);
  void refuse_chain(const Batch::Owner& o, const netlink::Socket::Refusal& r);
  void refuse_set(const Batch::Owner& o, const netlink::Socket::Refusal& r);
  bool refuse_element(const Batch::Owner& o, const netlink::Socket::Refusal& r, SetState& s);
  static void drop_refused(SetState& s);
  bool doubt(const Batch::Owner& o);  // false: it was read again in this apply() already
  void note_echo(const Message& m);
  [[nodiscard]] bool is_stuck(const Verdict& v) const;
  void report(Progress& p) const;

  bool have_table_ = false;
  bool read_before_ = false;  // there was a complete look at the kernel
  bool check_table_ = false;  // is it still there?
  Batch batch_;
  std::set<std::string> verified_;  // what was read again in this apply(): "c name", "s name"
  Names waiting_, missing_chains_, missing_sets_;
  Names stuck_, stuck_missing_;  // those of waiting_ and missing_chains_ that no filling will help
  // Sets whose changes are too many for the structural transaction, or that are incomplete.
  Names bulk_;
  bool filled_ = false;          // this apply() has sent its piece of them
  bool elements_wait_ = false;
  bool opens_table_ = false;  // batch_ creates the table
  std::map<std::pair<const std::string*, Index>, HaveRule> echoes_;
  // What the element messages of batch_ were built from, additions and removals.
  std::map<std::pair<const std::string*, bool>, const ElementTable*> sent_;
};

}  // namespace margay::nft
