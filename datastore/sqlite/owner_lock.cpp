// SPDX-License-Identifier: Apache-2.0
#include "datastore/sqlite/owner_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace margay::datastore {

Result<OwnerLock> OwnerLock::take(const std::string& store_path, const std::string& owner) {
  const std::string path = store_path + ".lock";
  OwnerLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return sys_error(errno, "store lock " + path);
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    const int err = errno;
    if (err != EWOULDBLOCK) return sys_error(err, "store lock " + path);
    std::array<char, 200> text{};
    const auto n = ::pread(lock.fd_, text.data(), text.size(), 0);
    std::string who(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    while (!who.empty() && who.back() == '\n') who.pop_back();
    return make_error(Code::refused, "store " + store_path + " belongs to " +
                                         (who.empty() ? "another process" : who) +
                                         ": a store file has one owner, others reach it through "
                                         "the owner's Store service");
  }
  const std::string me = owner + " (process " + std::to_string(::getpid()) + ")\n";
  if (::ftruncate(lock.fd_, 0) != 0 ||
      ::pwrite(lock.fd_, me.data(), me.size(), 0) != static_cast<ssize_t>(me.size())) {
    return sys_error(errno, "store lock " + path);
  }
  return lock;
}

OwnerLock::~OwnerLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace margay::datastore
