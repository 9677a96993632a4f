// SPDX-License-Identifier: Apache-2.0
// Driver of one tunnel device of ours and the addresses on it. A VXLAN device is adopted when it
// stands, changed live where the kernel allows it, made anew where not (VNI, port, another kind),
// deleted when not wanted. The IPIP device is the kernel's own, which comes with its module and
// cannot go: whatever bears the name is used; when not wanted it only loses its addresses. The name
// is the mark of ownership. Must not know why a device is wanted, nor who the peers are.
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

enum class TunnelKind { vxlan, ipip };

struct VxlanSpec {
  Vni vni;
  std::uint16_t port = 0;
  Ip local;  // underlay address; decides the underlay's family
  IfIndex parent;
  Mac mac;
  friend bool operator==(const VxlanSpec&, const VxlanSpec&) = default;
};

struct TunnelSpec {
  VxlanSpec vxlan;  // of a VXLAN device only
  std::uint32_t mtu = 0;
  std::optional<Ip> address;  // of the device itself, host length
  friend bool operator==(const TunnelSpec&, const TunnelSpec&) = default;
};

// What has to be done to the device, in this order. Pure.
struct TunnelPlan {
  bool remove = false;
  bool create = false;
  std::optional<netlink::LinkChange> change;
  // They need the device to stand. With its last IPv4 address it would lose all routes.
  std::vector<netlink::Address> add_addresses, remove_addresses;
  [[nodiscard]] bool empty() const;
};
[[nodiscard]] TunnelPlan plan_tunnel(TunnelKind kind, const std::string& name,
                                     const std::optional<TunnelSpec>& want, const Interface* have);

class TunnelDevice {
 public:
  TunnelDevice(TunnelKind kind, std::string name) : kind_(kind), name_(std::move(name)) {}

  void want(std::optional<TunnelSpec> spec);
  // Brings the device into the wanted shape; what it did is told to `view` at once. True when
  // something was written.
  [[nodiscard]] bool apply(netlink::Socket& socket, LinkView& view, Clock::time_point now);
  [[nodiscard]] bool in_sync(const LinkView& view) const;

  [[nodiscard]] TunnelKind kind() const { return kind_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::optional<TunnelSpec>& wanted() const { return want_; }
  [[nodiscard]] const reconcile::RetryList<std::string>& retry() const { return retry_; }
  // The kernel does not know such devices: until its module comes no attempt will succeed.
  [[nodiscard]] bool impossible() const;

 private:
  [[nodiscard]] Result<void> send(netlink::Socket& socket, const netlink::Writer& message);
  [[nodiscard]] Result<void> carry_out(TunnelPlan plan, netlink::Socket& socket, LinkView& view,
                                       Clock::time_point now);
  [[nodiscard]] Result<void> write_addresses(TunnelPlan plan, netlink::Socket& socket,
                                             LinkView& view);
  [[nodiscard]] Result<void> create(netlink::Socket& socket);
  [[nodiscard]] Result<void> remove(netlink::Socket& socket, LinkView& view, Clock::time_point now);
  [[nodiscard]] Result<void> look(netlink::Socket& socket, LinkView& view, Clock::time_point now);

  TunnelKind kind_;
  std::string name_;
  std::optional<TunnelSpec> want_;
  reconcile::RetryList<std::string> retry_;
  bool stood_ = false;  // at the last look
};

}  // namespace margay::link
