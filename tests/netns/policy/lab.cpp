// SPDX-License-Identifier: Apache-2.0
#include "tests/netns/policy/lab.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

namespace margay::test {

namespace {

using namespace std::chrono_literals;

int own_netns() { return ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }

int new_netns() {
  int fd = -1;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) == 0) fd = own_netns();
  }).join();
  return fd;
}

std::string path_of(int fd) {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd);
}

// Runs `f` with the thread in another network namespace.
template <typename F>
void in_netns(int netns, int home, F f) {
  ASSERT_EQ(::setns(netns, CLONE_NEWNET), 0);
  f();
  ASSERT_EQ(::setns(home, CLONE_NEWNET), 0);
}

int packet_socket(const char* interface) {
  const int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ETH_P_ALL);
  at.sll_ifindex = static_cast<int>(::if_nametoindex(interface));
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  return fd;
}

int memory_file(const std::string& text) {
  static int fd = -1;
  if (fd >= 0) ::close(fd);
  fd = ::memfd_create("ruleset", 0);
  EXPECT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return fd;
}

std::string mac_text(unsigned last) {
  char out[40];
  ::snprintf(out, sizeof out, "02:00:00:00:%02x:%02x", last >> 8, last & 255);
  return out;
}

bool readable(int fd, int ms) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, ms) > 0;
}

}  // namespace

std::string run(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return out;
  char buffer[4096];
  while (const std::size_t n = ::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << out;
  return out;
}

std::string to_string(Fate f) {
  return f == Fate::pass ? "pass" : f == Fate::drop ? "drop" : "refuse";
}

void Lab::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root for a network namespace";
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  netns_ = own_netns();
  node_v4_ = Ip::parse("172.30.0.1").value();
  node_v6_ = Ip::parse("fd00:30::1").value();
  run("ip link set lo up");
  run("ip addr add 172.30.0.1/32 dev lo && ip addr add fd00:30::1/128 dev lo");
  run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
      "net.netfilter.nf_conntrack_checksum=0 net.ipv4.icmp_ratelimit=0 "
      "net.ipv6.icmp.ratelimit=0 net.ipv6.conf.default.accept_dad=0 "
      "net.ipv6.conf.all.accept_dad=0");
}

void Lab::TearDown() {
  if (plane_) {
    // People's tool must be able to show, and to load again, everything that we make. To load it
    // the tables must be new: checked in a namespace where there are none.
    const std::string rules = run("nft list ruleset");
    const std::string file = path_of(memory_file(rules));
    run("unshare -n nft -c -f " + file);
  }
  plane_.reset();
  for (auto& [name, s] : stations_) {
    ::close(s.socket);
    ::close(s.netns);
  }
  if (netns_ >= 0) ::close(netns_);
}

void Lab::add_usual_stations(int pods) {
  for (int n = 1; n <= pods; ++n) {
    const std::string number = std::to_string(n);
    add_station("calia" + number, ("10.65.0." + number).c_str(), ("fd00:65::" + number).c_str());
  }
  add_station("eth0", "192.0.2.1", "2001:db8::1");
}

