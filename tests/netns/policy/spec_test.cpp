// SPDX-License-Identifier: Apache-2.0
// The rows of spec_rows.inc through the whole of policy: resources into calculation, its tables to
// the evaluator and, as rules, to the kernel; a packet of each row is judged by both. Their verdict
// is what a person read in the specification, so that a misunderstanding which evaluator and
// compiler share shows.
//
// Short forms. A resource is one line: kind, name (with its namespace, else `shop`), labels in
// brackets if any, spec as YAML; a line that begins with a blank goes on with the one before.
// `in`/`out`/`gin` and rules: a policy with these rules on w1. Base: w1 (role=server) and w2
// (role=client) in namespace shop, w3 (role=client) in namespace other. A packet: from, to (`out`
// is a station beyond eth0), protocol, port or ICMP type and code, `from` source port.
#include <fmt/format.h>
#include <sys/socket.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "agent/calc/evaluator.h"
#include "agent/calc/graph.h"
#include "lab.h"
#include "model/document.h"

namespace margay::test {
namespace {

using calc::Direction;
using By = calc::Decision::By;
using model::Kind;

constexpr Fate pass = Fate::pass, drop = Fate::drop;

struct Row {
  const char* name;
  const char* packet;
  const char* families;  // "4", "6" or "46"
  Fate want;
};
struct Case {
  const char* section;
  const char* resources;
  std::vector<Row> rows;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
#include "spec_rows.inc"
  };
  return all;
}

constexpr const char* kBase =
    "namespace shop [team=red] {}\n"
    "namespace other [team=blue] {}\n"
    "sa default [] {}\n"
    "sa shopper [job=buyer] {}\n"
    "sa other/default [] {}\n"
    "wep w1 [role=server] {profiles: [kns.shop, ksa.shop.default], serviceAccountName: default, "
    "ports: [{name: web, protocol: TCP, port: 8081}, {name: dns, protocol: UDP, port: 5353}]}\n"
    "wep w2 [role=client, front=yes] {profiles: [kns.shop, ksa.shop.shopper], serviceAccountName: "
    "shopper}\n"
    "wep other/w3 [role=client] {profiles: [kns.other, ksa.other.default], serviceAccountName: "
    "default}";

const std::map<std::string, Kind> kKinds{
    {"np", Kind::network_policy},
    {"gnp", Kind::global_network_policy},
    {"snp", Kind::staged_network_policy},
    {"sgnp", Kind::staged_global_network_policy},
    {"sknp", Kind::staged_kubernetes_network_policy},
    {"knp", Kind::kubernetes_network_policy},
    {"kcnp", Kind::cluster_network_policy},
    {"tier", Kind::tier},
    {"profile", Kind::profile},
    {"netset", Kind::network_set},
    {"gns", Kind::global_network_set},
    {"hep", Kind::host_endpoint},
    {"wep", Kind::workload_endpoint},
    {"slice", Kind::endpoint_slice},
    {"namespace", Kind::kubernetes_namespace},
    {"sa", Kind::service_account},
};

const std::map<std::string, std::uint8_t> kProtocols{
    {"tcp", kTcp},   {"udp", kUdp},      {"sctp", kSctp}, {"esp", kEsp},
    {"icmp", kIcmp}, {"icmp6", kIcmpv6}, {"echo", kIcmp}};

struct Sent {  // a row's packet in one family
  std::string from, to;
  Packet packet;
  Family family = Family::v4;
};

Sent parse_packet(const char* text, Family f) {
  std::istringstream in(text);
  Sent out;
  std::string protocol, word;
  unsigned first = 0, second = 0;
  in >> out.from >> out.to >> protocol >> first >> second;
  out.family = f;
  out.packet.protocol = kProtocols.at(protocol);
  if (protocol == "echo") {
    if (f == v6) out.packet.protocol = kIcmpv6;
    first = f == v6 ? 128 : 8;
  }
  out.packet.type = static_cast<std::uint8_t>(first);
  out.packet.code = static_cast<std::uint8_t>(second);
  out.packet.dport = static_cast<std::uint16_t>(first);
  in.clear();
  if (in >> word && word == "from" && in >> second) {
    out.packet.sport = static_cast<std::uint16_t>(second);
  }
  return out;
}

class Spec : public Lab {
 protected:
  void SetUp() override {
    Lab::SetUp();
    if (IsSkipped()) return;
    add_usual_stations(3);
    drop_ms_ = 10;  // of many
    start_plane();
    plane_->set_interfaces({{"eth0", {Ip::parse("192.0.2.254").value()}}});
    graph_.set_in_sync();
  }

