// SPDX-License-Identifier: Apache-2.0
// What calculation costs, in CPU time. With a number: a cluster of 10,000 policies and so many
// endpoints, 110 of them local, made here; then single changes. With a file of lines
// "key<TAB>json": that cluster, decoding included. Prints one JSON object.
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "agent/calc/graph.h"
#include "model/codec.h"
#include "model/key.h"

namespace {

using margay::Prefix;
using margay::calc::Graph;
using margay::calc::Options;
using margay::model::Key;
using margay::model::Kind;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::size_t heap_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

Key wep_key(unsigned i) {
  return {Kind::workload_endpoint, "ns" + std::to_string(i % 1000),
          "node" + std::to_string(i % 2000) + "-k8s-pod" + std::to_string(i) + "-eth0"};
}

margay::model::WorkloadEndpoint wep(unsigned i, bool local, unsigned app) {
  margay::model::WorkloadEndpoint w;
  const std::string ns = "ns" + std::to_string(i % 1000);
  w.metadata.labels = {{"app", "a" + std::to_string(app)},
                       {"projectcalico.org/namespace", ns},
                       {"projectcalico.org/orchestrator", "k8s"},
                       {"tier", "t" + std::to_string(i / 7 % 5)}};
  w.spec.orchestrator = "k8s";
  w.spec.node = local ? "node0" : "node" + std::to_string(1 + i % 1999);
  w.spec.pod = "pod" + std::to_string(i);
  w.spec.endpoint = "eth0";
  w.spec.interface_name = "cali" + std::to_string(i);
  w.spec.profiles = {"kns." + ns};
  w.spec.ip_networks = {Prefix::host(margay::Ip::v4(0x0a000000U + i))};
  return w;
}

margay::model::NetworkPolicy policy(unsigned i) {
  margay::model::NetworkPolicy p;
  p.spec.selector = "app == 'a" + std::to_string(i % 20) + "'";
  p.spec.order = i % 7;
  margay::model::Rule rule;
  rule.protocol = margay::model::Protocol{6};
  rule.source.selector = "app == 'a" + std::to_string(i % 20) + "' && tier != 't1'";
  rule.destination.ports = {margay::model::PortRange{80, 80}};
  p.spec.ingress = {rule};
  return p;
}

Key policy_key(unsigned i) {
  return {Kind::network_policy, "ns" + std::to_string(i % 1000), "np" + std::to_string(i)};
}

void profiles(Graph& graph) {
  for (unsigned i = 0; i < 1000; ++i) {
    margay::model::Profile p;
    p.spec.ingress = p.spec.egress = {margay::model::Rule{}};
    p.spec.labels_to_apply = {{"pcns.name", "ns" + std::to_string(i)}};
    graph.update({Kind::profile, "", "kns.ns" + std::to_string(i)}, p);
  }
}

std::size_t flush_all(Graph& graph) {
  std::size_t changes = 0;
  while (graph.pending()) changes += graph.flush().changes.size();
  return changes;
}

constexpr unsigned kPolicies = 10'000, kLocal = 110;

// A remote endpoint with another `app`; n counts up.
std::pair<Key, margay::model::WorkloadEndpoint> relabelled(unsigned n, unsigned endpoints) {
  const unsigned i = kLocal + n * 31 % (endpoints - kLocal);
  return {wep_key(i), wep(i, false, n % 20)};
}

// CPU seconds of `count` relabelled pods, each flushed at once; `make` is not counted.
template <typename Make>
double relabel(Graph& graph, unsigned count, const Make& make) {
  constexpr unsigned kPiece = 1000;
  double seconds = 0;
  for (unsigned n = 0; n < count; n += kPiece) {
    std::vector<decltype(make(0U))> piece;
    for (unsigned i = n; i < n + kPiece; ++i) piece.push_back(make(i));
    const double start = cpu_seconds();
    for (const auto& [key, value] : piece) {
      graph.update(key, value);
      (void)flush_all(graph);
    }
    seconds += cpu_seconds() - start;
  }
  return seconds;
}

// Policies that bring a new selector each, and drop the one they had.
double reselect(Graph& graph, unsigned count) {
  const double start = cpu_seconds();
  for (unsigned n = 0; n < count; ++n) {
    auto p = policy(n % kLocal);
    p.spec.ingress[0].source.selector = "app == 'a" + std::to_string(n % 20) + "' && tier == 't" +
                                        std::to_string(n % 4) + "' && x != 'y" + std::to_string(n) +
                                        "'";
    graph.update(policy_key(n % kLocal), p);
    (void)flush_all(graph);
  }
  return cpu_seconds() - start;
}

int synthetic(unsigned endpoints) {
  constexpr unsigned kChanges = 100'000, kJsonChanges = 20'000, kPolicyChanges = 1000;
  Options options;
  options.node = "node0";
  Graph graph(options);
  const double t0 = cpu_seconds();
  profiles(graph);
  for (unsigned i = 0; i < kPolicies; ++i) graph.update(policy_key(i), policy(i));
  for (unsigned i = 0; i < kLocal; ++i) graph.update(wep_key(i), wep(i, true, i % 20));
  const std::size_t before = heap_bytes();
  for (unsigned i = kLocal; i < endpoints; ++i)
    graph.update(wep_key(i), wep(i, false, (i * 7 + i / 1000) % 20));
  const std::size_t after = heap_bytes();
  const double t1 = cpu_seconds();
  graph.set_in_sync();
  const std::size_t changes = flush_all(graph);
  const double t2 = cpu_seconds();
  const double relabel_s =
      relabel(graph, kChanges, [&](unsigned n) { return relabelled(n, endpoints); });
  const double json_s = relabel(graph, kJsonChanges, [&](unsigned n) {  // as the agent gets them
    const auto [key, value] = relabelled(n * 7 + 3, endpoints);
    return std::pair(key, margay::model::encode(value));
  });
  const double policy_s = reselect(graph, kPolicyChanges);
  const auto counts = graph.counts();
  std::printf(
      "{\"load_cpu_s\": %.3f, \"first_flush_cpu_s\": %.3f, \"first_changes\": %zu, "
      "\"active_policies\": %zu, \"active_sets\": %zu, \"set_members\": %zu, "
      "\"updates_per_s\": %.0f, \"json_updates_per_s\": %.0f, \"policy_changes_per_s\": %.0f, "
      "\"bytes_per_remote_endpoint\": %.0f}\n",
      t1 - t0, t2 - t1, changes, counts.active_policies, counts.active_sets, counts.set_members,
      kChanges / relabel_s, kJsonChanges / json_s, kPolicyChanges / policy_s,
      static_cast<double>(after - before) / (endpoints - kLocal));
  return 0;
}

int from_file(const char* path) {
  std::vector<std::pair<std::string, std::string>> lines;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const auto tab = line.find('\t');
    if (tab != std::string::npos) lines.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  Options options;
  options.node = "node0";
  Graph graph(options);
  const std::size_t before = heap_bytes();
  const double t0 = cpu_seconds();
  for (const auto& [key, value] : lines) {
    if (const auto k = margay::model::parse_key(key); k.ok()) graph.update(*k, value);
  }
  const double t1 = cpu_seconds();
  const std::size_t after = heap_bytes();
  graph.set_in_sync();
  const std::size_t changes = flush_all(graph);
  const double t2 = cpu_seconds();
  for (const auto& [key, problem] : graph.problems()) {
    std::cerr << describe(key) << ": " << problem.reason << "\n";
  }
  const auto counts = graph.counts();
  std::printf(
      "{\"objects\": %zu, \"decode_and_load_cpu_s\": %.3f, \"first_flush_cpu_s\": %.3f, "
      "\"first_changes\": %zu, "
      "\"active_policies\": %zu, \"active_sets\": %zu, \"set_members\": %zu, \"endpoints\": %zu, "
      "\"heap_mib_loaded\": %.1f, \"heap_mib_flushed\": %.1f}\n",
      lines.size(), t1 - t0, t2 - t1, changes, counts.active_policies, counts.active_sets,
      counts.set_members, counts.endpoints, static_cast<double>(after - before) / 1048576,
      static_cast<double>(heap_bytes() - before) / 1048576);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string argument = argc > 1 ? argv[1] : "100000";
  const bool number = argument.find_first_not_of("0123456789") == std::string::npos;
  return number ? synthetic(static_cast<unsigned>(std::stoul(argument))) : from_file(argv[1]);
}
