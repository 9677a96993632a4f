// SPDX-License-Identifier: Apache-2.0
#include "typha/options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

namespace margay::typha {
namespace {

// What is put together only when all is known.
struct Draft {
  Options o;
  std::string datastore = "sqlite:///var/lib/margay/store.db";
  std::string listen = "0.0.0.0:5474";
  std::string port;
  std::string server_cn;
  bool health = true;
  bool metrics = true;
};

constexpr std::string_view kSqlite = "sqlite://";
constexpr std::string_view kTypha = "typha://";

using Parse = bool (*)(std::string_view text, Draft& d);

bool parse_port(std::string_view text, std::uint16_t& out) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size();
}

bool parse_interval(std::string_view text, std::chrono::milliseconds& out) {
  double seconds = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (ec != std::errc() || end != text.data() + text.size() || !(seconds >= 0.1 && seconds < 3600))
    return false;
  out = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  return true;
}

bool parse_bool(std::string_view text, bool& out) {
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (low != "true" && low != "false") return false;
  out = low == "true";
  return true;
}

// "a, b-*" -> {"a", "b-*"}; "none" -> {}
std::vector<std::string> names(std::string_view list) {
  std::vector<std::string> out;
  while (list != "none" && !list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    if (!item.empty()) out.emplace_back(item);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return out;
}

struct Row {
  const char* flag;     // takes a value unless it is a switch
  const char* env;      // without TYPHA_
  const char* allowed;  // for the error
  const char* help;
  Parse parse;
  bool is_switch = false;
};

constexpr const char* kAnyText = "any text";
constexpr const char* kFile = "a path";
constexpr const char* kPort = "0 to 65535";
constexpr const char* kBool = "true or false";

const Row kRows[] = {
    {"--datastore", "DATASTORE", "sqlite:///absolute/path or typha://host:port[,host:port]",
     "the store that this process owns, or whose replica it is",
     [](std::string_view t, Draft& d) {
       d.datastore = std::string(t);
       return (t.starts_with(kSqlite) && t.size() > kSqlite.size() + 1 &&
               t[kSqlite.size()] == '/') ||
              (t.starts_with(kTypha) && t.size() > kTypha.size());
     }},
    {"--restored", nullptr, "", "once, after an older copy of the file was put in its place",
     [](std::string_view t, Draft& d) { return parse_bool(t, d.o.restored); }, true},
    {"--server-cn", "SERVERCN", kAnyText, "the name of the typha:// servers' certificates",
     [](std::string_view t, Draft& d) { return d.server_cn = t, true; }},
    {"--ping-interval", "SERVERPINGINTERVALSECS", "seconds, at least 0.1",
     "a sign of life to clients that often",
     [](std::string_view t, Draft& d) { return parse_interval(t, d.o.ping_interval); }},
    {"--listen", "LISTEN", "host:port or unix:/path", "where agents and clients connect",
     [](std::string_view t, Draft& d) {
       d.listen = std::string(t);
       return t.find(':') != std::string_view::npos;
     }},
    {"--port", "PORT", kPort, "the port of --listen",
     [](std::string_view t, Draft& d) {
       std::uint16_t ignored = 0;
       d.port = std::string(t);
       return parse_port(t, ignored);
     }},
    {"--ca-file", "CAFILE", kFile, "CA of the clients' certificates",
     [](std::string_view t, Draft& d) { return d.o.server.tls.ca_file = t, true; }},
    {"--cert-file", "SERVERCERTFILE", kFile, "our certificate",
     [](std::string_view t, Draft& d) { return d.o.server.tls.cert_file = t, true; }},
    {"--key-file", "SERVERKEYFILE", kFile, "our key",
     [](std::string_view t, Draft& d) { return d.o.server.tls.key_file = t, true; }},
    {"--client-cn", "CLIENTCN", "names, separated by commas",
     "the names that clients' certificates may have",
     [](std::string_view t, Draft& d) {
       auto all = names(t);
       d.o.server.tls.peer_cn = all.empty() ? std::string() : all.front();
       if (!all.empty()) all.erase(all.begin());
       d.o.server.tls.peer_cn_patterns = std::move(all);
       return true;
     }},
    {"--client-uri-san", "CLIENTURISAN", kAnyText, "or the URI that they must have",
     [](std::string_view t, Draft& d) { return d.o.server.tls.peer_uri_san = t, true; }},
    {"--writer-cn", "WRITERCN", "names or patterns, separated by commas; none: nobody",
     "whose certificates may write the store over the network (margayctl)",
     [](std::string_view t, Draft& d) { return d.o.server.writers = names(t), true; }},
    {"--insecure", "INSECURE", kBool, "no TLS; --listen must be loopback or unix:",
     [](std::string_view t, Draft& d) { return parse_bool(t, d.o.server.insecure); }, true},
    {"--store-socket", "STORESOCKET", kFile, "unix socket of the Store service, for root",
     [](std::string_view t, Draft& d) { return d.o.server.store_socket = t, true; }},
    {"--health-host", "HEALTHHOST", kAnyText, "where /liveness and /readiness are served",
     [](std::string_view t, Draft& d) { return d.o.health_host = t, true; }},
    {"--health-port", "HEALTHPORT", kPort, "0: not at all",
     [](std::string_view t, Draft& d) { return parse_port(t, d.o.health_port); }},
    {nullptr, "HEALTHENABLED", kBool, "",
     [](std::string_view t, Draft& d) { return parse_bool(t, d.health); }},
    {"--metrics-host", "PROMETHEUSMETRICSHOST", kAnyText, "where /metrics is served",
     [](std::string_view t, Draft& d) { return d.o.metrics_host = t, true; }},
    {"--metrics-port", "PROMETHEUSMETRICSPORT", kPort, "0: not at all",
     [](std::string_view t, Draft& d) { return parse_port(t, d.o.metrics_port); }},
    {nullptr, "PROMETHEUSMETRICSENABLED", kBool, "",
     [](std::string_view t, Draft& d) { return parse_bool(t, d.metrics); }},
    {"--log-level", "LOGSEVERITYSCREEN", "debug, info, warning, error", "",
     [](std::string_view t, Draft& d) { return log::parse_level(t, d.o.log_level); }},
    {"--version", nullptr, "", "",
     [](std::string_view, Draft& d) { return d.o.show_version = true; }, true},
    {"--help", nullptr, "", "", [](std::string_view, Draft& d) { return d.o.show_help = true; },
     true},
};

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

Result<void> take(const Row& row, std::string_view name, std::string_view value, Draft& d) {
  if (row.parse(value, d)) return {};
  return make_error(Code::invalid, std::string(name) + ": '" + std::string(value) +
                                       "' is not allowed; it must be " + row.allowed);
}

Result<void> take_environment(const Environment& environment, Draft& d) {
  for (const auto& [name, value] : environment) {
    for (const auto& row : kRows) {
      if (row.env == nullptr || value.empty()) continue;
      if (same_name(name, std::string("TYPHA_") + row.env)) {
        MARGAY_CHECK(take(row, name, value, d));
      }
    }
  }
  return {};
}

Result<void> take_flags(const std::vector<std::string>& args, Draft& d) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const auto eq = args[i].find('=');
    const auto flag = args[i].substr(0, eq);
    const auto* row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) {
      return r.flag != nullptr && flag == r.flag;
    });
    if (row == std::end(kRows)) {
      return make_error(Code::invalid, "unknown option " + args[i] + " (--help lists them)");
    }
    std::string value = "true";
    if (eq != std::string::npos) {
      value = args[i].substr(eq + 1);
    } else if (!row->is_switch) {
      if (++i == args.size()) return make_error(Code::invalid, flag + " needs a value");
      value = args[i];
    }
    MARGAY_CHECK(take(*row, flag, value, d));
  }
  return {};
}

