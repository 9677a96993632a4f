// SPDX-License-Identifier: Apache-2.0
// Where one side of a mutual TLS connection finds its own certificate and the CA, and which name it
// expects of the other side. All three files, or none (plain; the caller decides whether that may
// be). No gRPC in this header.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace margay::transport {

struct TlsFiles {
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  // The peer's certificate must carry one of those that are set: subject CN, or a URI SAN.
  std::string peer_cn;
  std::string peer_uri_san;
  // Or a subject CN that matches one of these (matches_any): a server's further sorts of clients.
  std::vector<std::string> peer_cn_patterns = {};
  // How often a server looks at the files; clients do when they connect.
  unsigned refresh_seconds = 1;

  [[nodiscard]] bool enabled() const {
    return !ca_file.empty() || !cert_file.empty() || !key_file.empty();
  }
  // Complete, a name is set, and the files are readable PEM that belong together as far as can be
  // said without a peer. Names the file at fault.
  [[nodiscard]] Result<void> check() const;
  // Whether a peer of this subject CN and with these URI SANs is one that was meant; its chain has
  // been verified already. Code::refused says what was expected.
  [[nodiscard]] Result<void> check_peer(const std::string& cn,
                                        const std::vector<std::string>& uris) const;
};

// Shell patterns: `*` stands for any text, `?` for one character. No pattern matches no name.
[[nodiscard]] bool matches_any(const std::string& name, const std::vector<std::string>& patterns);

// Addresses that never leave this machine: unix:..., 127.0.0.0/8, [::1], localhost.
[[nodiscard]] bool is_local_address(std::string_view address);
// Without TLS we speak to those only: Code::invalid otherwise.
[[nodiscard]] Result<void> check_plain(const std::string& address);

}  // namespace margay::transport
