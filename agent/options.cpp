// SPDX-License-Identifier: Apache-2.0
#include "agent/options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace margay::agent {
namespace {

struct Flag {
  std::string_view name;
  Mode mode;
};
constexpr Flag kModes[] = {{"--check-config", Mode::check_config},
                           {"--config-reference", Mode::config_reference},
                           {"--limits", Mode::limits},
                           {"--version", Mode::version},
                           {"--help", Mode::help},
                           {"-h", Mode::help}};

Result<std::string> read_file(const std::string& path) {
  const std::ifstream file(path);
  if (!file) return sys_error(errno, "read " + path);
  std::stringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

Result<Backend> parse_backend(std::string_view text) {
  if (text.empty() || text == "bird") return Backend::bird;
  if (text == "vxlan") return Backend::vxlan;
  if (text == "none") return Backend::none;
  return make_error(Code::invalid, "CALICO_NETWORKING_BACKEND: '" + std::string(text) +
                                       "' is not bird, vxlan or none");
}

std::string_view variable(const char* const* environment, std::string_view name) {
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
      return entry.substr(name.size() + 1);
    }
  }
  return {};
}

std::string* path_option(Options& options, std::string_view arg) {
  if (arg == "--config") return &options.config_file;
  if (arg == "--socket") return &options.socket_path;
  if (arg == "--datastore") return &options.datastore;
  if (arg == "--store-socket") return &options.store_socket;
  if (arg == "--resources") return &options.resources_file;
  if (arg == "--bgp-passwords") return &options.password_directory;
  return nullptr;
}

// What the environment says of BGP, beside CALICO_NETWORKING_BACKEND.
Result<void> read_bgp(Options& out, const char* const* environment) {
  out.router_id = variable(environment, "CALICO_ROUTER_ID");
  if (const auto ns = variable(environment, "NAMESPACE"); !ns.empty()) out.secrets_namespace = ns;
  out.k8s_node_ref = variable(environment, "CALICO_K8S_NODE_REF");
  if (const auto cidr = variable(environment, "CALICO_ADVERTISE_CLUSTER_IPS"); !cidr.empty()) {
    auto parsed = Prefix::parse(cidr);
    if (!parsed.ok()) {
      return make_error(Code::invalid, "CALICO_ADVERTISE_CLUSTER_IPS: " + parsed.error().message());
    }
    out.cluster_ips = *parsed;
  }
  if (const auto text = variable(environment, "BGP_LOGSEVERITYSCREEN"); !text.empty()) {
    if (!log::parse_level(text, out.bgp_log_level.emplace())) {
      return make_error(Code::invalid, "BGP_LOGSEVERITYSCREEN: '" + std::string(text) +
                                           "' is not Trace, Debug, Info, Warning, Error or Fatal");
    }
  }
  return {};
}

// "sqlite:///var/lib/margay/store.db" -> "/var/lib/margay/store.db"
Result<std::string> sqlite_path(std::string_view url) {
  static constexpr std::string_view kScheme = "sqlite://";
  if (url.starts_with(kScheme) && url.size() > kScheme.size())
    return std::string(url.substr(kScheme.size()));
  return make_error(Code::invalid, "--datastore: '" + std::string(url) + "' is not sqlite:///PATH");
}

}  // namespace

std::string usage() {
  return "usage: margay-agent [--config FILE] [--socket PATH]\n"
         "                    [--datastore sqlite:///PATH [--store-socket PATH] | --resources "
         "FILE]\n"
         "                    [--bgp-passwords DIR] [--no-dataplane]\n"
         "       margay-agent --check-config [--config FILE]   show the configuration in force\n"
         "       margay-agent --config-reference | --limits | --version | --help\n"
         "Parameters come from FELIX_* variables, the file, and FelixConfiguration resources.\n";
}

Result<void> reload_file(Options& options) {
  if (options.config_file.empty()) return {};
  MARGAY_TRY(const std::string content, read_file(options.config_file));
  MARGAY_TRY(auto texts, config::parse_file(options.config_file, content));
  options.layers.set(config::Source::file, std::move(texts));
  return {};
}

Result<Options> parse_options(int argc, const char* const* argv, const char* const* environment) {
  Options out;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const auto* mode = std::find_if(std::begin(kModes), std::end(kModes),
                                    [&](const Flag& f) { return f.name == arg; });
    if (mode != std::end(kModes)) {
      out.mode = mode->mode;
    } else if (arg == "--no-dataplane") {
      out.dataplane = false;
    } else if (std::string* value = path_option(out, arg)) {
      if (++i == argc) return make_error(Code::invalid, std::string(arg) + ": a path must follow");
      *value = argv[i];
    } else {
      return make_error(Code::invalid, "unknown argument '" + std::string(arg) + "'\n" + usage());
    }
  }
  MARGAY_TRY(out.backend, parse_backend(variable(environment, "CALICO_NETWORKING_BACKEND")));
  out.node_name = variable(environment, "NODENAME");
  MARGAY_CHECK(read_bgp(out, environment));
  out.layers.set(config::Source::environment, config::from_environment(environment));
  if (!out.datastore.empty()) {
    MARGAY_TRY(out.datastore, sqlite_path(out.datastore));
  }
  if (!out.datastore.empty() && !out.resources_file.empty()) {
    return make_error(Code::invalid, "--datastore and --resources exclude each other");
  }
  MARGAY_CHECK(reload_file(out));
  return out;
}

std::string node_name(const Options& options, const config::Config& config) {
  if (!config.text("FelixHostname").empty()) return config.text("FelixHostname");
  if (!options.node_name.empty()) return options.node_name;
  std::array<char, 256> buf{};
  gethostname(buf.data(), buf.size() - 1);
  std::string name = buf.data();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

}  // namespace margay::agent
