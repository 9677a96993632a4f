// SPDX-License-Identifier: Apache-2.0
#include "tests/interop/daemons.h"

#include <algorithm>

namespace margay::test {
namespace {

bool is_v6(const std::string& text) { return text.find(':') != text.npos; }
std::string family(const std::string& text) { return is_v6(text) ? "6" : "4"; }
std::string own(const std::string& peer) { return is_v6(peer) ? "fd99::2" : "10.99.0.2"; }
std::string in_name(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '.' || c == ':'; }, '_');
  return text;
}

std::vector<std::string> large_communities(const Plan& plan, const std::string& between) {
  std::vector<std::string> out = {"65001" + between + "1" + between + "2"};
  for (unsigned i = 1; i <= plan.padding; ++i) {
    out.push_back("1" + between + std::to_string(i) + between + "1");
  }
  return out;
}

// How far away that address of ours may be; 0: no TTL security.
unsigned hops_to(const Plan& plan, const std::string& peer) {
  const auto at = static_cast<std::size_t>(std::find(plan.peers.begin(), plan.peers.end(), peer) -
                                           plan.peers.begin());
  return at < plan.hops.size() ? plan.hops[at] : 0;
}

// Of families that nobody here speaks: their capabilities make an OPEN long.
constexpr const char* kOtherTables =
    "ipv4 table a; ipv6 table b; ipv4 table c; vpn4 table d; vpn6 table e; vpn4 table f;\n"
    "vpn6 table g; flow4 table h; flow6 table i;\n";
constexpr const char* kOtherChannels =
    " long lived graceful restart on;"
    " ipv4 multicast { table a; extended next hop on; import all; export all; add paths on; };"
    " ipv6 multicast { table b; import all; export all; add paths on; };"
    " ipv4 mpls { table c; extended next hop on; import all; export all; add paths on; };"
    " vpn4 mpls { table d; extended next hop on; import all; export all; add paths on; };"
    " vpn6 mpls { table e; import all; export all; add paths on; };"
    " vpn4 multicast { table f; extended next hop on; import all; export all; add paths on; };"
    " vpn6 multicast { table g; import all; export all; add paths on; };"
    " flow4 { table h; import all; export all; add paths on; };"
    " flow6 { table i; import all; export all; add paths on; };";

class BirdDaemon : public Daemon {
 public:
  explicit BirdDaemon(const Plan& plan) : Daemon(plan) {
    write();
    start({});
  }
  [[nodiscard]] std::string paths(const std::string& prefix) const override {
    return ask("show route all " + prefix);
  }
  [[nodiscard]] std::string session(const std::string& peer) const override {
    return ask("show protocols all " + in_name("p" + peer));
  }
  void withdraw(const std::string& prefix) override {
    std::erase(plan_.announce, prefix);
    write();
    (void)ask("configure");
  }
  void refresh(const std::string& peer) override { (void)ask("reload in " + in_name("p" + peer)); }
  void shut(const std::string& peer, const std::string& words) override {
    (void)ask("disable " + in_name("p" + peer) + " \"" + words + "\"");
  }
  void kill() override { machine_.kill(pid_); }
  void restart() override { start({"-R"}); }

