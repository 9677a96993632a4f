// SPDX-License-Identifier: Apache-2.0
// What links and addresses the kernel has, by index and by name, kept from dumps and notifications.
// Renames and re-creation are followed by index. Each change tells which interface it touched.
// Pure but for read().
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/loop/event_loop.h"
#include "base/result.h"
#include "dataplane/netlink/rtnl.h"
#include "dataplane/netlink/socket.h"

namespace margay::link {

struct Interface {
  netlink::Link link;
  std::vector<netlink::Address> addresses;
  Clock::time_point since{};  // when it appeared; the epoch for what the first reading found
};

// What happened to one interface; `before` is empty when it appeared, `after` null when it went.
struct LinkChangeSeen {
  IfIndex index;
  std::optional<netlink::Link> before;
  const Interface* after = nullptr;  // valid until the next change
  bool addresses = false;            // only its addresses changed
  std::optional<Ip> address_gone;
};
using LinkListener = std::function<void(const LinkChangeSeen&)>;

class LinkView {
 public:
  explicit LinkView(LinkListener listener) : listener_(std::move(listener)) {}

  // Reads all and reports what differs from before.
  [[nodiscard]] Result<void> read(netlink::Socket& socket, Clock::time_point now);
  void notice(const netlink::LinkMessage& message, Clock::time_point now);
  void notice(const netlink::AddressMessage& message);

  [[nodiscard]] const Interface* by_index(IfIndex index) const;
  [[nodiscard]] const Interface* by_name(const std::string& name) const;
  [[nodiscard]] const Interface* owner_of(const Ip& address) const;  // not of loopback devices
  [[nodiscard]] bool is_local(const Ip& address) const;              // of any device
  [[nodiscard]] const std::map<IfIndex, Interface>& all() const { return interfaces_; }

 private:
  void remove(IfIndex index);
  void rename(const Interface& i, const std::string& before);

  LinkListener listener_;
  std::map<IfIndex, Interface> interfaces_;
  std::unordered_map<std::string, IfIndex> names_;
  std::unordered_map<Ip, std::vector<IfIndex>> addresses_;
  bool first_ = true;
};

}  // namespace margay::link
