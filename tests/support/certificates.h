// SPDX-License-Identifier: Apache-2.0
// Certificates for a test, made with the openssl command in the test's directory, in the shape that
// Calico's instructions give: a CN and no subject alternative name.
#pragma once

#include <cstdlib>
#include <string>

#include "base/result.h"
#include "proto/tls_files.h"
#include "tests/support/temp_dir.h"

namespace margay {

class Certificates {
 public:
  explicit Certificates(const TempDir& dir) : dir_(dir.path()) {}

  void make_ca(const std::string& name) const {
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "
        "/CN=" +
        name + " -keyout " + file(name, ".key") + " -out " + file(name, ".crt"));
  }
  // `extension`: openssl's syntax, e.g. "subjectAltName=URI:spiffe://x"; `days` may be negative.
  void make(const std::string& name, const std::string& ca, const std::string& cn, int days = 2,
            const std::string& extension = {}) const {
    run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=" + cn +
        " -keyout " + file(name, ".key") + " -out " + file(name, ".csr"));
    std::string sign = "openssl x509 -req -in " + file(name, ".csr") + " -CA " + file(ca, ".crt") +
                       " -CAkey " + file(ca, ".key") + " -CAcreateserial -days " +
                       std::to_string(days) + " -out " + file(name, ".crt");
    if (!extension.empty()) {
      run("printf '" + extension + "\\n' > " + file(name, ".ext"));
      sign += " -extfile " + file(name, ".ext");
    }
    run(sign);
  }
  [[nodiscard]] transport::TlsFiles files(const std::string& name, const std::string& ca,
                                          const std::string& peer_cn,
                                          const std::string& peer_uri = {}) const {
    return {file(ca, ".crt"), file(name, ".crt"), file(name, ".key"), peer_cn, peer_uri};
  }
  [[nodiscard]] std::string file(const std::string& name, const char* suffix) const {
    return dir_ + "/" + name + suffix;
  }

 private:
  static void run(const std::string& command) {
    MARGAY_ASSERT(std::system((command + " 2>/dev/null").c_str()) == 0);
  }
  std::string dir_;
};

}  // namespace margay
