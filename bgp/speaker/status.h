// SPDX-License-Identifier: Apache-2.0
// A snapshot of the speaker for people and tools: one row per configured peer, in BIRD's words
// where people know them ("Active", "Socket: Connection refused"). Plain values, safe to hand to
// another thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/types.h"
#include "bgp/speaker/config.h"

namespace margay::bgp {

struct PeerCounters {
  // Those read and written: a lone KEEPALIVE of an idle session is read with our next.
  std::uint64_t messages_in = 0, messages_out = 0;
  std::uint64_t updates_in = 0, updates_out = 0;
  std::uint64_t established = 0;        // how often the session came up
  std::uint64_t lost = 0;               // and how often it ended
  std::uint64_t prefixes_in = 0;        // held now, before the import filters
  std::uint64_t prefixes_accepted = 0;  // held now, after them
  std::uint64_t prefixes_out = 0;       // advertised now
  std::uint64_t treated_as_withdraw = 0, attributes_discarded = 0;  // RFC 7606
};

struct PeerStatus {
  std::string name;  // "Mesh_10_0_0_2"
  PeerType type = PeerType::mesh;
  Ip address;
  std::uint16_t port = kBgpPort;
  Asn remote_as;
  std::string state;  // calicoctl's STATE: "up", "start", "down"
  std::chrono::system_clock::time_point since;
  std::string info;        // calicoctl's INFO: "Established", "Active Socket: Connection refused"
  std::string fsm;         // "Idle", "Connect", "Active", "Passive", "OpenSent", ..., "Established"
  std::string last_error;  // "Hold timer expired", or empty
  // What was agreed on, while the session is up.
  std::vector<Family> families;  // whose routes it carries
  std::chrono::seconds hold{0};
  bool graceful = false;               // RFC 4724
  bool graceful_notification = false;  // and RFC 8538
  PeerCounters counters;
};

// What readiness needs every few seconds, at any number of peers.
struct SpeakerSummary {
  std::size_t peers = 0, established = 0;
  bool restarting = false;  // routes wait for the peers' (SpeakerOptions::restarting)
  std::string listen_error;
};

struct SpeakerStatus {
  RouterId router_id;
  Asn local_as;
  bool listening = false;
  std::string listen_error;
  bool initial_sync = false;
  std::uint64_t prefixes = 0;     // in the Loc-RIB, both families
  std::vector<PeerStatus> peers;  // in the order of the configuration
};

inline constexpr std::string_view kKernelSource = "kernel";

// One path: of the table, as a peer sent it, or as a peer is told it.
struct RouteStatus {
  Prefix prefix;
  Ip next_hop;
  std::string peer;           // it comes from: a name, "kernel", or empty: originated here
  std::uint32_t path_id = 0;  // that the peer gave it, or is given (RFC 7911)
  bool best = false;
  bool multipath = false;  // used beside the best
  bool stale = false;
  std::string as_path;  // "64513 65000 {65001 65002}"
  std::uint32_t local_pref = 100;
  std::uint32_t med = 0;
  std::vector<std::string> communities;
  std::string why;  // it is not used, or not the best
};

struct RouteQuery {
  enum class View { table, received, advertised };
  View view = View::table;
  std::string peer;              // its name or address; empty: all of them
  std::optional<Prefix> prefix;  // only this one
  std::size_t limit = 100000;    // prefixes
};

// Everything about one destination.
struct RouteExplanation {
  struct Told {
    std::string peer;
    std::vector<RouteStatus> paths;  // what it is told
    std::string why;                 // it is not told anything
  };
  Prefix prefix;
  std::vector<RouteStatus> paths;  // the best first, those that are not used last
  std::vector<Ip> kernel;          // next hops that the kernel should have
  std::string kernel_why;          // it should have none
  std::vector<Told> peers;
};

}  // namespace margay::bgp
