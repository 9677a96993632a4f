// SPDX-License-Identifier: Apache-2.0
#include "dataplane/foreign/watch.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "dataplane/foreign/legacy_filters.h"
#include "dataplane/foreign/nft_filters.h"

namespace margay::foreign {
namespace {

using namespace std::chrono_literals;

// A look is followed by a pause of this many times its own length.
constexpr int kShare = 500;
constexpr Clock::duration kMinPause = 50ms, kMaxPause = 30s;
// After a failure that may pass, after any other, and where nothing tells of a legacy table's
// change.
constexpr Clock::duration kRetry = 1s, kLateRetry = 30s, kLegacyPoll = 10s, kLegacyLook = 30s;

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& s : list) out += (out.empty() ? "" : ", ") + s;
  return out;
}

struct Instruments {
  explicit Instruments(metrics::Registry& m)
      : drops(m.gauge("margay_foreign_drops",
                      "Chains of other software that drop packets of workloads or tunnels")),
        spared(m.gauge("margay_foreign_accepts",
                       "Chains of other software in which accepts of ours stand")),
        looks(m.counter("margay_foreign_looks_total", "Times the chains of others were read")),
        edits(m.counter("margay_foreign_edits_total",
                        "Times accepts of ours were put into chains of others, or taken out")) {}
  metrics::Gauge &drops, &spared;
  metrics::Counter &looks, &edits;
};

}  // namespace

class Watch::Impl {
 public:
  Impl(EventLoop& loop, metrics::Registry& metrics, NftFilters nft, ChangedFn changed)
      : loop_(loop),
        instruments_(metrics),
        nft_(std::move(nft)),
        changed_(std::move(changed)),
        events_(loop, [this] { request(false, true); }) {
    request(true, true);
    poll_legacy();
  }

  void set_subject(const Subject& subject, std::optional<bool> accepting) {
    if (subject == subject_ && accepting == accepting_) return;
    subject_ = subject;
    accepting_ = accepting;
    schedule(loop_.now());  // what we are told to do does not wait for others' churn to end
  }

  void noticed(const nft::Notice* n) {
    if (n == nullptr || matters(*n)) request(true, false);
  }

  void request(bool nft, bool legacy) {
    nft_due_ |= nft;
    legacy_due_ |= legacy;
    schedule(std::max(loop_.now(), not_before_));
  }

  std::vector<Drop> drops_;

 private:
  using Tables = std::vector<Table>;

  [[nodiscard]] bool matters(const nft::Notice& n) const {
    switch (n.message) {
      case NFT_MSG_NEWCHAIN:
      case NFT_MSG_DELCHAIN:
        return n.hooked || is_user_chain(n.object) || !manager_of_chain(n.object).empty() ||
               watches(n);
      case NFT_MSG_NEWRULE:
      case NFT_MSG_DELRULE:
        return watches(n);
      default:
        return false;
    }
  }
  [[nodiscard]] bool watches(const nft::Notice& n) const {
    return watched_.contains({n.family, std::string(n.table), std::string(n.object)});
  }

  void schedule(Clock::time_point when) {
    if (when >= next_look_) return;
    next_look_ = when;
    timer_ = loop_.after(when - loop_.now(), [this] {
      next_look_ = Clock::time_point::max();
      look();
    });
  }

  void look() {
    const auto start = loop_.now();
    // The second reading sees what the first one led to.
    for (int pass = 0; pass < 2; ++pass) {
      if (!read() || !edit()) break;
    }
    judge();
    const auto pause = (loop_.now() - start) * kShare;
    not_before_ = loop_.now() + std::clamp(pause, kMinPause, kMaxPause);
  }

  bool read() {
    const bool nft = std::exchange(nft_due_, false), legacy = std::exchange(legacy_due_, false);
    if (nft || legacy) instruments_.looks.add();
    return (!nft || take(nft_.read(), nft_tables_, nft_due_)) &&
           (!legacy || take(read_legacy(), legacy_tables_, legacy_due_));
  }

  bool take(Result<Tables> read, Tables& to, bool& due) {
    if (!read.ok()) {
      log::warn("foreign_read_failed", kv("error", read.error()));
      due = true;
      retry(kRetry);
      return false;
    }
    to = std::move(read).value();
    if (&to == &nft_tables_) note_watched();
    return true;
  }

  void note_watched() {
    watched_.clear();
    for (const Table& t : nft_tables_) {
      const std::uint8_t family = t.families == Families::both ? NFPROTO_INET
                                  : t.families == Families::v4 ? NFPROTO_IPV4
                                                               : NFPROTO_IPV6;
      for (const auto& [name, chain] : t.chains) watched_.emplace(family, t.name, name);
    }
  }

