# SPDX-License-Identifier: Apache-2.0
"""margayctl's commands and formats, which are calicoctl's."""
import json
import re

import pytest
import yaml
from lab import resources
from lab.lab import Lab

PEER = resources.resource("BGPPeer", "rack1-tor", {
    "peerIP": "192.20.30.40:1790", "nodeSelector": "rack == 'rack-1'", "asNumber": 64567})
SETS = [resources.resource("GlobalNetworkSet", n, {"nets": ["192.0.2.0/24"]}) for n in ("s1", "s2")]


@pytest.fixture(scope="module")
def store():
    """A typha and its store, no agent."""
    with Lab("a") as lab:
        lab.start_typha()
        lab.apply(*lab.base_resources())
        yield lab


def out(lab, *arguments, **more):
    return lab.ctl(*arguments, **more).stdout


def test_apply_create_replace_delete(store):
    text = json.dumps(PEER)
    said = {
        "create": "Successfully created 1 'BGPPeer' resource(s)\n",
        "apply": "Successfully applied 1 'BGPPeer' resource(s)\n",
        "replace": "Successfully replaced 1 'BGPPeer' resource(s)\n",
        "delete": "Successfully deleted 1 'BGPPeer' resource(s)\n"}
    for command, answer in said.items():
        assert out(store, command, "-f", "-", stdin=text) == answer
    again = store.ctl("delete", "bgppeer", "rack1-tor", check=False)
    assert again.returncode == 1
    assert "resource does not exist: BGPPeer(rack1-tor)" in again.stderr


def test_create_of_what_exists_and_replace_of_what_does_not(store):
    store.apply(PEER)
    twice = store.ctl("create", "-f", "-", stdin=json.dumps(PEER), check=False)
    assert twice.returncode == 1 and "resource already exists: BGPPeer(rack1-tor)" in twice.stderr
    store.delete(PEER)
    absent = store.ctl("replace", "-f", "-", stdin=json.dumps(PEER), check=False)
    assert absent.returncode == 1 and "resource does not exist: BGPPeer(rack1-tor)" in absent.stderr


def test_mixed_kinds_are_counted_together(store):
    text = "\n---\n".join(map(json.dumps, [PEER, *SETS]))
    assert out(store, "apply", "-f", "-", stdin=text) == "Successfully applied 3 resource(s)\n"
    assert out(store, "delete", "-f", "-", stdin=text) == "Successfully deleted 3 resource(s)\n"


def test_the_columns_of_tables(store):
    store.apply(PEER)
    assert re.fullmatch(r"NAME        PEERIP              NODE               ASN *\n"
                        r"rack1-tor   192\.20\.30\.40:1790   rack == 'rack-1'   64567 *\n\n",
                        out(store, "get", "bgppeer", "rack1-tor"))
    store.delete(PEER)
    nodes = out(store, "get", "nodes", "-o", "wide").splitlines()
    assert nodes[0].split() == ["NAME", "ASN", "IPV4", "IPV6"]
    assert nodes[1].split() == ["node-1", "(64512)", "172.31.1.11/24", "fd31:0:0:1::11/64"]
    pools = out(store, "get", "ippool", "-o", "wide").splitlines()
    assert pools[0].split() == ["NAME", "CIDR", "NAT", "IPIPMODE", "VXLANMODE", "DISABLED",
                                "DISABLEBGPEXPORT", "SELECTOR", "ASSIGNMENTMODE"]
    assert "vxlan-v4 10.65.0.0/16 false Never CrossSubnet false false all() Automatic".split() \
        in [line.split() for line in pools]


@pytest.mark.parametrize("alias", ["bgppeer", "BGPPeers", "bgpp", "bp", "BGPPEER"])
def test_aliases_in_any_case(store, alias):
    assert out(store, "get", alias).startswith("NAME")


