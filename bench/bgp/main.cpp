// SPDX-License-Identifier: Apache-2.0
// margay-bgp-load --to ADDRESS [--as N] [--hold S] [--length BITS] [--at-once N] [--limit S]
//                 [--pid P]... [--fib NETNS_PATH N] --group KEY=VALUE,... [--idle S] [--flap N]
//                 [--withdraw] [--raw]
// Many BGP speakers in one process, which announce prefixes to one machine and count what it tells
// them: establishes every session, announces, and then as asked lets time pass, takes its first
// speaker away N times, or withdraws; --raw then writes the same routes into the kernel itself, in
// the namespace of --fib and before the same listeners. Prints one JSON object with an entry for
// each phase; exit status 1 when one did not come to its end within --limit seconds. CPU and memory
// are those of the processes --pid. Measured on the receiving side: a phase ends with the last
// update, or the kernel's last change.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "bench/bgp/raw_routes.h"
#include "bench/bgp/swarm.h"

namespace margay::bench {
namespace {

constexpr double kSettle = 0.3;  // between flaps

struct Arguments {
  World world;
  Swarm::Options swarm;
  double limit = 120, idle = 0;
  std::uint32_t fib = 0;
  unsigned flaps = 0;
  bool withdraw = false, raw = false;
};

[[noreturn]] void refuse(std::string_view what) {
  std::fprintf(stderr, "margay-bgp-load: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(2);
}

std::uint32_t number(std::string_view text) {
  std::uint32_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc{} || end != text.data() + text.size())
    refuse(std::string("not a number: ") + std::string(text));
  return n;
}

Ip address(std::string_view text) {
  const auto ip = Ip::parse(text);
  if (!ip || !ip->is_v4()) refuse("not an IPv4 address");
  return *ip;
}

Group parse_group(std::string_view text) {
  Group g;
  const std::map<std::string_view, std::uint32_t Group::*> numbers = {
      {"n", &Group::speakers},
      {"as", &Group::as},
      {"as_step", &Group::as_step},
      {"routes", &Group::routes},
      {"first", &Group::first},
      {"per_update", &Group::per_update},
      {"attributes", &Group::attribute_sets},
      {"path", &Group::path_length},
      {"communities", &Group::communities},
      {"expect", &Group::expect},
      {"expect_as", &Group::expect_as}};
  while (!text.empty()) {
    const auto item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const auto key = item.substr(0, item.find('='));
    const auto value = item.substr(std::min(item.size(), key.size() + 1));
    if (const auto it = numbers.find(key); it != numbers.end()) {
      g.*(it->second) = number(value);
    } else if (key == "name") {
      g.name = value;
    } else if (key == "address") {
      g.address = address(value);
    } else if (key == "same") {
      g.same = true;
    } else if (key == "each_better") {
      g.each_better = true;
    } else {
      refuse("unknown key in --group: " + std::string(key));
    }
  }
  return g;
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const auto next = [&]() -> std::string_view {
      if (++i >= argc) refuse("an option lacks its value");
      return argv[i];
    };
    if (option == "--to") {
      a.world.target = address(next());
    } else if (option == "--as") {
      a.world.target_as = number(next());
    } else if (option == "--hold") {
      a.world.hold = static_cast<std::uint16_t>(number(next()));
    } else if (option == "--length") {
      a.world.numbering.length = number(next());
    } else if (option == "--at-once") {
      a.swarm.at_once = number(next());
    } else if (option == "--limit") {
      a.limit = number(next());
    } else if (option == "--pid") {
      a.swarm.pids.push_back(static_cast<int>(number(next())));
    } else if (option == "--fib") {
      a.swarm.fib_netns = next();
      a.fib = number(next());
    } else if (option == "--group") {
      a.swarm.groups.push_back(parse_group(next()));
    } else if (option == "--idle") {
      a.idle = number(next());
    } else if (option == "--flap") {
      a.flaps = number(next());
    } else if (option == "--withdraw") {
      a.withdraw = true;
    } else if (option == "--raw") {
      a.raw = true;
    } else {
      refuse("unknown option " + std::string(option));
    }
  }
  return a;
}

class Run {
 public:
  explicit Run(Arguments a) : a_(std::move(a)), swarm_(a_.world, a_.swarm) {
    a_.world.incoming.resize(256 * 1024);
  }

