// SPDX-License-Identifier: Apache-2.0
// Watches what others do to our tables: notifications of nf_tables, our own transactions filtered
// out in the socket. What concerns a table of ours becomes doubt in that table
// (Table::suspect_...); the rest costs one look at a name. One thread, the nft loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "dataplane/nft/driver.h"
#include "dataplane/nft/kernel.h"

namespace margay::nft {

class Monitor {
 public:
  // Some 30,000 notifications: kube-proxy rewrites thousands of elements at once.
  static constexpr int kReceiveBuffer = 16 << 20;
  // Changes made by the sockets of `own_ports` are ours.
  [[nodiscard]] static Result<std::unique_ptr<Monitor>> open(
      std::span<const std::uint32_t> own_ports, int receive_buffer = kReceiveBuffer);
  ~Monitor();

  [[nodiscard]] int fd() const;  // readable: call read()

  struct Findings {
    bool touched = false;       // some table has new doubts
    bool overrun = false;       // notifications were lost: every table is in doubt
    bool more = false;          // not all was read: call again
    std::uint32_t process = 0;  // who, as far as the kernel tells
    std::string program;
  };
  // Called with each notification about another table (or a table of another family).
  using ElsewhereFn = std::function<void(const Notice&)>;
  [[nodiscard]] Findings read(std::span<Table* const> tables, const ElsewhereFn& elsewhere = {});

 private:
  class Impl;
  explicit Monitor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace margay::nft
