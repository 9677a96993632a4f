// SPDX-License-Identifier: Apache-2.0
// A directory of a test's own, removed with everything in it. Its name has the process's number, by
// which ./test finds what killed tests left.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace margay {

class TempDir {
 public:
  TempDir() {
    const std::string file = "margay-test-" + std::to_string(::getpid()) + "-XXXXXX";
    std::string name = (std::filesystem::temp_directory_path() / file).string();
    MARGAY_ASSERT(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).string();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace margay
