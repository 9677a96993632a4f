// SPDX-License-Identifier: Apache-2.0
// One owner process per store file: an flock on `<file>.lock`, which also tells who the owner is.
// The kernel lets it go when the process ends, however it ends. The lock file is never removed.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace margay::datastore {

class OwnerLock {
 public:
  // Code::refused, naming the owner's program and process, when the file has one already.
  static Result<OwnerLock> take(const std::string& store_path, const std::string& owner);
  OwnerLock(OwnerLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnerLock& operator=(OwnerLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnerLock();

 private:
  explicit OwnerLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace margay::datastore