 private:
  [[nodiscard]] std::string ask(const std::string& command) const {
    return machine_.ask("birdc -s " + machine_.path("ctl") + " '" + command + "'");
  }
  void start(const std::vector<std::string>& more) {
    std::vector<std::string> command = {
        "bird", "-f", "-c", machine_.path("bird.conf"), "-s", machine_.path("ctl")};
    command.insert(command.end(), more.begin(), more.end());
    pid_ = machine_.start(command);
  }
  [[nodiscard]] std::string channel(const std::string& f) const {
    std::string out = "ipv" + f + " { import all; export all; add paths on; next hop ";
    out += plan_.reflects() ? "keep" : "self";
    out += ";";
    if (plan_.limit != 0) out += " receive limit " + std::to_string(plan_.limit) + ";";
    if (f == "4" && plan_.v4_over_v6) out += " extended next hop on;";
    return out + " };";
  }
  void write() const {
    std::string out = "log stderr all;\nrouter id 10.99.0.2;\nprotocol device { scan time 1; }\n";
    if (plan_.long_open) out += kOtherTables;
    for (const std::string f : {"4", "6"}) {
      out += "protocol static s" + f + " { ipv" + f + ";";
      for (const auto& p : plan_.announce) {
        if (family(p) != f) continue;
        out += " route " + p + " blackhole { bgp_community.add((65001,7));";
        if (plan_.leaving) out += " bgp_community.add((65535,0));";
        for (const auto& c : large_communities(plan_, ",")) {
          out += " bgp_large_community.add((" + c + "));";
        }
        out += " };";
      }
      out += " }\n";
    }
    for (const auto& p : plan_.peers) {
      out += "protocol bgp " + in_name("p" + p) + " { local " + own(p) + " as " +
             std::to_string(plan_.as) + "; neighbor " + p + " as " + std::to_string(plan_.our_as) +
             "; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2; "
             "graceful restart on; enable extended messages on;";
      if (plan_.reflects()) out += " rr client;";
      if (!plan_.password.empty()) out += " password \"" + plan_.password + "\";";
      const unsigned hops = hops_to(plan_, p);
      if (hops != 0) {
        out += " multihop " + std::to_string(hops) + "; ttl security on;";
      } else if (plan_.behind_router) {
        out += " multihop;";
      }
      out += channel(family(p));
      if (is_v6(p) && plan_.v4_over_v6) out += channel("4");
      if (plan_.long_open) out += kOtherChannels;
      out += " }\n";
    }
    machine_.write("bird.conf", out);
  }
  int pid_ = -1;
};

class FrrDaemon : public Daemon {
 public:
  explicit FrrDaemon(const Plan& plan) : Daemon(plan) {
    machine_.write("frr.conf", config());
    machine_.write("vtysh.conf", "");
    pid_ = machine_.start(command());
  }
  [[nodiscard]] std::string paths(const std::string& prefix) const override {
    return ask("show bgp ipv" + family(prefix) + " unicast " + prefix);
  }
  [[nodiscard]] std::string session(const std::string& peer) const override {
    return ask("show bgp neighbors " + peer);
  }
  void withdraw(const std::string& prefix) override {
    (void)machine_.ask("vtysh --vty_socket " + machine_.path("") +
                       " -c 'configure terminal' -c 'router bgp " + std::to_string(plan_.as) +
                       "' -c 'address-family ipv" + family(prefix) + " unicast' -c 'no network " +
                       prefix + "'");
  }
  void refresh(const std::string& peer) override {
    (void)ask("clear bgp ipv" + family(peer) + " unicast " + peer + " soft in");
  }
  void shut(const std::string& peer, const std::string& words) override {
    (void)machine_.ask("vtysh --vty_socket " + machine_.path("") +
                       " -c 'configure terminal' -c 'router bgp " + std::to_string(plan_.as) +
                       "' -c 'neighbor " + peer + " shutdown message " + words + "'");
  }
  void kill() override { machine_.kill(pid_); }
  void restart() override { pid_ = machine_.start(command()); }

