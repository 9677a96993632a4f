// SPDX-License-Identifier: Apache-2.0
#include "ctl/connection.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string>

#include "datastore/remote/remote_store.h"

namespace margay::ctl {
namespace {

constexpr std::string_view kDefaultStore = "unix:/run/margay/store.sock";

// The flag, else MARGAY_<FLAG>, else `absent`.
std::string setting(const Invocation& call, const std::string& flag, std::string_view absent = "") {
  if (call.has(flag)) return call.value(flag);
  std::string name = "MARGAY_" + flag;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  const char* value = std::getenv(name.c_str());
  return value != nullptr && *value != '\0' ? value : std::string(absent);
}

Result<std::chrono::seconds> timeout_of(const Invocation& call) {
  const std::string text = call.value("request-timeout", "30");
  const std::string_view digits = std::string_view(text).substr(0, text.find('s'));
  int seconds = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  if (ec != std::errc{} || end != digits.data() + digits.size() || seconds <= 0) {
    return make_error(Code::invalid,
                      "--request-timeout: '" + text + "' is not a number of seconds");
  }
  return std::chrono::seconds(seconds);
}

}  // namespace

Result<std::unique_ptr<Connection>> connect(const Invocation& call) {
  datastore::RemoteOptions options;
  options.address = setting(call, "store", kDefaultStore);
  options.tls.ca_file = setting(call, "ca-file");
  options.tls.cert_file = setting(call, "cert-file");
  options.tls.key_file = setting(call, "key-file");
  options.tls.peer_cn = setting(call, "server-cn");
  MARGAY_TRY(options.timeout, timeout_of(call));
  auto out = std::make_unique<Connection>();
  MARGAY_TRY(out->store, datastore::make_remote_store(out->loop, std::move(options)));
  return out;
}

}  // namespace margay::ctl
