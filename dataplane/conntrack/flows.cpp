// SPDX-License-Identifier: Apache-2.0
#include "dataplane/conntrack/flows.h"

#include <linux/netlink.h>

#include <array>
#include <limits>
#include <optional>
#include <unordered_set>
#include <vector>

#include "dataplane/conntrack/flow.h"

namespace margay::conntrack {

namespace {

// A search by the kernel walks its whole hash table twice, some milliseconds whatever it finds; in
// that time so many flows are looked through here.
constexpr std::size_t kFewPerAddress = 2000;

using Addresses = std::unordered_set<Ip>;

std::vector<Query> queries_for(Family f, const Addresses& addresses, std::size_t flows) {
  if (f == Family::v6 || flows <= kFewPerAddress * addresses.size()) {
    return {{f, std::nullopt, false, true}};
  }
  std::vector<Query> out;
  for (const Ip& a : addresses) {
    for (const bool reply : {false, true}) out.push_back({f, a, reply, true});
  }
  return out;
}

}  // namespace

Result<Flows> Flows::open() {
  MARGAY_TRY(netlink::Socket socket, open_socket());
  return Flows(std::move(socket));
}

Result<std::uint32_t> Flows::count() {
  const std::uint32_t seq = socket_.next_seq();
  netlink::Writer request;
  encode_count(request, seq);
  std::optional<std::uint32_t> count;
  MARGAY_CHECK(socket_.request(request, seq, [&](const netlink::Message& message) {
    if (const auto told = decode_count(message)) count = told;
  }));
  return count.value_or(std::numeric_limits<std::uint32_t>::max());
}

Result<std::size_t> Flows::cut_matching(const Query& query,
                                        const std::function<bool(const Flow&)>& concerned) {
  netlink::Writer removals;
  std::size_t found = 0;
  MARGAY_CHECK(socket_.dump_retry(
      [&](netlink::Writer& w, std::uint32_t seq) {
        removals.clear();
        found = 0;
        encode_dump(w, seq, query);
      },
      [&](const netlink::Message& message) {
        const auto flow = decode(message);
        if (!flow || !concerned(*flow)) return;
        encode_removal(removals, message);
        ++found;
      }));
  MARGAY_CHECK(send_removals(socket_, removals));
  return found;
}

Result<std::size_t> Flows::apply(std::size_t max) {
  std::array<Addresses, 2> due;
  for (; max > 0 && !queue_.empty(); --max) {
    due[queue_.front().is_v6() ? 1 : 0].insert(queue_.front());
    queue_.pop_front();
  }
  MARGAY_TRY(const std::uint32_t flows, count());
  std::size_t deleted = 0;
  for (const Family f : kFamilies) {
    const Addresses& addresses = due[f == Family::v6 ? 1 : 0];
    if (addresses.empty() || flows == 0) continue;
    // Who took part is the source of what it began, or of the answers to what it was asked,
    // whatever was translated on the way.
    const auto concerned = [&](const Flow& flow) {
      return addresses.contains(flow.original.source) || addresses.contains(flow.reply.source);
    };
    for (const Query& query : queries_for(f, addresses, flows)) {
      MARGAY_TRY(const std::size_t found, cut_matching(query, concerned));
      deleted += found;
    }
  }
  return deleted;
}

}  // namespace margay::conntrack