 private:
  [[nodiscard]] std::string ask(const std::string& text) const {
    return machine_.ask("vtysh --vty_socket " + machine_.path("") + " -c '" + text + "'");
  }
  [[nodiscard]] std::vector<std::string> command() const {
    return {"/usr/lib/frr/bgpd",
            "-S",
            "-Z",
            "-f",
            machine_.path("frr.conf"),
            "-i",
            machine_.path("bgpd.pid"),
            "--vty_socket",
            machine_.path("")};
  }
  [[nodiscard]] std::string neighbor(const std::string& p) const {
    const std::string n = " neighbor " + p + " ";
    std::string out = n + "remote-as " + std::to_string(plan_.our_as) + "\n" + n + "timers 3 9\n" +
                      n + "timers connect 1\n" + n + "update-source " + own(p) + "\n" + n +
                      "advertisement-interval 0\n";
    if (!plan_.password.empty()) out += n + "password " + plan_.password + "\n";
    if (is_v6(p) && plan_.v4_over_v6) out += n + "capability extended-nexthop\n";
    const unsigned hops = hops_to(plan_, p);
    if (hops != 0) {
      out += n + "ttl-security hops " + std::to_string(hops) + "\n";
    } else if (plan_.behind_router) {
      out += n + "ebgp-multihop\n";
    }
    return out;
  }
  [[nodiscard]] std::string activate(const std::string& p) const {
    const std::string n = "  neighbor " + p + " ";
    std::string out = n + "activate\n" + n + "addpath-tx-all-paths\n" + n + "route-map MARK out\n";
    if (plan_.reflects()) out += n + "route-reflector-client\n";
    if (plan_.limit != 0) out += n + "maximum-prefix " + std::to_string(plan_.limit) + "\n";
    return out;
  }
  // The entries of the route map that mark what is ours; one command takes so many words.
  [[nodiscard]] std::string marks(const std::string& list, unsigned number) const {
    constexpr std::size_t kWords = 200;
    const auto all = large_communities(plan_, ":");
    std::string out;
    for (std::size_t i = 0; i < all.size(); i += kWords) {
      out += "route-map MARK permit " + std::to_string(number++) + "\n match " + list +
             "\n set community 65001:7 " + (plan_.leaving ? "graceful-shutdown " : "") +
             "additive\n set large-community ";
      for (std::size_t k = i; k < std::min(i + kWords, all.size()); ++k) out += all[k] + " ";
      out += "additive\n on-match next\n";
    }
    return out;
  }
  [[nodiscard]] std::string config() const {
    std::string out =
        "hostname frr\nlog stdout informational\nbgp community-list standard OWN permit 65001:7\n"
        "ip prefix-list V4 seq 5 permit 203.0.113.0/24\n"
        "ip prefix-list V4 seq 6 permit 198.51.100.0/24\n"
        "ipv6 prefix-list V6 seq 5 permit 2001:db8:1::/48\n"
        "ipv6 prefix-list V6 seq 6 permit 2001:db8:2::/48\n";
    out += marks("ip address prefix-list V4", 10) + marks("ipv6 address prefix-list V6", 20);
    out += "route-map MARK permit 30\n";
    out += "router bgp " + std::to_string(plan_.as) +
           "\n bgp router-id 10.99.0.2\n no bgp ebgp-requires-policy\n no bgp network "
           "import-check\n no bgp default ipv4-unicast\n coalesce-time 0\n"
           " bgp log-neighbor-changes\n"
           " bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n";
    if (plan_.notification) out += " bgp graceful-restart notification\n";
    for (const auto& p : plan_.peers) out += neighbor(p);
    for (const std::string f : {"4", "6"}) {
      out += " address-family ipv" + f + " unicast\n";
      for (const auto& p : plan_.announce) {
        if (family(p) == f) out += "  network " + p + "\n";
      }
      for (const auto& p : plan_.peers) {
        if (family(p) == f || (is_v6(p) && plan_.v4_over_v6)) out += activate(p);
      }
      out += " exit-address-family\n";
    }
    return out;
  }
  int pid_ = -1;
};

class GobgpDaemon : public Daemon {
 public:
  explicit GobgpDaemon(const Plan& plan) : Daemon(plan) {
    machine_.write("gobgp.toml", config());
    start({});
  }
  [[nodiscard]] std::string paths(const std::string& prefix) const override {
    announce();
    return machine_.ask("gobgp global rib " + prefix + " -a ipv" + family(prefix));
  }
  [[nodiscard]] std::string session(const std::string& peer) const override {
    announce();
    return machine_.ask("gobgp neighbor " + peer);
  }
  void withdraw(const std::string& prefix) override {
    std::erase(plan_.announce, prefix);
    (void)machine_.ask("gobgp global rib del " + prefix + " -a ipv" + family(prefix));
  }
  void refresh(const std::string& peer) override {
    (void)machine_.ask("gobgp neighbor " + peer + " softresetin");
  }
  void shut(const std::string& peer, const std::string& words) override {
    (void)machine_.ask("gobgp neighbor " + peer + " shutdown --reason '" + words + "'");
  }
  void kill() override { machine_.kill(pid_); }
  void restart() override {
    announced_ = false;
    start({"-r"});
  }