  bool all() {
    bool ok = establish() && announce();
    if (ok && a_.idle > 0) ok = idle();
    if (ok && a_.flaps > 0) ok = flap();
    if (ok && a_.withdraw) ok = withdraw();
    if (ok && a_.raw) ok = raw();
    std::printf("{\"ok\":%s,%s\"sessions\":%zu,\"peak_rss_mib\":%.2f}\n", ok ? "true" : "false",
                json_.c_str(), swarm_.sessions().size(), swarm_.usage().peak_rss_mib);
    return ok;
  }

 private:
  using Fields = std::vector<std::pair<const char*, double>>;
  void report(const char* phase, const Fields& fields) {
    json_ += "\"" + std::string(phase) + "\":{";
    for (const auto& [key, value] : fields) {
      char text[96];
      std::snprintf(text, sizeof text, "\"%s\":%.6g,", key, value);
      json_ += text;
    }
    json_.back() = '}';
    json_ += ',';
  }

  // Every table is as it should be; `missing`: but for so many prefixes of each.
  [[nodiscard]] bool complete() {
    const auto& s = swarm_.sessions();
    return std::all_of(s.begin(), s.end(),
                       [](const auto& x) { return x->have() >= x->group().expect; }) &&
           (!swarm_.fib() || swarm_.fib()->have() >= a_.fib);
  }
  [[nodiscard]] bool empty() {
    const auto& s = swarm_.sessions();
    return std::all_of(s.begin(), s.end(), [](const auto& x) { return x->have() == 0; }) &&
           (!swarm_.fib() || swarm_.fib()->have() == 0);
  }
  [[nodiscard]] bool gone(const Session& first) {
    const auto& s = swarm_.sessions();
    return std::all_of(s.begin(), s.end(),
                       [&](const auto& x) {
                         return x.get() == &first || x->have_of(first.routes()) == 0;
                       }) &&
           (!swarm_.fib() || swarm_.fib()->have() <= a_.fib - first.routes().count);
  }

  bool establish() {
    const Usage before = swarm_.usage();
    const double start = now();
    swarm_.set_connecting(true);
    const bool ok = swarm_.until([&] { return swarm_.up() == swarm_.sessions().size(); }, a_.limit);
    const double end = now();
    swarm_.set_connecting(false);
    const double cpu = swarm_.usage().cpu - before.cpu;
    unsigned losses = 0;
    for (const auto& s : swarm_.sessions()) losses += s->losses();
    report("establish", {{"wall_s", end - start},
                         {"cpu_s", cpu},
                         {"rss_mib", swarm_.usage().rss_mib},
                         {"up", static_cast<double>(swarm_.up())},
                         {"losses", static_cast<double>(losses)},
                         {"rss_before_mib", before.rss_mib}});
    return ok;
  }

  void counts(Fields& fields) {
    std::uint64_t announced = 0, withdrawn = 0, updates = 0;
    for (const auto& s : swarm_.sessions()) {
      announced += s->announced();
      withdrawn += s->withdrawn();
      updates += s->updates();
    }
    fields.push_back({"announced", static_cast<double>(announced)});
    fields.push_back({"withdrawn", static_cast<double>(withdrawn)});
    fields.push_back({"updates", static_cast<double>(updates)});
    if (swarm_.fib()) fields.push_back({"fib", swarm_.fib()->have()});
  }

