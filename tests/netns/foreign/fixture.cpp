// SPDX-License-Identifier: Apache-2.0
#include "tests/netns/foreign/fixture.h"

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/support/run_until.h"

namespace margay::foreign::test {
std::string run(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(("{\n" + command + "\n} 2>&1").c_str(), "re");
  if (pipe == nullptr) return out;
  char buffer[4096];
  while (const std::size_t n = ::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << out;
  return out;
}

std::string file_of(const std::string& text) {
  static std::map<std::string, int> files;
  int& fd = files.try_emplace(text, -1).first->second;
  if (fd < 0) {
    fd = ::memfd_create("rules", 0);
    EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd);
}

bool has_legacy() {
  static const bool has =
      std::system("{ iptables-legacy -S && ip6tables-legacy -S; } > /dev/null 2>&1") == 0;
  return has;
}

std::string all_filters() {
  if (!has_legacy()) return run("nft -s list ruleset 2>/dev/null");
  return run(
      "nft -s list ruleset 2>/dev/null; for t in iptables-legacy ip6tables-legacy; do $t-save; "
      "done "
      "| sed -e '/^#/d' -e 's/\\[.*\\]//'");
}

void Foreign::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a network namespace";
  fresh();
}

void Foreign::fresh() {
  keeper_.reset();
  watch_.reset();
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << std::strerror(errno);
}

void Foreign::TearDown() {
  keeper_.reset();
  watch_.reset();
}

void Foreign::watch(std::optional<bool> accepting) {
  auto w = Watch::open(loop_, metrics_, {"margay"}, [] {});
  ASSERT_TRUE(w.ok()) << w.error().message();
  watch_ = std::move(w).value();
  auto k = nft::Keeper::open(loop_, {"margay"}, {}, {},
                             [this](const nft::Notice* n) { watch_->noticed(n); });
  ASSERT_TRUE(k.ok()) << k.error().message();
  keeper_ = std::move(k).value();
  set(accepting);
}

bool Foreign::until(const std::function<bool()>& condition) { return run_until(loop_, condition); }

std::vector<std::string> Foreign::dropped() const {
  std::vector<std::string> out;
  for (const Drop& d : watch_->drops()) {
    for (const std::string& what : d.drops) out.push_back(d.table + "/" + d.chain + ": " + what);
  }
  return out;
}

bool Foreign::spared() const {
  const auto& all = watch_->drops();
  return dropped().empty() &&
         std::ranges::any_of(all, [](const Drop& d) { return !d.spared.empty(); });
}

double Foreign::metric(const std::string& name) const {
  const std::string text = "\n" + metrics_.text();
  const auto at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

}  // namespace margay::foreign::test