  // --- resources ---
  static std::string workload_fields(const std::string& name) {
    const char n = name.back();
    return fmt::format(
        "orchestrator: k8s, node: me, pod: {0}, endpoint: eth0, interfaceName: calia{1}, "
        "ipNetworks: [10.65.0.{1}/32, \"fd00:65::{1}/128\"], ",
        name, n);
  }

  static std::string full_yaml(const std::string& line) {
    std::istringstream in(line);
    std::string kind, name, labels, rest;
    in >> kind;
    if (kind == "in" || kind == "out" || kind == "gin") {
      std::getline(in, rest);
      const std::string way = kind == "out" ? "egress" : "ingress";
      return full_yaml((kind == "gin" ? "gnp t " : "np t ") +
                       ("{selector: \"role == 'server'\", " + way + ": [") + rest + "]}");
    }
    in >> name >> std::ws;
    if (in.peek() == '[') std::getline(in, labels, ']');
    std::getline(in, rest);
    std::string fields = rest.substr(rest.find('{') + 1);
    fields.resize(fields.rfind('}'));
    const model::KindInfo& info = model::info(kKinds.at(kind));
    std::string ns = "shop";
    if (const auto slash = name.find('/'); slash != std::string::npos) {
      ns = name.substr(0, slash);
      name.erase(0, slash + 1);
    }
    if (info.kind == Kind::workload_endpoint) {
      fields = workload_fields(name) + fields;
      name = "me-k8s-" + name + "-eth0";
    }
    std::string label_text;
    for (const char c : labels.empty() ? "" : labels.substr(1)) {
      label_text += c == '=' ? std::string(": ") : std::string(1, c);
    }
    return fmt::format("{{kind: {}, apiVersion: {}, metadata: {{name: {}{}, labels: {{{}}}}}, {}}}",
                       info.name, info.api_version, name,
                       info.namespaced ? ", namespace: " + ns : "", quoted_values(label_text),
                       info.kind == Kind::endpoint_slice ? fields : "spec: {" + fields + "}");
  }
  // "yes" would be a boolean.
  static std::string quoted_values(const std::string& labels) {
    std::string out;
    bool value = false;
    for (const char c : labels) {
      if (value && c == ',') out += "\"";
      if (c == ',') value = false;
      if (value && c == ' ') continue;
      out += c;
      if (c == ':') out += " \"";
      value |= c == ':';
    }
    return value ? out + "\"" : out;
  }

  static void read(const char* text, std::map<model::Key, std::string>& into) {
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
      if (!line.empty() && line.front() == ' ' && !lines.empty()) {
        lines.back() += line;
      } else {
        lines.push_back(line);
      }
    }
    for (const std::string& line : lines) {
      const auto documents = model::parse_documents(full_yaml(line));
      ASSERT_TRUE(documents.ok()) << documents.error().context << "\n" << full_yaml(line);
      for (const auto& d : *documents) into[d.key] = d.json;
    }
  }

  // Exactly these stand.
  void stand(const std::map<model::Key, std::string>& wanted) {
    for (const auto& [key, json] : standing_) {
      if (!wanted.contains(key)) graph_.remove(key);
    }
    for (const auto& [key, json] : wanted) {
      const auto it = standing_.find(key);
      if (it == standing_.end() || it->second != json) graph_.update(key, json);
    }
    standing_ = wanted;
    for (const auto& [key, problem] : graph_.problems()) {
      EXPECT_EQ(problem.in_force, calc::Problem::InForce::rest)
          << model::describe(key) << ": " << problem.reason;
    }
    const model::Batch batch = graph_.flush();
    tables_.apply(batch);
    for (const auto& change : batch.changes) {
      if (const auto* w = std::get_if<model::LocalWorkload>(&change)) {
        workloads_[w->id.workload.substr(w->id.workload.find('/') + 1)] = *w;
      } else if (const auto* h = std::get_if<model::LocalHostEndpoint>(&change)) {
        hosts_[h->id.endpoint] = *h;
      } else if (const auto* gone = std::get_if<model::HostEndpointRemove>(&change)) {
        hosts_.erase(gone->id.endpoint);
      }
    }
    apply(batch.changes);
  }

