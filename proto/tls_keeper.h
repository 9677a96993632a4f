// SPDX-License-Identifier: Apache-2.0
// The certificate, key and CA of one side of a TLS connection as they are in force: read from their
// files again and again, but replaced only by what can be used. Files that are broken, do not
// belong together or have expired leave the old ones in force and are a problem to be told. Reads
// files; no thread, no gRPC in this header.
#pragma once

#include <string>

#include "base/result.h"
#include "proto/tls_files.h"

namespace margay::transport {

struct TlsMaterial {  // PEM
  std::string ca;
  std::string cert;  // with the chain
  std::string key;
  friend bool operator==(const TlsMaterial&, const TlsMaterial&) = default;
};

class TlsKeeper {
 public:
  // An error when the files cannot work at all. Expired ones are taken, there being none better.
  static Result<TlsKeeper> open(TlsFiles files);

  // Looks at the files. True: something else is in force than before.
  bool refresh();
  [[nodiscard]] const TlsMaterial& in_force() const { return in_force_; }
  [[nodiscard]] const TlsFiles& files() const { return files_; }
  // What is wrong with the files as they are, or with what is in force; empty: nothing.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  TlsKeeper() = default;
  TlsFiles files_;
  TlsMaterial in_force_;
  std::string problem_;
};

}  // namespace margay::transport
