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

class BirdDaemon : public Daemon {
 public:
  explicit BirdDaemon(const Plan& plan) : plan_(plan) {
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
    for (const std::string f : {"4", "6"}) {
      out += "protocol static s" + f + " { ipv" + f + ";";
      for (const auto& p : plan_.announce) {
        if (family(p) != f) continue;
        out += " route " + p + " blackhole { bgp_community.add((65001,7)); " +
               "bgp_large_community.add((65001,1,2)); };";
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
      out += channel(family(p));
      if (is_v6(p) && plan_.v4_over_v6) out += channel("4");
      out += " }\n";
    }
    machine_.write("bird.conf", out);
  }
  Plan plan_;
  int pid_ = -1;
};

class FrrDaemon : public Daemon {
 public:
  explicit FrrDaemon(const Plan& plan) : plan_(plan) {
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
    return out;
  }
  [[nodiscard]] std::string activate(const std::string& p) const {
    const std::string n = "  neighbor " + p + " ";
    std::string out = n + "activate\n" + n + "addpath-tx-all-paths\n" + n + "route-map MARK out\n" +
                      n + "soft-reconfiguration inbound\n";
    if (plan_.reflects()) out += n + "route-reflector-client\n";
    if (plan_.limit != 0) out += n + "maximum-prefix " + std::to_string(plan_.limit) + "\n";
    return out;
  }
  [[nodiscard]] std::string config() const {
    std::string out =
        "hostname frr\nbgp community-list standard OWN permit 65001:7\n"
        "ip prefix-list V4 seq 5 permit 203.0.113.0/24\n"
        "ip prefix-list V4 seq 6 permit 198.51.100.0/24\n"
        "ipv6 prefix-list V6 seq 5 permit 2001:db8:1::/48\n"
        "route-map MARK permit 10\n match ip address prefix-list V4\n"
        " set community 65001:7 additive\n set large-community 65001:1:2 additive\n"
        "route-map MARK permit 20\n match ipv6 address prefix-list V6\n"
        " set community 65001:7 additive\n set large-community 65001:1:2 additive\n"
        "route-map MARK permit 30\n";
    out += "router bgp " + std::to_string(plan_.as) +
           "\n bgp router-id 10.99.0.2\n no bgp ebgp-requires-policy\n no bgp network "
           "import-check\n no bgp default ipv4-unicast\n coalesce-time 0\n"
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
  Plan plan_;
  int pid_ = -1;
};

class GobgpDaemon : public Daemon {
 public:
  explicit GobgpDaemon(const Plan& plan) : plan_(plan) {
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
                         " community 65001:7 large-community 65001:1:2");
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
  Plan plan_;
  int pid_ = -1;
  mutable bool announced_ = false;
};

class OpenBgpd : public Daemon {
 public:
  explicit OpenBgpd(const Plan& plan) : plan_(plan) {
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
      out += "network " + p + " set { community 65001:7 large-community 65001:1:2 }\n";
    }
    for (const auto& p : plan_.peers) {
      out += "neighbor " + p + " {\n remote-as " + std::to_string(plan_.our_as) +
             "\n local-address " + own(p) + "\n announce IPv" + family(p) +
             " unicast\n announce add-path recv yes\n announce add-path send all\n";
      if (plan_.reflects()) out += " route-reflector\n";
      if (plan_.limit != 0) out += " max-prefix " + std::to_string(plan_.limit) + "\n";
      if (!plan_.password.empty()) out += " tcp md5sig password " + plan_.password + "\n";
      out += "}\n";
    }
    out += "allow from any\nallow to any\n";
    machine_.write("bgpd.conf", out);
    (void)machine_.ask("chmod 600 " + machine_.path("bgpd.conf"));
  }
  Plan plan_;
  int pid_ = -1;
};

}  // namespace

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
