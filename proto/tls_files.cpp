// SPDX-License-Identifier: Apache-2.0
#include "proto/tls_files.h"

#include <fnmatch.h>

#include <algorithm>

#include "base/ip.h"
#include "base/log.h"

namespace margay::transport {

bool matches_any(const std::string& name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

bool is_local_address(std::string_view address) {
  if (address.starts_with("unix:")) return true;
  const auto colon = address.rfind(':');
  auto host = address.substr(0, colon == std::string_view::npos ? address.size() : colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") return true;
  const auto ip = Ip::parse(host);
  return ip.ok() && ip->is_loopback();
}

Result<void> TlsFiles::check_peer(const std::string& cn,
                                  const std::vector<std::string>& uris) const {
  const bool uri_ok =
      !peer_uri_san.empty() && std::find(uris.begin(), uris.end(), peer_uri_san) != uris.end();
  if ((!peer_cn.empty() && cn == peer_cn) || matches_any(cn, peer_cn_patterns) || uri_ok) return {};
  log::warn("tls_peer_name_refused", kv("cn", cn), kv("expected_cn", peer_cn),
            kv("expected_uri_san", peer_uri_san));
  return make_error(Code::refused,
                    "peer certificate has CN '" + cn + "', expected " +
                        (peer_cn.empty() ? "URI SAN '" + peer_uri_san + "'" : "'" + peer_cn + "'"));
}

Result<void> check_plain(const std::string& address) {
  if (is_local_address(address)) return {};
  return make_error(Code::invalid,
                    address + " is not on this machine: TLS files are needed to reach it");
}

}  // namespace margay::transport
