// SPDX-License-Identifier: Apache-2.0
// The policy compiler: from the values of model/desired.h to chains and sets of the two tables.
// Everything here is a pure function of its arguments with a stable output: the same policy gives
// the same names and rules after a restart, and an unrelated change none at all. Its parts:
//   merge.h        adjacent rules of one action -> fewer rules
//   matches.h      lists of values and model sets -> expressions
//   rules.h        the rules of a policy -> nftables rules
//   program.h      tiers, policies and profiles of an endpoint -> chains
//   base_chains.h  how packets find those programs
//   static_table.h NAT and protection of the host's tunnels
#pragma once

#include "dataplane/policy/base_chains.h"
#include "dataplane/policy/names.h"
#include "dataplane/policy/program.h"
#include "dataplane/policy/static_table.h"