  // True: something was changed, and is to be read again.
  bool edit() {
    if (!accepting_) return false;
    bool changed = false;
    for (Tables* tables : {&nft_tables_, &legacy_tables_}) {
      for (const Table& t : *tables) changed |= edit(t, tables == &legacy_tables_);
    }
    return changed;
  }

  bool edit(const Table& t, bool legacy) {
    const Key key{t.backend, t.families, t.name};
    const Edit e = edit_for(t, subject_, *accepting_);
    if (e.empty()) {
      errors_.erase(key);
      return false;
    }
    const auto done = legacy ? apply_legacy(t, e) : nft_.apply(t, e);
    (legacy ? legacy_due_ : nft_due_) = true;
    if (done.ok()) {
      errors_.erase(key);
      instruments_.edits.add();
      log::info("foreign_accepts", kv("table", describe_table(t.backend, t.families, t.name)),
                kv("inserted", e.insert.size()), kv("removed", e.remove.size()));
      return true;
    }
    const bool passing = done.error().code == Code::unavailable || done.error().sys_errno == EAGAIN;
    retry(passing ? kRetry : kLateRetry);
    std::string text = done.error().message();
    std::string& last = errors_[key];
    if (last != text) log::warn("foreign_accepts_refused", kv("error", done.error()));
    last = std::move(text);
    return false;
  }

  void judge() {
    std::vector<Drop> next;
    for (const Tables* tables : {&nft_tables_, &legacy_tables_}) {
      for (const Table& t : *tables) {
        const auto error = errors_.find({t.backend, t.families, t.name});
        for (Drop& d : find_drops(t, subject_)) {
          if (error != errors_.end() && !d.drops.empty()) d.error = error->second;
          next.push_back(std::move(d));
        }
      }
    }
    if (next == drops_) return;
    report(drops_, next);
    drops_ = std::move(next);
    changed_();
  }

  void report(const std::vector<Drop>& before, const std::vector<Drop>& now) {
    const auto dropping = [](const std::vector<Drop>& list) {
      std::map<std::string, const Drop*> out;
      for (const Drop& d : list) {
        if (!d.drops.empty())
          out[d.chain + " of " + describe_table(d.backend, d.families, d.table)] = &d;
      }
      return out;
    };
    const auto old = dropping(before), fresh = dropping(now);
    for (const auto& [name, d] : fresh) {
      const auto it = old.find(name);
      if (it != old.end() && it->second->drops == d->drops) continue;
      log::warn("foreign_drop", kv("chain", describe(*d)), kv("drops", joined(d->drops)),
                kv("by", d->by), kv("remedy", d->remedy));
    }
    for (const auto& [name, d] : old) {
      if (!fresh.contains(name)) log::info("foreign_drop_gone", kv("chain", describe(*d)));
    }
    instruments_.drops.set(static_cast<double>(fresh.size()));
    instruments_.spared.set(static_cast<double>(
        std::ranges::count_if(now, [](const Drop& d) { return !d.spared.empty(); })));
  }

  void retry(Clock::duration pause) {
    retry_ = loop_.after(pause, [this] { request(false, false); });
  }

  void poll_legacy() {
    poll_ = loop_.after(legacy_tables_.empty() ? kLegacyLook : kLegacyPoll, [this] {
      if (!legacy_tables_.empty() || legacy_in_use()) request(false, true);
      poll_legacy();
    });
  }

  using Key = std::tuple<Backend, Families, std::string>;
  EventLoop& loop_;
  Instruments instruments_;
  NftFilters nft_;
  ChangedFn changed_;
  Subject subject_;
  std::optional<bool> accepting_;
  Tables nft_tables_, legacy_tables_;
  std::set<std::tuple<std::uint8_t, std::string, std::string>> watched_;  // family, table, chain
  std::map<Key, std::string> errors_;
  bool nft_due_ = false, legacy_due_ = false;
  Clock::time_point not_before_{};
  Clock::time_point next_look_ = Clock::time_point::max();  // that timer_ waits for
  EventLoop::Timer timer_, retry_, poll_;
  LegacyEvents events_;
};

Watch::Watch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Watch::~Watch() = default;

Result<std::unique_ptr<Watch>> Watch::open(EventLoop& loop, metrics::Registry& metrics,
                                           std::vector<std::string> own, ChangedFn changed) {
  MARGAY_TRY(auto nft, NftFilters::open(std::move(own)));
  return std::unique_ptr<Watch>(
      new Watch(std::make_unique<Impl>(loop, metrics, std::move(nft), std::move(changed))));
}

void Watch::set_subject(const Subject& s, std::optional<bool> accepting) {
  impl_->set_subject(s, accepting);
}
void Watch::noticed(const nft::Notice* n) { impl_->noticed(n); }
void Watch::look_again() { impl_->request(true, true); }
const std::vector<Drop>& Watch::drops() const { return impl_->drops_; }

}  // namespace margay::foreign
