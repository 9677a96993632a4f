// SPDX-License-Identifier: Apache-2.0
#include "ctl/options.h"

#include <algorithm>
#include <array>
#include <optional>

namespace margay::ctl {
namespace {

struct Flag {
  std::string_view name;
  char letter;  // 0: none
  bool takes_value;
};
constexpr std::array kFlags{Flag{"filename", 'f', true},   Flag{"output", 'o', true},
                            Flag{"namespace", 'n', true},  Flag{"all-namespaces", 'A', false},
                            Flag{"recursive", 'R', false}, Flag{"skip-empty", 0, false},
                            Flag{"skip-exists", 0, false}, Flag{"skip-not-exists", 's', false},
                            Flag{"patch", 'p', true},      Flag{"overwrite", 0, false},
                            Flag{"remove", 0, false},      Flag{"export", 0, false},
                            Flag{"socket", 0, true},       Flag{"store", 0, true},
                            Flag{"ca-file", 0, true},      Flag{"cert-file", 0, true},
                            Flag{"key-file", 0, true},     Flag{"server-cn", 0, true},
                            Flag{"received", 0, true},     Flag{"advertised", 0, true},
                            Flag{"explain", 0, false},     Flag{"request-timeout", 0, true},
                            Flag{"help", 'h', false}};

struct Command {
  std::string_view name;
  std::string_view flags;  // long names, separated by blanks; those of every command are left out
  std::string_view help;
};
constexpr std::string_view kEverywhere =
    "store ca-file cert-file key-file server-cn request-timeout help";
constexpr std::array kCommands{
    Command{"apply", "filename recursive skip-empty namespace",
            "-f FILE|DIR|-    create or update resources"},
    Command{"create", "filename recursive skip-empty skip-exists namespace",
            "-f FILE|DIR|-    create resources"},
    Command{"replace", "filename recursive skip-empty namespace",
            "-f FILE|DIR|-    update resources that exist"},
    Command{"delete", "filename recursive skip-not-exists namespace", "-f FILE... or KIND NAME..."},
    Command{"get", "filename output namespace all-namespaces export",
            "KIND [NAME...] [-o wide|yaml|json|name|custom-columns=..] [-n NS|-A]"},
    Command{"patch", "patch namespace", "KIND NAME -p PATCH    JSON merge patch"},
    Command{"label", "overwrite remove namespace", "KIND NAME KEY=VALUE | KEY --remove"},
    Command{"validate", "filename recursive", "-f FILE|DIR|-    check files, without a datastore"},
    Command{"node status", "socket", "BGP peers of this node"},
    Command{"bgp neighbors", "socket output", "[PEER]    BGP peers of this node, with counts"},
    Command{"bgp routes", "socket output received advertised explain",
            "[PREFIX] [--received PEER | --advertised PEER] or PREFIX|ADDRESS --explain"},
    Command{"show", "socket output", "[SUBSYSTEM]    what the agent of this node holds"},
    Command{"version", "", "versions of this program and the cluster"}};

bool contains_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto blank = list.find(' ');
    if (list.substr(0, blank) == word) return true;
    list.remove_prefix(blank == std::string_view::npos ? list.size() : blank + 1);
  }
  return false;
}

const Flag* find_flag(std::string_view arg) {
  const auto* it = std::find_if(kFlags.begin(), kFlags.end(), [&](const Flag& f) {
    if (arg.starts_with("--")) return arg.substr(2, arg.find('=') - 2) == f.name;
    return f.letter != 0 && arg[1] == f.letter;
  });
  return it == kFlags.end() ? nullptr : it;
}

// The value inside the same argument: --name=value, -fvalue.
std::optional<std::string> attached_value(std::string_view arg) {
  if (arg.starts_with("--")) {
    const auto equals = arg.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    return std::string(arg.substr(equals + 1));
  }
  if (arg.size() <= 2) return std::nullopt;
  return std::string(arg.substr(arg[2] == '=' ? 3 : 2));
}

Error invalid(std::string text) { return make_error(Code::invalid, std::move(text)); }

// Takes the command's one or two words off `words`.
Result<const Command*> take_command(Invocation& out) {
  for (const Command& c : kCommands) {
    const auto blank = c.name.find(' ');
    const std::size_t count = blank == std::string_view::npos ? 1 : 2;
    if (out.words.size() < count) continue;
    const std::string given = count == 1 ? out.words[0] : out.words[0] + " " + out.words[1];
    if (given != c.name) continue;
    out.command = given;
    out.words.erase(out.words.begin(), out.words.begin() + static_cast<std::ptrdiff_t>(count));
    return &c;
  }
  return invalid("unknown command '" + out.words[0] + "'; see margayctl --help");
}

}  // namespace

std::string Invocation::value(const std::string& flag, std::string_view absent) const {
  const auto it = flags.find(flag);
  return it == flags.end() || it->second.empty() ? std::string(absent) : it->second.back();
}

Result<Invocation> parse_invocation(int argc, const char* const* argv) {
  Invocation out;
  bool only_words = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (only_words || arg.size() < 2 || arg[0] != '-') {
      out.words.emplace_back(arg);
      continue;
    }
    if (arg == "--") {
      only_words = true;
      continue;
    }
    const Flag* flag = find_flag(arg);
    if (flag == nullptr) return invalid("unknown flag: " + std::string(arg));
    auto value = attached_value(arg);
    if (!flag->takes_value && value) return invalid("flag takes no value: " + std::string(arg));
    if (flag->takes_value && !value) {
      if (++i == argc) return invalid("flag needs a value: " + std::string(arg));
      value = argv[i];
    }
    out.flags[std::string(flag->name)].push_back(value.value_or(""));
  }
  if (out.has("help") || out.words.empty()) {
    out.command = "help";
    return out;
  }
  MARGAY_TRY(const Command* command, take_command(out));
  for (const auto& [name, values] : out.flags) {
    if (contains_word(command->flags, name) || contains_word(kEverywhere, name)) continue;
    return invalid("'" + out.command + "' has no flag --" + name);
  }
  return out;
}

std::string usage() {
  std::string out = "usage: margayctl COMMAND ...\n\n";
  for (const Command& c : kCommands) {
    out += "  " + std::string(c.name) + std::string(15 - c.name.size(), ' ') + std::string(c.help) +
           "\n";
  }
  out +=
      "\nThe datastore: --store unix:/run/margay/store.sock (default, or MARGAY_STORE), or --store "
      "HOST:PORT\n"
      "with --ca-file, --cert-file, --key-file and --server-cn. The agent: --socket "
      "/run/margay/agent.sock.\n";
  return out;
}

}  // namespace margay::ctl
