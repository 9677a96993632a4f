// SPDX-License-Identifier: Apache-2.0
#include "dataplane/foreign/legacy_filters.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "dataplane/foreign/legacy_table.h"
#include "dataplane/netlink/message.h"

namespace margay::foreign {
namespace {

constexpr const char* kRunDirectory = "/run";
constexpr std::string_view kLockName = "xtables.lock";
constexpr const char* kLock = "/run/xtables.lock";
constexpr int kTries = 3;  // a table may grow between two calls

// Both families have the same numbers and the same structures around the rules.
static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES &&
              IPT_SO_SET_REPLACE == IP6T_SO_SET_REPLACE &&
              IPT_SO_SET_ADD_COUNTERS == IP6T_SO_SET_ADD_COUNTERS);
static_assert(sizeof(ipt_getinfo) == sizeof(ip6t_getinfo));
static_assert(offsetof(ipt_get_entries, entrytable) == offsetof(ip6t_get_entries, entrytable));
static_assert(offsetof(ipt_replace, entries) == offsetof(ip6t_replace, entries));

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

int raw_socket(Family f) {
  return ::socket(f == Family::v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
}
int level_of(Family f) { return f == Family::v4 ? IPPROTO_IP : IPPROTO_IPV6; }

std::string described(const LegacyTable& t) {
  return describe_table(Backend::legacy, t.family == Family::v4 ? Families::v4 : Families::v6,
                        t.name);
}

// Tables that exist in this network namespace, but for address translation.
std::vector<std::string> table_names(Family f) {
  std::ifstream in(f == Family::v4 ? "/proc/thread-self/net/ip_tables_names"
                                   : "/proc/thread-self/net/ip6_tables_names");
  std::vector<std::string> out;
  for (std::string name; std::getline(in, name);) {
    if (name != "nat" && !name.empty() && name.size() < XT_TABLE_MAXNAMELEN) out.push_back(name);
  }
  return out;
}

// nullopt: the table has changed between the two questions.
Result<std::optional<LegacyTable>> try_load(int fd, Family f, const std::string& name) {
  LegacyTable t;
  t.family = f;
  t.name = name;
  ipt_getinfo info{};
  std::memcpy(info.name, name.data(), name.size());
  socklen_t size = sizeof info;
  if (::getsockopt(fd, level_of(f), IPT_SO_GET_INFO, &info, &size) != 0) {
    return sys_error(errno, described(t));
  }
  t.valid_hooks = info.valid_hooks;
  std::copy_n(info.hook_entry, LegacyTable::kHooks, t.entry.begin());
  std::copy_n(info.underflow, LegacyTable::kHooks, t.policy.begin());
  constexpr std::size_t kHead = offsetof(ipt_get_entries, entrytable);
  std::vector<std::uint8_t> buffer(kHead + info.size);
  std::memcpy(buffer.data(), name.data(), name.size());
  std::memcpy(buffer.data() + offsetof(ipt_get_entries, size), &info.size, sizeof info.size);
  size = static_cast<socklen_t>(buffer.size());
  if (::getsockopt(fd, level_of(f), IPT_SO_GET_ENTRIES, buffer.data(), &size) != 0) {
    if (errno == EAGAIN) return std::optional<LegacyTable>{};
    return sys_error(errno, described(t));
  }
  t.bytes.assign(buffer.begin() + kHead, buffer.end());
  return std::optional(std::move(t));
}

Result<LegacyTable> load(int fd, Family f, const std::string& name) {
  for (int i = 0; i < kTries; ++i) {
    MARGAY_TRY(auto t, try_load(fd, f, name));
    if (t) return std::move(*t);
  }
  return make_error(
      Code::unavailable,
      describe_table(Backend::legacy, f == Family::v4 ? Families::v4 : Families::v6, name) +
          ": keeps changing");
}

// Puts the table in the place of the old one, whose counters go on.
Result<void> store(int fd, const LegacyTable& t, std::size_t old_rules) {
  std::vector<xt_counters> old(old_rules);
  ipt_replace head{};
  std::memcpy(head.name, t.name.data(), t.name.size());
  head.valid_hooks = t.valid_hooks;
  head.num_entries = static_cast<unsigned>(t.origins.size());
  head.size = static_cast<unsigned>(t.bytes.size());
  std::ranges::copy(t.entry, head.hook_entry);
  std::ranges::copy(t.policy, head.underflow);
  head.num_counters = static_cast<unsigned>(old_rules);
  head.counters = old.data();
  constexpr std::size_t kHead = offsetof(ipt_replace, entries);
  std::vector<std::uint8_t> buffer(kHead + t.bytes.size());
  std::memcpy(buffer.data(), &head, kHead);
  std::ranges::copy(t.bytes, buffer.begin() + kHead);
  if (::setsockopt(fd, level_of(t.family), IPT_SO_SET_REPLACE, buffer.data(),
                   static_cast<socklen_t>(buffer.size())) != 0) {
    return sys_error(errno, described(t));
  }
  constexpr std::size_t kCounters = offsetof(xt_counters_info, counters);
  xt_counters_info info{};
  std::memcpy(info.name, t.name.data(), t.name.size());
  info.num_counters = head.num_entries;
  std::vector<std::uint8_t> sums(kCounters + t.origins.size() * sizeof(xt_counters));
  std::memcpy(sums.data(), &info, kCounters);
  for (std::size_t i = 0; i < t.origins.size(); ++i) {
    if (!t.origins[i]) continue;
    std::memcpy(sums.data() + kCounters + i * sizeof(xt_counters), &old[*t.origins[i]],
                sizeof(xt_counters));
  }
  if (::setsockopt(fd, level_of(t.family), IPT_SO_SET_ADD_COUNTERS, sums.data(),
                   static_cast<socklen_t>(sums.size())) != 0) {
    return sys_error(errno, described(t) + ": counters");
  }
  return {};
}

}  // namespace

bool legacy_in_use() {
  return std::ranges::any_of(kFamilies, [](Family f) { return !table_names(f).empty(); });
}

Result<std::vector<Table>> read_legacy() {
  std::vector<Table> out;
  for (const Family f : kFamilies) {
    const auto names = table_names(f);
    if (names.empty()) continue;
    const Descriptor fd(raw_socket(f));
    if (fd.get() < 0) return sys_error(errno, "raw socket for legacy tables");
    for (const std::string& name : names) {
      MARGAY_TRY(const LegacyTable raw, load(fd.get(), f, name));
      MARGAY_TRY(Table t, read_table(raw));
      out.push_back(std::move(t));
    }
  }
  return out;
}

Result<void> apply_legacy(const Table& table, const Edit& edit) {
  const Family f = table.families == Families::v4 ? Family::v4 : Family::v6;
  // Without the lock's file no other program uses it either.
  const Descriptor lock(::open(kLock, O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() >= 0 && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return make_error(Code::unavailable, describe_table(table.backend, table.families, table.name) +
                                             ": another program holds /run/xtables.lock");
  }
  const Descriptor fd(raw_socket(f));
  if (fd.get() < 0) return sys_error(errno, "raw socket for legacy tables");
  MARGAY_TRY(LegacyTable raw, load(fd.get(), f, table.name));
  MARGAY_TRY(const Table now, read_table(raw));
  if (now != table) return make_error(Code::unavailable, described(raw) + ": changed meanwhile");
  MARGAY_TRY(const std::size_t rules, number_rules(raw));
  MARGAY_TRY(const LegacyTable wanted, with_edit(std::move(raw), edit));
  return store(fd.get(), wanted, rules);
}

LegacyEvents::LegacyEvents(EventLoop& loop, std::function<void()> changed)
    : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)), changed_(std::move(changed)) {
  if (fd_ < 0 || ::inotify_add_watch(fd_, kRunDirectory, IN_CREATE | IN_MOVED_TO) < 0) return;
  watch_lock();
  watch_ = loop.readable(fd_, [this] { read(); });
}

LegacyEvents::~LegacyEvents() {
  watch_.reset();
  if (fd_ >= 0) ::close(fd_);
}

void LegacyEvents::watch_lock() { lock_ = ::inotify_add_watch(fd_, kLock, IN_CLOSE); }

void LegacyEvents::read() {
  bool seen = false;
  std::array<std::uint8_t, 4096> buffer{};
  for (;;) {
    const auto n = ::read(fd_, buffer.data(), buffer.size());
    if (n <= 0) break;
    netlink::ByteView rest(buffer.data(), static_cast<std::size_t>(n));
    while (rest.size() >= sizeof(inotify_event)) {
      inotify_event e{};
      std::memcpy(&e, rest.data(), sizeof e);
      const std::size_t length = std::min(rest.size(), sizeof e + e.len);
      const auto name = netlink::Attr{0, rest.subspan(sizeof e, length - sizeof e)}.text();
      const bool made = name == kLockName;
      if (made) watch_lock();
      seen |= made || e.wd == lock_ || (e.mask & IN_Q_OVERFLOW) != 0;
      rest = rest.subspan(length);
    }
  }
  if (seen) changed_();
}

}  // namespace margay::foreign
