// SPDX-License-Identifier: Apache-2.0
#include "model/codec.h"

#include <gtest/gtest.h>

#include <chrono>

namespace margay::model {
namespace {

template <typename T>
T must_decode(std::string_view json) {
  auto r = decode<T>(json);
  if (!r.ok()) {
    ADD_FAILURE() << r.error().message() << "\nin " << json;
    return {};
  }
  return std::move(r).value();
}

TEST(Codec, reads_a_workload_endpoint) {
  const auto w = must_decode<WorkloadEndpoint>(R"({
    "kind": "WorkloadEndpoint", "apiVersion": "projectcalico.org/v3",
    "metadata": {"name": "n1-k8s-web-eth0", "namespace": "shop", "uid": "u",
      "creationTimestamp": "2026-01-01T00:00:00Z",
      "labels": {"zone": "b", "app": "web", "projectcalico.org/namespace": "shop"}},
    "spec": {"orchestrator": "k8s", "node": "n1", "containerID": "c1", "pod": "web",
      "endpoint": "eth0", "ipNetworks": ["10.65.0.5/32", "fd65::5"],
      "ipNATs": [{"internalIP": "10.65.0.5", "externalIP": "203.0.113.5"}],
      "profiles": ["kns.shop"], "interfaceName": "cali0123456789a",
      "mac": "02:00:00:00:00:0a", "ipv4Gateway": "", "futureField": {"x": [1, 2]},
      "ports": [{"name": "http", "protocol": "TCP", "port": 8080, "hostPort": 0, "hostIP": ""}]}})");
  EXPECT_EQ(w.metadata.name, "n1-k8s-web-eth0");
  EXPECT_EQ(w.metadata.ns, "shop");
  ASSERT_EQ(w.metadata.labels.size(), 3U);
  EXPECT_EQ(w.metadata.labels[0].first, "app");  // sorted
  EXPECT_EQ(*find_label(w.metadata.labels, "zone"), "b");
  ASSERT_EQ(w.spec.ip_networks.size(), 2U);
  EXPECT_EQ(w.spec.ip_networks[1].to_string(), "fd65::5/128");
  EXPECT_EQ(w.spec.ip_nats[0].external_ip.to_string(), "203.0.113.5");
  EXPECT_EQ(w.spec.mac->to_string(), "02:00:00:00:00:0a");
  EXPECT_TRUE(w.spec.ipv4_gateway.is_any());
  EXPECT_EQ(w.spec.ports[0].protocol.number, 6);
  EXPECT_EQ(w.spec.ports[0].port, 8080);
}

}  // namespace
}  // namespace margay::model
