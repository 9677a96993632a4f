// SPDX-License-Identifier: Apache-2.0
#include "agent/passwords.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace margay::agent {
namespace {

namespace fs = std::filesystem;

// Also of a file that is no password's: nobody writes one longer than the kernel takes (80).
constexpr std::size_t kLongest = 4096;

std::string password_in(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kLongest, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

// ".." begins the names of what a mounted Secret needs for itself.
bool counts(const fs::path& path) { return !path.filename().string().starts_with(".."); }

}  // namespace

bgp::Passwords read_passwords(const std::string& directory) {
  bgp::Passwords out;
  std::error_code ec;
  for (fs::directory_iterator secret(directory, ec), end; !ec && secret != end;
       secret.increment(ec)) {
    if (!counts(secret->path())) continue;
    std::error_code inner;
    for (fs::directory_iterator key(secret->path(), inner); !inner && key != end;
         key.increment(inner)) {
      if (!counts(key->path()) || !fs::is_regular_file(key->path(), inner)) continue;
      std::string text = password_in(key->path());
      if (text.empty()) continue;
      out[{secret->path().filename().string(), key->path().filename().string()}] = std::move(text);
    }
  }
  return out;
}

}  // namespace margay::agent
