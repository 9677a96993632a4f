// SPDX-License-Identifier: Apache-2.0
// Driver of one VXLAN device of ours and the addresses on it: adopted when it stands, changed live
// where the kernel allows it, made anew where not (VNI, port, another kind), deleted when not
// wanted. Its name is the mark of ownership. Must not know why it is wanted, nor who the peers are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/result.h"
#include "base/types.h"
#include "dataplane/link/link_view.h"
#include "dataplane/netlink/socket.h"
#include "dataplane/reconcile/retry.h"

namespace margay::link {

struct VxlanSpec {
  Vni vni;
  std::uint16_t port = 0;
  Ip local;  // underlay address; decides the underlay's family
  IfIndex parent;
  Mac mac;
  std::uint32_t mtu = 0;
  Ip address;  // of the device itself, host length
  friend bool operator==(const VxlanSpec&, const VxlanSpec&) = default;
};

// What has to be done to the device, in this order. Pure.
struct VxlanPlan {
  bool remove = false;
  bool create = false;
  std::optional<netlink::LinkChange> change;
  std::vector<netlink::Address> remove_addresses, add_addresses;  // need the device to stand
  [[nodiscard]] bool empty() const;
};
[[nodiscard]] VxlanPlan plan_vxlan(const std::string& name, const std::optional<VxlanSpec>& want,
                                   const Interface* have);

class VxlanDevice {
 public:
  explicit VxlanDevice(std::string name) : name_(std::move(name)) {}

  void want(std::optional<VxlanSpec> spec);
  // Brings the device into the wanted shape; what it did is told to `view` at once. True when
  // something was written.
  [[nodiscard]] bool apply(netlink::Socket& socket, LinkView& view, Clock::time_point now);
  [[nodiscard]] bool in_sync(const LinkView& view) const;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::optional<VxlanSpec>& wanted() const { return want_; }
  [[nodiscard]] const reconcile::RetryList<std::string>& retry() const { return retry_; }

 private:
  [[nodiscard]] Result<void> send(netlink::Socket& socket, const netlink::Writer& message);
  [[nodiscard]] Result<void> carry_out(VxlanPlan plan, netlink::Socket& socket, LinkView& view,
                                       Clock::time_point now);
  [[nodiscard]] Result<void> create(netlink::Socket& socket);
  [[nodiscard]] Result<void> remove(netlink::Socket& socket, LinkView& view, Clock::time_point now);
  [[nodiscard]] Result<void> look(netlink::Socket& socket, LinkView& view, Clock::time_point now);

  std::string name_;
  std::optional<VxlanSpec> want_;
  reconcile::RetryList<std::string> retry_;
};

}  // namespace margay::link