// A replica speaks to its own server with the certificate that it shows to its clients.
Result<Options> finish_replica(Draft d) {
  if (!d.o.server.store_socket.empty() || d.o.restored) {
    return make_error(Code::invalid, std::string(d.o.restored ? "--restored" : "--store-socket") +
                                         ": a replica (--datastore typha://...) has no store");
  }
  if (d.o.server.tls.enabled() && d.server_cn.empty()) {
    return make_error(Code::invalid,
                      "--server-cn is needed: the name of the typha:// servers' certificates");
  }
  d.o.upstream_cn = d.server_cn;
  return std::move(d.o);
}

Result<Options> finish(Draft d) {
  if (d.datastore.starts_with(kTypha)) {
    d.o.upstream = d.datastore.substr(kTypha.size());
  } else {
    d.o.datastore = d.datastore.substr(kSqlite.size());
  }
  d.o.server.listen = d.listen;
  if (!d.port.empty() && !d.listen.starts_with("unix:")) {
    d.o.server.listen = d.listen.substr(0, d.listen.rfind(':') + 1) + d.port;
  }
  if (!d.health) d.o.health_port = 0;
  if (!d.metrics) d.o.metrics_port = 0;
  if (d.o.show_help || d.o.show_version) return std::move(d.o);
  const auto& s = d.o.server;
  if (s.insecure && s.tls.enabled()) {
    return make_error(Code::invalid, "--insecure and TLS files exclude each other");
  }
  if (s.insecure && !transport::is_local_address(s.listen)) {
    return make_error(Code::invalid,
                      "--insecure: --listen must be a loopback address or "
                      "unix:/path, not " +
                          s.listen);
  }
  if (!s.insecure && !s.tls.enabled()) {
    return make_error(Code::invalid,
                      "--ca-file, --cert-file, --key-file and --client-cn are "
                      "needed (or --insecure on a local address)");
  }
  if (!d.o.upstream.empty()) return finish_replica(std::move(d));
  return std::move(d.o);
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& args,
                              const Environment& environment) {
  Draft d;
  MARGAY_CHECK(take_environment(environment, d));
  MARGAY_CHECK(take_flags(args, d));
  return finish(std::move(d));
}

std::string usage() {
  std::string text = "margay-typha: owns a Margay store and feeds it to agents over gRPC\n\n";
  for (const auto& row : kRows) {
    std::string line = "  ";
    if (row.flag != nullptr) line += row.flag;
    if (line.size() < 20) line.resize(20, ' ');
    if (row.env != nullptr) line += std::string(" TYPHA_") + row.env;
    if (line.size() < 48) line.resize(48, ' ');
    text += line + " " + row.help + (*row.help != 0 && *row.allowed != 0 ? "; " : "") +
            row.allowed + "\n";
  }
  return text;
}

}  // namespace margay::typha