 private:
  void start(const std::vector<std::string>& more) {
    std::vector<std::string> command = {
        "gobgpd",         "-f", machine_.path("gobgp.toml"), "--api-hosts", "127.0.0.1:50051",
        "--pprof-disable"};
    command.insert(command.end(), more.begin(), more.end());
    pid_ = machine_.start(command);
  }
  // Its routes are not in its configuration; it takes them once it answers at all.
  void announce() const {
    if (announced_ || plan_.announce.empty()) return;
    if (machine_.ask("gobgp global").find("AS:") == std::string::npos) return;
    for (const auto& p : plan_.announce) {
      (void)machine_.ask("gobgp global rib add " + p + " -a ipv" + family(p) +
                         " community 65001:7" + (plan_.leaving ? ",65535:0" : "") +
                         " large-community 65001:1:2");
    }
    announced_ = true;
  }
  [[nodiscard]] std::string afi(const std::string& f) const {
    std::string out =
        "  [[neighbors.afi-safis]]\n   [neighbors.afi-safis.config]\n"
        "    afi-safi-name = \"ipv" +
        f +
        "-unicast\"\n"
        "   [neighbors.afi-safis.mp-graceful-restart.config]\n    enabled = true\n"
        "   [neighbors.afi-safis.add-paths.config]\n    receive = true\n"
        "    send-max = 8\n";
    if (plan_.limit != 0) {
      out += "   [neighbors.afi-safis.prefix-limit.config]\n    max-prefixes = " +
             std::to_string(plan_.limit) + "\n    shutdown-threshold-pct = 100\n";
    }
    return out;
  }
  [[nodiscard]] std::string config() const {
    std::string out =
        "[global.config]\n as = " + std::to_string(plan_.as) + "\n router-id = \"10.99.0.2\"\n";
    for (const auto& p : plan_.peers) {
      out += "[[neighbors]]\n [neighbors.config]\n  neighbor-address = \"" + p +
             "\"\n  peer-as = " + std::to_string(plan_.our_as) + "\n";
      if (!plan_.password.empty()) out += "  auth-password = \"" + plan_.password + "\"\n";
      out +=
          " [neighbors.timers.config]\n  connect-retry = 1\n  hold-time = 9\n"
          "  keepalive-interval = 3\n";
      out += " [neighbors.transport.config]\n  local-address = \"" + own(p) + "\"\n";
      const unsigned hops = hops_to(plan_, p);
      if (hops != 0) {
        out += " [neighbors.ttl-security.config]\n  enabled = true\n  ttl-min = " +
               std::to_string(256 - hops) + "\n";
      } else if (plan_.behind_router) {
        out += " [neighbors.ebgp-multihop.config]\n  enabled = true\n  multihop-ttl = 64\n";
      }
      if (plan_.reflects()) {
        out +=
            " [neighbors.route-reflector.config]\n  route-reflector-client = true\n"
            "  route-reflector-cluster-id = \"10.99.0.2\"\n";
      }
      out +=
          " [neighbors.graceful-restart.config]\n  enabled = true\n  restart-time = 60\n"
          "  notification-enabled = true\n";
      out += afi(family(p));
      if (is_v6(p) && plan_.v4_over_v6) out += afi("4");
    }
    return out;
  }
  int pid_ = -1;
  mutable bool announced_ = false;
};

