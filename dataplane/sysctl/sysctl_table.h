// SPDX-License-Identifier: Apache-2.0
// Driver of kernel settings under /proc/sys of the calling thread's network namespace: each wanted
// one is read, and written only when it differs. What is no longer wanted stays as it is. Must not
// know why.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "dataplane/reconcile/retry.h"

namespace margay::sysctl {

class SysctlTable {
 public:
  explicit SysctlTable(std::string root = "/proc/sys/net") : root_(std::move(root)) {}

  // `path` is relative to the root: "ipv4/conf/cali1/proxy_arp".
  void want(const std::string& path, std::string value);
  void forget(const std::string& path);
  // Looked at again by the next apply().
  void suspect(const std::string& path);
  void suspect_all();
  // The next `count`, in turns: what a periodic look can afford where there are thousands.
  void suspect_some(std::size_t count);

  struct Step {
    std::size_t written = 0;
    std::size_t repaired = 0;  // stood before, and had been changed
  };
  [[nodiscard]] Step apply(Clock::time_point now);
  [[nodiscard]] Result<std::string> read(const std::string& path) const;

  [[nodiscard]] std::optional<Clock::time_point> next_wake(Clock::time_point now) const {
    return retry_.next_after(now);
  }
  [[nodiscard]] const std::map<std::string, reconcile::Failure>& failures() const {
    return retry_.all();
  }
  [[nodiscard]] std::size_t pending() const { return suspects_; }
  [[nodiscard]] std::size_t wanted() const { return table_.size(); }
  [[nodiscard]] std::size_t settled() const { return table_.size() - suspects_; }

 private:
  struct Entry {
    std::string value;
    bool suspect = true;
    bool stood = false;
  };
  [[nodiscard]] Result<bool> settle(const std::string& path, const std::string& value) const;

  std::string root_;
  std::map<std::string, Entry> table_;
  std::size_t suspects_ = 0;
  std::string turn_;  // where suspect_some() goes on
  reconcile::RetryList<std::string> retry_;
};

}  // namespace margay::sysctl