  // --- the evaluator's side: classes of policy in the order that the specification gives them ---
  const model::LocalHostEndpoint* host_endpoint() const {
    for (const auto& [name, h] : hosts_) {
      if (h.interface_name == "eth0" || h.interface_name.empty()) return &h;
    }
    return star();
  }
  const model::LocalHostEndpoint* star() const {
    for (const auto& [name, h] : hosts_) {
      if (h.interface_name == "*") return &h;
    }
    return nullptr;
  }
  static bool failsafe(Direction d, const calc::Packet& p) {
    static const std::set<std::pair<int, int>> in{{kTcp, 22},   {kUdp, 68},   {kTcp, 179},
                                                  {kTcp, 2379}, {kTcp, 2380}, {kTcp, 5473},
                                                  {kTcp, 6443}, {kTcp, 6666}, {kTcp, 6667}};
    static const std::set<std::pair<int, int>> out{{kUdp, 53},   {kUdp, 67},   {kTcp, 179},
                                                   {kTcp, 2379}, {kTcp, 2380}, {kTcp, 5473},
                                                   {kTcp, 6443}, {kTcp, 6666}, {kTcp, 6667}};
    return (d == Direction::ingress ? in : out).contains({p.protocol, p.destination_port});
  }
  static bool discovery(const calc::Packet& p) {
    return p.protocol == kIcmpv6 && p.icmp_type >= 133 && p.icmp_type <= 136;
  }

  enum class Early { settled, denied, open };
  Early early(const std::vector<model::EndpointTier>& tiers, Direction d,
              const calc::Packet& p) const {
    const auto decision = calc::evaluate_tiers(tiers, d, p, tables_);
    if (decision.by == By::not_policed) return Early::open;
    return decision.allowed ? Early::settled : Early::denied;
  }
  // Classes before the routing decision, of the interface where the packet comes in.
  Early on_arrival(const model::LocalHostEndpoint* h, const calc::Packet& p, bool from_host) const {
    if (h == nullptr || failsafe(Direction::ingress, p) || discovery(p)) return Early::open;
    if (from_host) {  // workloads have no untracked policy
      const Early raw = early(h->untracked_tiers, Direction::ingress, p);
      if (raw != Early::open) return raw;
    }
    return early(h->pre_dnat_tiers, Direction::ingress, p);
  }
  bool forwards(const model::LocalHostEndpoint* h, Direction d, const calc::Packet& p) const {
    return h == nullptr || early(h->forward_tiers, d, p) != Early::denied;
  }
  bool host_local(const model::LocalHostEndpoint* h, Direction d, const calc::Packet& p) const {
    return h == nullptr || failsafe(d, p) || discovery(p) ||
           calc::evaluate(h->tiers, h->profiles, d, p, tables_).allowed;
  }

  bool allowed(const Sent& s, const calc::Packet& p) const {
    if (s.from == "node") {
      if (s.to != "out") return true;  // a pod of its own
      const auto* h = host_endpoint();
      if (h != nullptr && !failsafe(Direction::egress, p)) {
        const Early raw = early(h->untracked_tiers, Direction::egress, p);
        if (raw != Early::open) return raw == Early::settled;
      }
      return host_local(h, Direction::egress, p);
    }
    const bool outside = s.from == "out";
    const auto* in = outside ? host_endpoint() : star();
    const auto* out = s.to == "out" ? host_endpoint() : star();
    const Early arrival = on_arrival(in, p, outside);
    if (arrival == Early::denied) return false;
    if (!outside) {
      const auto& w = workloads_.at(s.from);
      if (!calc::may_send(w, p.source)) return false;
      if (s.to == "node") return discovery(p);  // DefaultEndpointToHostAction
      if (!calc::evaluate(w, Direction::egress, p, tables_).allowed) return false;
    } else if (s.to == "node") {
      return arrival == Early::settled || host_local(in, Direction::ingress, p);
    }
    if (arrival != Early::settled && !forwards(in, Direction::ingress, p)) return false;
    if (s.to != "out" &&
        !calc::evaluate(workloads_.at(s.to), Direction::ingress, p, tables_).allowed) {
      return false;
    }
    return forwards(out, Direction::egress, p);
  }

