// SPDX-License-Identifier: Apache-2.0
// Resources in few words for the tests of bgp/intent, and what comes out of them as texts.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bgp/intent/intent.h"

namespace margay::bgp {

using model::Key;
using model::Kind;
struct Object {
  Kind kind;
  std::string name;
  std::string spec;         // of `{"metadata": ..., "spec": ...}`
  std::string labels = "";  // `"rack":"1"`
  std::string ns = "";
};

inline Object node(const std::string& name, const std::string& bgp,
                   const std::string& labels = "") {
  return {Kind::node, name, R"({"bgp":{)" + bgp + "}}", labels};
}
inline Object peer(const std::string& name, const std::string& spec) {
  return {Kind::bgp_peer, name, "{" + spec + "}"};
}
inline Object config(const std::string& spec, const std::string& name = "default") {
  return {Kind::bgp_configuration, name, "{" + spec + "}"};
}
inline Object pool(const std::string& name, const std::string& cidr, const std::string& more = "") {
  return {Kind::ip_pool, name, R"({"cidr":")" + cidr + "\"" + more + "}"};
}

inline void give(Intent& intent, const Object& o) {
  std::string json = o.spec;
  const Key key{o.kind, o.ns, o.name};
  const bool plain = o.kind == Kind::block_affinity || o.kind == Kind::secret ||
                     o.kind == Kind::service || o.kind == Kind::endpoint_slice;
  if (!plain) {
    json = R"({"metadata":{"name":")" + o.name + R"(","labels":{)" + o.labels + R"(}},"spec":)" +
           o.spec + "}";
  }
  ASSERT_TRUE(intent.offer(key, json).ok());
}

inline SpeakerConfig compute(const std::vector<Object>& objects,
                             IntentOptions options = {"n1", "", {}, {}},
                             std::vector<Problem>* problems = nullptr) {
  if (options.secrets_namespace.empty()) options.secrets_namespace = "kube-system";
  Intent intent(options);
  for (const auto& o : objects) give(intent, o);
  EXPECT_FALSE(intent.compute().has_value()) << "before in-sync";
  intent.set_in_sync();
  auto out = intent.compute();
  EXPECT_TRUE(out.has_value());
  if (problems != nullptr) *problems = intent.problems();
  return std::move(*out);
}

// Each peer in a few words, in order.
inline std::vector<std::string> peers(const SpeakerConfig& c) {
  std::vector<std::string> out;
  for (const auto& p : c.peers) {
    std::string s = p.name + " AS" + to_string(p.session.remote_as);
    if (p.session.port != kBgpPort) s += " port " + std::to_string(p.session.port);
    if (p.session.passive) s += " passive";
    if (p.session.route_reflector_client) s += " client";
    if (!p.session.source) s += " nosource";
    for (const Family f : p.session.families) s += f == Family::v4 ? " IPv4" : " IPv6";
    if (p.session.other_next_hop) s += " hop " + p.session.other_next_hop->to_string();
    if (!p.session.down_reason.empty()) s += " down";
    out.push_back(s);
  }
  return out;
}

inline const std::string kN1 = R"("ipv4Address":"10.0.0.1/24","ipv6Address":"fd00::1/64")";
inline const std::string kN2 = R"("ipv4Address":"10.0.0.2/24","ipv6Address":"fd00::2/64")";
inline const std::string kN3 = R"("ipv4Address":"10.0.1.3/24","asNumber":65003)";

using Names = std::vector<std::string>;

inline Object affinity(const std::string& cidr, const std::string& state,
                       const std::string& host = "n1") {
  return {Kind::block_affinity, cidr, R"({"state":")" + state + "\"}", "", "host:" + host};
}

inline std::vector<std::string> texts(const std::vector<Prefix>& list) {
  std::vector<std::string> out;
  for (const auto& p : list) out.push_back(p.to_string());
  return out;
}
inline std::vector<std::string> originated(const SpeakerConfig& c) {
  std::vector<std::string> out;
  for (const auto& r : c.originated) out.push_back(r.prefix.to_string());
  return out;
}

}  // namespace margay::bgp
