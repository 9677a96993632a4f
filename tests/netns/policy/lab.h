// SPDX-License-Identifier: Apache-2.0
// A node in the test's own network namespace, pods and a neighbour in further ones, and a
// PolicyPlane on the node. Packets go in as frames at one end and are looked for at the other: pods
// have no addresses and answer nothing, so that every packet stands for itself.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop/asio_loop.h"
#include "base/metrics.h"
#include "dataplane/managers/policy_plane.h"
#include "packets.h"

namespace margay::test {

// Runs a command; its output. Fails the test when it fails.
std::string run(const std::string& command);

enum class Fate { pass, drop, refuse };
[[nodiscard]] std::string to_string(Fate f);

class Lab : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // A network namespace linked to the node by `interface`, with one address of each family routed
  // to it. The end in there is called eth0.
  struct Station {
    int netns = -1, socket = -1;
    std::string interface;
    Ip v4, v6;
    Mac mac, node_mac;
    [[nodiscard]] const Ip& address(Family f) const { return f == Family::v4 ? v4 : v6; }
  };
  Station& add_station(const std::string& interface, const char* address4, const char* address6);
  // `pods` workloads, calia1 at 10.65.0.1 and so on, and eth0: somewhere outside.
  void add_usual_stations(int pods);
  Station& station(const std::string& name) { return stations_.at(name); }

  // What becomes of one packet between stations; `node` is the node itself. `source`, when given,
  // instead of the sender's address.
  Fate send(const std::string& from, const std::string& to, const Packet& p, Family f,
            std::optional<Ip> source = {});
  // The same with the destination's address given and the place where it should come out.
  Fate send_to(const std::string& from, const std::string& to, const Packet& p, const Ip& source,
               const Ip& destination);
  // Many at once: which of them came out at the other end.
  struct Shot {
    Packet packet;
    Ip source, destination;
  };
  std::vector<bool> send_all(const std::string& from, const std::string& to,
                             const std::vector<Shot>& shots);
  // Connection tracking begins anew.
  void forget_flows();
  // From a process of the node.
  Fate send_from_node(const std::string& to, const Packet& p, const Ip& destination);
  // Where the last packet that passed came from, as its receiver saw it.
  [[nodiscard]] const std::optional<Ip>& seen_source() const { return seen_source_; }

  // --- the plane ---
  void start_plane();
  void stop_plane() { plane_.reset(); }
  void apply(std::vector<model::Change> changes, bool in_sync = true);
  void config(const std::function<void(policy::PolicyConfig&)>& f);
  bool until(const std::function<bool()>& condition);
  // Until everything that was given stands in the kernel.
  void settle();

  static model::ActiveRule rule(model::Action a,
                                const std::function<void(model::ActiveRule&)>& f = {});
  static model::ActiveProfile allow_profile();
  static model::SetUpdate nets(const char* id, const std::vector<const char*>& members);
  model::LocalWorkload workload(const std::string& interface);
  static model::ActivePolicy policy(const std::string& name);

  AsioLoop loop_{"policy-test"};
  metrics::Registry metrics_;
  std::unique_ptr<managers::PolicyPlane> plane_;
  policy::PolicyConfig config_;
  managers::FlowJudge judge_;  // for start_plane()
  Ip node_v4_, node_v6_;
  // How long a packet that should not arrive is waited for; one that should comes within
  // microseconds, as everything happens in the sender's system call.
  int drop_ms_ = 50;
  std::uint16_t next_port_ = 20000;

 private:
  bool received(Station& s, std::uint64_t tag);
  bool received_by_node(int socket, std::uint64_t tag);
  void drain(Station& s);
  int netns_ = -1;  // the node's
  std::map<std::string, Station> stations_;
  std::uint64_t next_tag_ = 1;
  std::optional<Ip> seen_source_;
  bool refused_ = false;
};

inline constexpr Family v4 = Family::v4, v6 = Family::v6;

inline Packet tcp(std::uint16_t dport) { return {.protocol = kTcp, .dport = dport}; }
inline Packet udp(std::uint16_t dport, std::uint16_t sport = 0) {
  return {.protocol = kUdp, .sport = sport, .dport = dport};
}
inline Packet icmp(std::uint8_t type, std::uint8_t code = 0) {
  return {.protocol = kIcmp, .type = type, .code = code};
}
inline Packet icmpv6(std::uint8_t type, std::uint8_t code = 0) {
  return {.protocol = kIcmpv6, .type = type, .code = code};
}

}  // namespace margay::test