  // --- packets ---
  std::string interface(const std::string& who) const {
    return who == "out" ? "eth0" : "calia" + who.substr(1);
  }
  Ip address(const std::string& who, Family f) {
    if (who == "node") return f == v4 ? node_v4_ : node_v6_;
    return station(interface(who)).address(f);
  }
  calc::Packet for_evaluator(const Sent& s) {
    const Packet& p = s.packet;
    const bool icmp = p.protocol == kIcmp || p.protocol == kIcmpv6;
    const bool ports = !icmp && p.protocol != kEsp;
    calc::Packet out;
    out.source = address(s.from, s.family);
    out.destination = address(s.to, s.family);
    out.protocol = p.protocol;
    if (ports) out.source_port = p.sport != 0 ? p.sport : std::uint16_t{60000};
    if (ports) out.destination_port = p.dport;
    if (icmp) out.icmp_type = p.type;
    if (icmp) out.icmp_code = p.code;
    return out;
  }
  Fate send_row(const Sent& s) {
    if (s.from == "node") {
      return send_from_node(interface(s.to), s.packet, address(s.to, s.family));
    }
    return send(interface(s.from), s.to == "node" ? "node" : interface(s.to), s.packet, s.family);
  }

  static calc::Options options() {
    calc::Options out;
    out.node = "me";
    return out;
  }
  calc::Graph graph_{options()};
  calc::EvaluatorTables tables_;
  std::map<model::Key, std::string> standing_;
  std::map<std::string, model::LocalWorkload> workloads_;
  std::map<std::string, model::LocalHostEndpoint> hosts_;
};

TEST_F(Spec, rows) {
  std::size_t rows = 0;
  for (const Case& c : cases()) {
    std::map<model::Key, std::string> wanted;
    read(kBase, wanted);
    read(c.resources, wanted);
    stand(wanted);
    for (const Row& row : c.rows) {
      ++rows;
      for (const char* f = row.families; *f != '\0'; ++f) {
        const Sent s = parse_packet(row.packet, *f == '4' ? v4 : v6);
        SCOPED_TRACE(fmt::format("{}: {} ({}, IPv{})", c.section, row.name, row.packet, *f));
        EXPECT_EQ(allowed(s, for_evaluator(s)), row.want == pass) << "the evaluator";
        EXPECT_EQ(to_string(send_row(s)), to_string(row.want)) << "the kernel";
      }
    }
  }
  EXPECT_GE(rows, 80U);
}

// Policies lose their tier and get it back while packets keep coming that the policy denies in both
// cases.
TEST_F(Spec, a_tier_deleted_under_its_policies_never_opens) {
  std::map<model::Key, std::string> without, open;
  read(kBase, open);
  without = open;
  read(
      "gnp no-udp {tier: sec, selector: \"role == 'server'\", ingress: [{action: Deny, protocol: "
      "UDP}]}",
      without);
  std::map<model::Key, std::string> with = without;
  read("tier sec {order: 100, defaultAction: Pass}", with);
  stand(with);
  const Station& from = station("calia2");
  Station& to = station("calia1");
  constexpr std::uint64_t kTag = 1ULL << 60;
  const auto bytes = frame(udp(9, 9), from.v4, to.v4, from.mac, from.node_mac, kTag);
  std::atomic<std::size_t> sent = 0;
  std::atomic<bool> done = false;
  std::thread flood([&] {
    while (!done) {
      if (::send(from.socket, bytes.data(), bytes.size(), 0) > 0) ++sent;
    }
  });
  const auto arrived = [&] {
    std::size_t n = 0;
    std::vector<std::uint8_t> buffer(2048);
    for (;;) {
      buffer.resize(2048);
      const ssize_t size = ::recv(to.socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (size <= 0) return n;
      buffer.resize(static_cast<std::size_t>(size));
      if (tag_of(buffer) == kTag) ++n;
    }
  };
  for (int i = 0; i < 10; ++i) {
    const std::size_t before = sent;
    stand(i % 2 == 0 ? without : with);
    EXPECT_TRUE(until([&] { return sent > before + 100; }));
    EXPECT_EQ(arrived(), 0U) << i;
  }
  stand(open);  // so that the zeros above say something
  EXPECT_TRUE(until([&] { return arrived() > 0; }));
  done = true;
  flood.join();
}

}  // namespace
}  // namespace margay::test
