// SPDX-License-Identifier: Apache-2.0
// What the field tables cannot say about one kind: fields that exclude or need each other, ranges
// that depend on the family, built-in objects. Each adds its problems to the context. Internal to
// model/codec.
#pragma once

#include "model/codec/read.h"
#include "model/controllers.h"
#include "model/kubernetes.h"
#include "model/resources.h"

namespace margay::model::codec {

[[nodiscard]] std::string indexed(std::string_view path, std::size_t i);  // "spec.ports[2]"
// Every label, as metadata's; `path` is where the map stands.
void check_labels(Context& ctx, const Labels& labels, std::string_view path);
[[nodiscard]] bool is_interface_name(std::string_view text);
void check_family(Context& ctx, std::string_view path, const std::optional<Ip>& ip, Family want);

void check(Context& ctx, const NetworkPolicy& v);
void check(Context& ctx, const GlobalNetworkPolicy& v);
void check(Context& ctx, const StagedNetworkPolicy& v);
void check(Context& ctx, const StagedGlobalNetworkPolicy& v);
void check(Context& ctx, const Tier& v);
void check(Context& ctx, const Profile& v);
void check(Context& ctx, const WorkloadEndpoint& v);
void check(Context& ctx, const HostEndpoint& v);
void check(Context& ctx, const IpPool& v);
void check(Context& ctx, const IpamConfiguration& v);
void check(Context& ctx, const IpamConfig& v);
void check(Context& ctx, const IpamBlock& v);
void check(Context& ctx, const Node& v);
void check(Context& ctx, const BgpConfiguration& v);
void check(Context& ctx, const BgpPeer& v);
void check(Context& ctx, const BgpFilter& v);
void check(Context& ctx, const ClusterInformation& v);
void check(Context& ctx, const KubernetesNetworkPolicy& v);
void check(Context& ctx, const StagedKubernetesNetworkPolicy& v);
void check(Context& ctx, const ClusterNetworkPolicy& v);

}  // namespace margay::model::codec
