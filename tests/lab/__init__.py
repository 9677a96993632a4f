# SPDX-License-Identifier: Apache-2.0
"""The lab: whole clusters of network namespaces on one machine, for ./run and integration tests.

`Lab` is the door: it declares nodes, pods and resources, starts the programs, and compares the
connectivity that it observes with what is expected.
"""