Lab::Station& Lab::add_station(const std::string& interface, const char* address4,
                               const char* address6) {
  Station s;
  s.interface = interface;
  s.v4 = Ip::parse(address4).value();
  s.v6 = Ip::parse(address6).value();
  const auto n = static_cast<unsigned>(stations_.size() * 2 + 1);
  s.mac = Mac::parse(mac_text(n)).value();
  s.node_mac = Mac::parse(mac_text(n + 1)).value();
  s.netns = new_netns();
  EXPECT_GE(s.netns, 0);
  const std::string inside = "nsenter --net=" + path_of(s.netns) + " ";
  run("ip link add " + interface + " address " + mac_text(n + 1) +
      " type veth peer name eth0 address " + mac_text(n) + " netns " + path_of(s.netns));
  run(inside + "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
  run(inside + "ip link set eth0 up");
  run("ip link set " + interface + " up");
  for (const char* a : {address4, address6}) {
    const std::string v = std::string(a).find(':') == std::string::npos ? "ip " : "ip -6 ";
    run(v + "route add " + a + " dev " + interface);
    run(v + "neigh add " + a + " lladdr " + mac_text(n) + " dev " + interface + " nud permanent");
  }
  in_netns(s.netns, netns_, [&] { s.socket = packet_socket("eth0"); });
  return stations_.insert_or_assign(interface, std::move(s)).first->second;
}

bool Lab::received(Station& s, std::uint64_t tag) {
  bool found = false;
  std::vector<std::uint8_t> buffer(2048);
  for (;;) {
    buffer.resize(2048);
    sockaddr_ll from{};
    socklen_t size = sizeof from;
    const ssize_t n = ::recvfrom(s.socket, buffer.data(), buffer.size(), 0,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    if (n <= 0) return found;
    if (from.sll_pkttype == PACKET_OUTGOING) continue;
    buffer.resize(static_cast<std::size_t>(n));
    if (is_refusal(buffer)) {
      refused_ = true;
    } else if (tag_of(buffer) == tag) {
      found = true;
      seen_source_ = source_of(buffer);
    }
  }
}

bool Lab::received_by_node(int socket, std::uint64_t tag) {
  std::vector<std::uint8_t> buffer(2048);
  for (;;) {
    buffer.resize(2048);
    const ssize_t n = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (n <= 0) return false;
    buffer.resize(static_cast<std::size_t>(n));
    if (tag_of(buffer) == tag) return true;
  }
}

void Lab::drain(Station& s) {
  (void)received(s, 0);
  refused_ = false;
  seen_source_.reset();
}

Fate Lab::send(const std::string& from, const std::string& to, const Packet& p, Family f,
               std::optional<Ip> source) {
  const auto address = [&](const std::string& who) {
    return who == "node" ? (f == Family::v4 ? node_v4_ : node_v6_) : station(who).address(f);
  };
  return send_to(from, to, p, source.value_or(address(from)), address(to));
}

Fate Lab::send_to(const std::string& from, const std::string& to, const Packet& given,
                  const Ip& source, const Ip& destination) {
  Packet p = given;
  if (p.sport == 0) p.sport = next_port_++;  // a connection that nobody has seen before
  const std::uint64_t tag = next_tag_++;
  Station& sender = station(from);
  drain(sender);
  const auto bytes = frame(p, source, destination, sender.mac, sender.node_mac, tag);
  bool arrived = false;
  if (to == "node") {
    const int family = source.is_v4() ? AF_INET : AF_INET6;
    const int raw = ::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, p.protocol);
    EXPECT_GE(raw, 0);
    EXPECT_EQ(::send(sender.socket, bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    arrived = (readable(raw, drop_ms_) && received_by_node(raw, tag));
    ::close(raw);
  } else {
    Station& receiver = station(to);
    drain(receiver);
    EXPECT_EQ(::send(sender.socket, bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
    arrived =
        received(receiver, tag) || (readable(receiver.socket, drop_ms_) && received(receiver, tag));
  }
  if (arrived) return Fate::pass;
  const auto seen = std::exchange(seen_source_, std::nullopt);
  refused_ = false;
  (void)received(sender, 0);
  seen_source_ = seen;
  return refused_ ? Fate::refuse : Fate::drop;
}

std::vector<bool> Lab::send_all(const std::string& from, const std::string& to,
                                const std::vector<Shot>& shots) {
  Station& sender = station(from);
  Station& receiver = station(to);
  drain(receiver);
  const std::uint64_t first = next_tag_;
  for (const Shot& s : shots) {
    const auto bytes =
        frame(s.packet, s.source, s.destination, sender.mac, sender.node_mac, next_tag_++);
    EXPECT_EQ(::send(sender.socket, bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  std::vector<bool> out(shots.size(), false);
  std::vector<std::uint8_t> buffer;
  while (readable(receiver.socket, drop_ms_)) {
    buffer.resize(2048);
    const ssize_t n = ::recv(receiver.socket, buffer.data(), buffer.size(), 0);
    if (n <= 0) break;
    buffer.resize(static_cast<std::size_t>(n));
    const auto tag = tag_of(buffer);
    if (tag && *tag >= first && *tag < next_tag_) out[*tag - first] = true;
  }
  drain(sender);
  return out;
}

void Lab::forget_flows() { run("conntrack -F"); }

Fate Lab::send_from_node(const std::string& to, const Packet& given, const Ip& destination) {
  Packet p = given;
  if (p.sport == 0) p.sport = next_port_++;
  const std::uint64_t tag = next_tag_++;
  Station& receiver = station(to);
  drain(receiver);
  const Ip source = destination.is_v4() ? node_v4_ : node_v6_;
  const auto bytes = frame(p, source, destination, {}, {}, tag);
  const int raw = ::socket(destination.is_v4() ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC,
                           IPPROTO_RAW);  // the IP header is ours
  sockaddr_storage at{};
  socklen_t size = 0;
  if (destination.is_v4()) {
    auto* in = reinterpret_cast<sockaddr_in*>(&at);
    in->sin_family = AF_INET;
    std::copy_n(destination.bytes().data(), 4, reinterpret_cast<std::uint8_t*>(&in->sin_addr));
    size = sizeof *in;
  } else {
    auto* in = reinterpret_cast<sockaddr_in6*>(&at);
    in->sin6_family = AF_INET6;
    std::copy_n(destination.bytes().data(), 16, reinterpret_cast<std::uint8_t*>(&in->sin6_addr));
    size = sizeof *in;
  }
  constexpr std::size_t kEthernet = 14;
  const auto packet = std::span(bytes).subspan(kEthernet);
  (void)::sendto(raw, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&at), size);
  ::close(raw);
  const bool arrived =
      received(receiver, tag) || (readable(receiver.socket, drop_ms_) && received(receiver, tag));
  return arrived ? Fate::pass : Fate::drop;
}

// --- the plane -------------------------------------------------------------------------------

void Lab::start_plane() {
  plane_ = std::make_unique<managers::PolicyPlane>(loop_, metrics_, nullptr, judge_);
  plane_->set_config(config_);
  const auto r = plane_->start();
  ASSERT_TRUE(r.ok()) << r.error().message();
}

void Lab::apply(std::vector<model::Change> changes, bool in_sync) {
  plane_->apply({std::move(changes), in_sync});
  if (in_sync) settle();
}

void Lab::config(const std::function<void(policy::PolicyConfig&)>& f) {
  f(config_);
  plane_->set_config(config_);
  settle();
}

bool Lab::until(const std::function<bool()>& condition) {
  const auto end = loop_.now() + 30s;
  bool met = false;
  EventLoop::Timer timer;
  std::function<void()> look = [&] {
    met = condition();
    if (met || loop_.now() > end) {
      loop_.stop();
    } else {
      timer = loop_.after(1ms, look);
    }
  };
  loop_.restart();
  loop_.post(look);
  loop_.run();
  return met;
}

void Lab::settle() {
  // The plane posts its work; a task posted after it runs when that work is done.
  bool turned = false;
  loop_.post([&] { turned = true; });
  EXPECT_TRUE(until([&] {
    return turned && plane_->status().applied && !plane_->status().pending;
  })) << plane_->status().last_error;
  for (const auto& q : plane_->status().quarantined) ADD_FAILURE() << q;
}

model::ActiveRule Lab::rule(model::Action a, const std::function<void(model::ActiveRule&)>& f) {
  model::ActiveRule r;
  r.action = a;
  if (f) f(r);
  return r;
}

model::ActiveProfile Lab::allow_profile() {
  return {"allow", {rule(model::Action::allow)}, {rule(model::Action::allow)}};
}

model::SetUpdate Lab::nets(const char* id, const std::vector<const char*>& members) {
  model::SetUpdate s;
  s.id = id;
  s.replace = true;
  for (const char* m : members) s.added.push_back({Prefix::parse(m).value(), 0, 0});
  return s;
}

model::LocalWorkload Lab::workload(const std::string& interface) {
  const Station& s = station(interface);
  model::LocalWorkload w;
  w.id = {"k8s", "default/" + interface, "eth0"};
  w.interface_name = interface;
  w.addresses = {Prefix::host(s.v4), Prefix::host(s.v6)};
  w.profiles = {"allow"};
  return w;
}

model::ActivePolicy Lab::policy(const std::string& name) {
  model::ActivePolicy p;
  p.key = {model::PolicyKind::network_policy, "default", name};
  p.tier = "default";
  return p;
}

}  // namespace margay::test
