// SPDX-License-Identifier: Apache-2.0
#include "dataplane/sysctl/sysctl_table.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace margay::sysctl {

namespace {

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

void SysctlTable::want(const std::string& path, std::string value) {
  auto [it, fresh] = table_.try_emplace(path);
  Entry& e = it->second;
  if (!fresh && e.value == value) return;
  e.value = std::move(value);
  e.stood = false;
  if (fresh || !e.suspect) ++suspects_;
  e.suspect = true;
  retry_.clear(path);
}

void SysctlTable::forget(const std::string& path) {
  const auto it = table_.find(path);
  if (it == table_.end()) return;
  if (it->second.suspect) --suspects_;
  table_.erase(it);
  retry_.clear(path);
}

void SysctlTable::suspect(const std::string& path) {
  const auto it = table_.find(path);
  if (it == table_.end() || it->second.suspect) return;
  it->second.suspect = true;
  ++suspects_;
}

void SysctlTable::suspect_all() {
  for (auto& [path, e] : table_) e.suspect = true;
  suspects_ = table_.size();
}

void SysctlTable::suspect_some(std::size_t count) {
  auto it = table_.lower_bound(turn_);
  for (count = std::min(count, table_.size()); count != 0; --count, ++it) {
    if (it == table_.end()) it = table_.begin();
    suspects_ += !std::exchange(it->second.suspect, true);
  }
  turn_ = it == table_.end() ? std::string() : it->first;
}

SysctlTable::Step SysctlTable::apply(Clock::time_point now) {
  Step step;
  if (suspects_ == 0) return step;
  for (auto& [path, e] : table_) {
    if (!e.suspect || retry_.waiting(path, now)) continue;
    const auto written = settle(path, e.value);
    if (!written.ok()) {
      if (retry_.failed(path, written.error().sys_errno, written.error().context, now) == 1) {
        log::warn("sysctl_refused", kv("path", path), kv("error", written.error()));
      }
      continue;
    }
    step.written += *written;
    step.repaired += *written && e.stood;
    e.suspect = false;
    e.stood = true;
    --suspects_;
    retry_.clear(path);
  }
  return step;
}

Result<bool> SysctlTable::settle(const std::string& path, const std::string& value) const {
  MARGAY_TRY(const std::string now, read(path));
  if (now == value) return false;
  const File file(root_ + "/" + path, O_WRONLY);
  if (file.fd() < 0) return sys_error(errno, "sysctl " + path);
  if (::write(file.fd(), value.data(), value.size()) < 0) {
    return sys_error(errno, "sysctl " + path + " = " + value);
  }
  return true;
}

Result<std::string> SysctlTable::read(const std::string& path) const {
  const File file(root_ + "/" + path, O_RDONLY);
  if (file.fd() < 0) return sys_error(errno, "sysctl " + path);
  char buffer[64];
  const auto n = ::read(file.fd(), buffer, sizeof buffer);
  if (n < 0) return sys_error(errno, "sysctl " + path);
  std::string text(buffer, static_cast<std::size_t>(n));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace margay::sysctl
