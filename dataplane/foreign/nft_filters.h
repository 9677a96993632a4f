// SPDX-License-Identifier: Apache-2.0
// Filters of other software in nf_tables: reads every base chain that is not ours with what it
// always jumps to, and changes our own rules in there. Blocking calls on a netlink socket: one
// thread, the nft loop's, in its network namespace.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/foreign/filters.h"
#include "dataplane/netlink/socket.h"

namespace margay::foreign {

// A rule message of nf_tables, whose chain goes to `chain`. Pure and total.
[[nodiscard]] std::optional<Rule> parse_nft_rule(const netlink::Message& m, std::string& chain);

class NftFilters {
 public:
  // `own`: names of inet tables that are passed over.
  [[nodiscard]] static Result<NftFilters> open(std::vector<std::string> own);

  [[nodiscard]] Result<std::vector<Table>> read();
  // All of the edit or nothing.
  [[nodiscard]] Result<void> apply(const Table& table, const Edit& edit);

 private:
  NftFilters(netlink::Socket socket, std::vector<std::string> own)
      : socket_(std::move(socket)), own_(std::move(own)) {}
  [[nodiscard]] Result<std::vector<Table>> read_chains();
  [[nodiscard]] Result<void> read_rules(Table& table, const std::string& chain);

  netlink::Socket socket_;
  std::vector<std::string> own_;
};

}  // namespace margay::foreign
