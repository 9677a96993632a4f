// SPDX-License-Identifier: Apache-2.0
// Passwords of BGP peers in files, laid out as Kubernetes mounts Secrets: DIRECTORY/<name>/<key>.
#pragma once

#include <string>

#include "bgp/intent/intent.h"

namespace margay::agent {

// What can be read; a newline at the end is not part of a password. No directory: none.
[[nodiscard]] bgp::Passwords read_passwords(const std::string& directory);

}  // namespace margay::agent