  bool send_and_wait(const char* phase, const std::function<void(Session&)>& send,
                     const std::function<bool()>& done) {
    const Usage before = swarm_.usage();
    const double start = now(), own = own_cpu();
    for (const auto& s : swarm_.sessions()) send(*s);
    bool ok = swarm_.until(done, a_.limit);
    ok = swarm_.until_idle(a_.limit) && ok;
    const Usage after = swarm_.usage();
    Fields fields = {{"wall_s", std::max(0.0, swarm_.last_event() - start)},
                     {"cpu_s", after.cpu - before.cpu},
                     {"rss_mib", after.rss_mib},
                     {"peak_rss_mib", after.peak_rss_mib},
                     {"load_cpu_s", own_cpu() - own}};
    counts(fields);
    report(phase, fields);
    if (swarm_.fib() && swarm_.fib()->lost()) refuse("notifications of the kernel were lost");
    return ok;
  }

  bool announce() {
    (void)swarm_.until_idle(20);
    return send_and_wait(
        "announce", [this](Session& s) { swarm_.announce(s); }, [&] { return complete(); });
  }

  bool withdraw() {
    return send_and_wait(
        "withdraw", [this](Session& s) { swarm_.withdraw(s); }, [&] { return empty(); });
  }

  bool raw() {
    const Session& first = *swarm_.sessions().front();
    auto made = RawRoutes::open(a_.swarm.fib_netns, a_.world.numbering, first.group().address);
    if (!made) refuse(made.error().message());
    std::vector<double> wall;
    for (const bool add : {true, false}) {
      (void)swarm_.until_idle(a_.limit);
      const double start = now();
      if (const auto done = made->write(first.routes(), add); !done) refuse(done.error().message());
      const std::uint32_t wanted = add ? first.routes().count : 0;
      if (!swarm_.until([&] { return swarm_.fib()->have() == wanted; }, a_.limit)) return false;
      wall.push_back(swarm_.fib()->last_change() - start);
    }
    report("raw", {{"add_wall_s", wall[0]}, {"delete_wall_s", wall[1]}});
    return true;
  }

  bool idle() {
    (void)swarm_.until_idle(20);
    const double start = now(), cpu = swarm_.usage().cpu;
    swarm_.idle(a_.idle);
    const double percent = (swarm_.usage().cpu - cpu) / (now() - start) * 100;
    report("idle", {{"cpu_pct", percent}, {"rss_mib", swarm_.usage().rss_mib}});
    return swarm_.up() == swarm_.sessions().size();
  }

  static double percentile(std::vector<double> times, double part) {
    std::sort(times.begin(), times.end());
    return times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1) + 0.5)];
  }

  // Milliseconds until all others have lost its routes, and until everybody has everything again.
  bool flap() {
    Session& first = *swarm_.sessions().front();
    std::vector<double> down, up;
    const double cpu = swarm_.usage().cpu;
    bool ok = true;
    for (unsigned i = 0; i < a_.flaps && ok; ++i) {
      double start = now();
      first.close();
      ok = swarm_.until([&] { return gone(first); }, a_.limit);
      down.push_back((now() - start) * 1000);
      swarm_.idle(kSettle);
      swarm_.set_connecting(true);
      ok = ok && swarm_.until([&] { return first.up(); }, a_.limit);
      swarm_.set_connecting(false);
      start = now();
      swarm_.announce(first);
      ok = ok && swarm_.until([&] { return complete(); }, a_.limit);
      up.push_back((now() - start) * 1000);
      swarm_.idle(kSettle);
    }
    report("flap", {{"down_p50_ms", percentile(down, 0.5)},
                    {"down_p99_ms", percentile(down, 0.99)},
                    {"up_p50_ms", percentile(up, 0.5)},
                    {"up_p99_ms", percentile(up, 0.99)},
                    {"cpu_s", swarm_.usage().cpu - cpu}});
    return ok;
  }

  Arguments a_;
  Swarm swarm_;
  std::string json_;
};

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  using namespace margay::bench;
  Run run(parse(argc, argv));
  return run.all() ? 0 : 1;
}
