// SPDX-License-Identifier: Apache-2.0
// The commands of margayctl: each prints its answer and returns; an Error's text goes to stderr.
#pragma once

#include "base/result.h"
#include "ctl/options.h"

namespace margay::ctl {

Result<void> run_apply(const Invocation& call);  // apply, create, replace, validate
Result<void> run_delete(const Invocation& call);
Result<void> run_get(const Invocation& call);
Result<void> run_patch(const Invocation& call);
Result<void> run_label(const Invocation& call);
Result<void> run_version(const Invocation& call);
Result<void> run_node_status(const Invocation& call);
Result<void> run_show(const Invocation& call);
Result<void> run_bgp_neighbors(const Invocation& call);
Result<void> run_bgp_routes(const Invocation& call);

}  // namespace margay::ctl