def test_yaml_and_json_of_one_are_the_object(store):
    store.apply(SETS[0])
    one = yaml.safe_load(out(store, "get", "globalnetworkset", "s1", "-o", "yaml"))
    assert one["kind"] == "GlobalNetworkSet" and one["metadata"]["name"] == "s1"
    assert {"uid", "creationTimestamp", "resourceVersion"} <= one["metadata"].keys()
    assert json.loads(out(store, "get", "globalnetworkset", "s1", "-o", "json")) == one
    store.delete(SETS[0])


def test_yaml_and_json_of_all_are_a_list(store):
    store.apply(*SETS)
    listed = json.loads(out(store, "get", "globalnetworkset", "-o", "json"))
    assert listed["kind"] == "GlobalNetworkSetList"
    assert [i["metadata"]["name"] for i in listed["items"]] == ["s1", "s2"]
    assert yaml.safe_load(out(store, "get", "globalnetworkset", "-o", "yaml")) == listed
    store.delete(*SETS)


def test_names_only(store):
    store.apply(*SETS)
    assert [line.rpartition("/")[2] for line in
            out(store, "get", "globalnetworkset", "-o", "name").split()] == ["s1", "s2"]
    store.delete(*SETS)


def test_what_is_got_can_be_edited_and_applied_once(store):
    store.apply(SETS[0])
    text = out(store, "get", "globalnetworkset", "s1", "-o", "yaml")
    edited = text.replace("192.0.2.0/24", "198.51.100.0/24")
    out(store, "apply", "-f", "-", stdin=edited)
    stale = store.ctl("apply", "-f", "-", stdin=edited, check=False)
    assert stale.returncode == 1 and "update conflict: GlobalNetworkSet(s1)" in stale.stderr
    store.delete(SETS[0])


def test_unknown_fields_survive_an_edit(store):
    """What a newer version wrote is kept when an older tool changes something else."""
    item = json.loads(json.dumps(SETS[0]))
    item["spec"]["fromTheFuture"] = {"a": 1}
    item["metadata"]["uid"] = "u"
    store.put_keys({resources.store_key(item, "globalnetworksets"): json.dumps(item)})
    text = out(store, "get", "globalnetworkset", "s1", "-o", "json")
    assert json.loads(text)["spec"]["fromTheFuture"] == {"a": 1}
    store.ctl("delete", "globalnetworkset", "s1")


def test_files_directories_and_wrong_paths(store, tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(SETS[0]))
    (tmp_path / "b.json").write_text(json.dumps(SETS[1]))
    (tmp_path / "c.txt").write_text("ignored")
    assert "2 'GlobalNetworkSet' resource(s)" in out(store, "apply", "-f", str(tmp_path))
    assert "2 'GlobalNetworkSet' resource(s)" in out(store, "delete", "-f", str(tmp_path))
    wrong = store.ctl("apply", "-f", "/nonexistent", check=False)
    assert wrong.returncode == 1
    assert "open /nonexistent: no such file or directory" in wrong.stderr.lower()


@pytest.mark.parametrize("arguments", [
    ("get", "foo"), ("get", "nodes", "nope"), ("get",), ("apply",), ("delete",), ("bogus",),
    ("get", "nodes", "-o", "bogus"), ("get", "nodes", "--bogus")])
def test_wrong_use_ends_with_one(store, arguments):
    done = store.ctl(*arguments, check=False)
    assert done.returncode == 1 and (done.stderr or done.stdout)


def test_a_store_that_is_not_there(store):
    argv = [store.binary("margayctl"), "get", "nodes", "--store", "unix:/nonexistent.sock",
            "--request-timeout", "1s"]
    done = store.fabric.typha.run(argv, check=False)
    assert done.returncode == 1 and "/nonexistent.sock" in done.stderr


def test_node_status_without_an_agent(store):
    argv = [store.binary("margayctl"), "node", "status", "--socket", "/nonexistent.sock"]
    done = store.fabric.typha.run(argv, check=False)
    assert done.returncode == 1
    assert "Calico process is not running." in done.stdout + done.stderr