class OpenBgpd : public Daemon {
 public:
  explicit OpenBgpd(const Plan& plan) : Daemon(plan) {
    write();
    restart();
  }
  [[nodiscard]] std::string paths(const std::string& prefix) const override {
    return ask("show rib detail " + prefix);
  }
  [[nodiscard]] std::string session(const std::string& peer) const override {
    return ask("show neighbor " + peer);
  }
  void withdraw(const std::string& prefix) override {
    std::erase(plan_.announce, prefix);
    write();
    (void)ask("reload");
  }
  void refresh(const std::string& peer) override { (void)ask("neighbor " + peer + " refresh"); }
  void shut(const std::string& peer, const std::string& words) override {
    (void)ask("neighbor " + peer + " down '" + words + "'");
  }
  void kill() override { machine_.kill(pid_); }
  void restart() override {
    // Its unit gives it a folder to lock itself into; here that is one of its own.
    pid_ = machine_.start(
        {"unshare", "-m", "sh", "-c",
         "mount -t tmpfs none /run && mkdir /run/openbgpd && exec /usr/sbin/bgpd -d -f " +
             machine_.path("bgpd.conf")});
  }

 private:
  [[nodiscard]] std::string ask(const std::string& command) const {
    return machine_.ask("bgpctl -s " + machine_.path("ctl") + " " + command);
  }
  void write() const {
    std::string out = "AS " + std::to_string(plan_.as) +
                      "\nrouter-id 10.99.0.2\nholdtime 9\nconnect-retry 1\nfib-update no\n"
                      "listen on 10.99.0.2\nlisten on fd99::2\nnexthop qualify via default\n"
                      "socket \"" +
                      machine_.path("ctl") + "\"\n";
    for (const auto& p : plan_.announce) {
      out += "network " + p + " set { community 65001:7 ";
      if (plan_.leaving) out += "community GRACEFUL_SHUTDOWN ";
      out += "large-community 65001:1:2 }\n";
    }
    for (const auto& p : plan_.peers) {
      out += "neighbor " + p + " {\n remote-as " + std::to_string(plan_.our_as) +
             "\n local-address " + own(p) + "\n announce IPv" + family(p) +
             " unicast\n announce add-path recv yes\n announce add-path send all\n"
             " announce enhanced refresh yes\n";
      if (plan_.reflects()) out += " route-reflector\n";
      if (plan_.limit != 0) out += " max-prefix " + std::to_string(plan_.limit) + "\n";
      if (!plan_.password.empty()) out += " tcp md5sig password " + plan_.password + "\n";
      const unsigned hops = hops_to(plan_, p);
      if (hops != 0) out += " ttl-security yes\n";
      const unsigned away = hops == 0 && plan_.behind_router ? 2 : hops;
      if (away > 1) out += " multihop " + std::to_string(away) + "\n";
      out += "}\n";
    }
    out += "allow from any\nallow to any\n";
    machine_.write("bgpd.conf", out);
    (void)machine_.ask("chmod 600 " + machine_.path("bgpd.conf"));
  }
  int pid_ = -1;
};

}  // namespace

Daemon::Daemon(const Plan& plan)
    : plan_(plan),
      machine_(plan.behind_router ? Neighbour::Place::behind_router : Neighbour::Place::beside) {}

bool Daemon::listens() const { return !machine_.ask("ss -Hltn sport = :179").empty(); }

std::string name_of(Kind kind) {
  switch (kind) {
    case Kind::bird:
      return "bird";
    case Kind::frr:
      return "frr";
    case Kind::gobgp:
      return "gobgp";
    case Kind::openbgpd:
      return "openbgpd";
  }
  return {};
}

std::unique_ptr<Daemon> make_daemon(Kind kind, const Plan& plan) {
  switch (kind) {
    case Kind::bird:
      return std::make_unique<BirdDaemon>(plan);
    case Kind::frr:
      return std::make_unique<FrrDaemon>(plan);
    case Kind::gobgp:
      return std::make_unique<GobgpDaemon>(plan);
    case Kind::openbgpd:
      return std::make_unique<OpenBgpd>(plan);
  }
  return nullptr;
}

}  // namespace margay::test
