"""External configuration end to end: from etcd and from other programs to the kernel, and across what dies."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from contivpp.agent.external import config_pb2 as _messages
from contivpp.agent.external.server import SERVICE
from contivpp.model import keys
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, TestNode, cluster_of, eventually, ip
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root]

pb: Any = _messages
ROUTE = "linux/route/node/254/10.99.0.0/16/0"
BLACKHOLE = {"to": "10.99.0.0/16", "kind": "blackhole"}


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        yield made


def route(node: TestNode, subnet: str = "10.99.0.0/16") -> str:
    return ip("route", "show", "exact", subnet, netns=node.netns).strip()


def etcd_key(node: TestNode, key: str = ROUTE) -> str:
    return keys.external_prefix(node.name) + key


async def put(cluster: TestCluster, node: TestNode, fields: Any, key: str = ROUTE) -> None:
    """Writes an item into etcd, or with None deletes it."""
    async with await Store.open(cluster.etcd.config) as store:
        if fields is None:
            await store.delete(etcd_key(node, key))
        else:
            raw = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
            await store.put(etcd_key(node, key), raw)


def call(node: TestNode, method: str, message: Any) -> dict[str, tuple[str, str]]:
    """Calls the agent as another program does; returns state and error by key."""
    with grpc.insecure_channel(f"unix://{node.socket.with_name('config.sock')}") as channel:
        answer = channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=type(message).SerializeToString,
            response_deserializer=pb.Outcomes.FromString,
        )(message, timeout=20)
    return {one.key: (one.state, one.error) for one in answer.outcomes}


def items(source: str, fields_by_key: dict[str, Any], withdrawn: tuple[str, ...] = ()) -> Any:
    named = [pb.Item(key=key, value=json.dumps(fields)) for key, fields in fields_by_key.items()]
    return pb.Items(source=source, items=named, withdrawn=withdrawn)


def told(node: TestNode) -> dict[str, dict[str, Any]]:
    """What REST says, by source and key."""
    sources = node.get("contiv/v1/external-config")["sources"]
    return {one["name"]: {item["key"]: item for item in one["items"]} for one in sources}


def healings(node: TestNode) -> list[str]:
    """Descriptions of the transactions that healed something."""
    done = [one.get("Description", "") for one in node.get("scheduler/txn-history")]
    assert done
    return [one for one in done if "healing" in one]


async def test_a_route_in_etcd_under_the_nodes_key_appears_in_the_kernel_changes_and_goes(cluster: TestCluster) -> None:
    one, two = await cluster.up(1, 2)
    await put(cluster, one, BLACKHOLE)
    eventually(lambda: route(one).startswith("blackhole 10.99.0.0/16"))
    await put(cluster, one, {"to": "10.99.0.0/16", "link": "vxlanBVI", "via": "192.168.30.2"})
    eventually(lambda: "via 192.168.30.2 dev vxlanBVI" in route(one))
    assert route(two) == ""
    await put(cluster, one, None)
    eventually(lambda: route(one) == "")
    assert "10.1.2.0/24" in ip("route", netns=one.netns)


async def test_programs_configure_over_grpc_and_a_killed_agent_keeps_it_without_them(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    other = "linux/route/node/100/10.98.0.0/16/7"
    table = {"to": "10.98.0.0/16", "table": 100, "metric": 7, "kind": "unreachable"}
    assert call(one, "Replace", items("bgp", {ROUTE: BLACKHOLE, other: table})) == {
        ROUTE: ("CONFIGURED", ""),
        other: ("CONFIGURED", ""),
    }
    assert route(one).startswith("blackhole")
    seen = ip("-d", "route", "show", "table", "100", netns=one.netns)
    assert "unreachable 10.98.0.0/16" in seen
    assert "metric 7" in seen
    one.kill(signal.SIGKILL)
    assert route(one).startswith("blackhole")
    one.start()
    one.wait_until_ready()
    assert call(one, "Get", pb.Query(source="bgp")) == {ROUTE: ("CONFIGURED", ""), other: ("CONFIGURED", "")}
    done = one.get("scheduler/txn-history")
    assert done
    assert [transaction for transaction in done if transaction.get("Executed")] == []  # all was there
    assert call(one, "Replace", items("bgp", {other: table})) == {other: ("CONFIGURED", "")}
    assert route(one) == ""
    call(one, "Update", items("bgp", {}, (other,)))
    assert "unreachable" not in ip("route", "show", "table", "100", netns=one.netns)
    assert told(one) == {}


async def test_every_kind_of_value_reads_back_as_it_was_asked_for(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    pod = cluster.pod("a")
    mac = "02:00:00:00:0A:0"
    wanted = {
        "linux/link/pair": {
            **{"name": "pair", "host_name": "pair0", "peer_name": "pair1", "netns": pod.netns, "mtu": 1300},
            **{"mac": f"{mac}1", "peer_mac": f"{mac}2"},
        },
        "linux/link/tunnel": {
            **{"name": "tunnel", "host_name": "tunnel0", "vni": 77, "local": one.address, "port": 4790},
            **{"mac": f"{mac}3", "mtu": 1450},
        },
        "linux/address/pair/10.93.0.1/24": {"link": "pair", "address": "10.93.0.1/24"},
        "linux/address/pair@pod/10.93.0.2/24": {"link": "pair@pod", "address": "10.93.0.2/24"},
        "linux/address/lo/10.92.0.1/32": {"link": "lo", "address": "10.92.0.1/32"},
        "linux/address/pair/fd93::1/64": {"link": "pair", "address": "fd93::1/64"},
        ROUTE: {"to": "10.99.0.0/16", "link": "pair", "via": "10.93.0.2", "source": "10.92.0.1", "metric": 0},
        "linux/route/node/254/10.98.0.0/16/5": {"to": "10.98.0.0/16", "link": "tunnel", "metric": 5},
        "linux/route/pair@pod/254/0.0.0.0/0/0": {"to": "0.0.0.0/0", "link": "pair@pod", "via": "10.93.0.1"},
        "linux/route/node/1000/fd99::/16/0": {"to": "fd99::/16", "link": "pair", "via": "fd93::2", "table": 1000},
        "linux/route/node/254/fd98::/16/0": {"to": "fd98::/16", "link": "pair"},
        "linux/neighbour/pair/10.93.0.9": {"link": "pair", "address": "10.93.0.9", "mac": f"{mac}4"},
        "linux/fdb/tunnel/02:00:00:00:0a:05": {
            **{"link": "tunnel", "mac": "02:00:00:00:0a:05", "destination": "10.201.0.9"}
        },
        "linux/rule/7000/10.93.0.0/24/all": {"priority": 7000, "source": "10.93.0.0/24", "table": 1000},
        "linux/rule/7001/all/fd99::/16": {"priority": 7001, "destination": "fd99::/16", "table": 1000},
        "linux/sysctl/net.ipv4.tcp_rmem": {"name": "net.ipv4.tcp_rmem", "value": "4096 131072 6000000"},
        "linux/sysctl/net.ipv4.conf.pair0.rp_filter": {"name": "net.ipv4.conf.pair0.rp_filter", "value": "2"},
    }
    call(one, "Replace", items("all", wanted))
    eventually(lambda: {item["state"] for item in told(one)["all"].values()} == {"CONFIGURED"})
    assert pod.ping("10.92.0.1")
    before = one.get("scheduler/txn-history")[-1]["SeqNum"]
    one.post("scheduler/downstream-resync")
    eventually(lambda: one.get("scheduler/txn-history")[-1]["SeqNum"] > before)
    last = one.get("scheduler/txn-history")[-1]
    assert (last.get("Executed") or [], last.get("Errors") or {}) == ([], {}), one.log()
    assert call(one, "Replace", items("all", {})) == {}
    assert told(one) == {}
    assert "pair0" not in ip("-br", "link", netns=one.netns)
    assert "10.92.0.1" not in ip("addr", netns=one.netns)
    gone = one.get("scheduler/txn-history")[-1]["SeqNum"]
    one.post("scheduler/downstream-resync")
    eventually(lambda: one.get("scheduler/txn-history")[-1]["SeqNum"] > gone)
    assert (one.get("scheduler/txn-history")[-1].get("Executed") or []) == []


async def test_what_is_said_before_the_agent_knows_the_cluster_is_kept_and_applied_once_it_does(
    cluster: TestCluster,
) -> None:
    cluster.etcd.stop()
    one = cluster.node(1)
    one.start()
    eventually(one.socket.with_name("config.sock").exists)
    [(state, error)] = call(one, "Update", items("me", {ROUTE: BLACKHOLE})).values()
    assert state == "NONEXISTENT"
    assert error.startswith("kept, and not applied yet: ")
    one.kill()
    cluster.etcd.start()
    await cluster.up(1)
    assert route(one).startswith("blackhole")


async def test_several_sources_and_the_agent_share_a_key(cluster: TestCluster) -> None:
    cluster.contiv_conf = "mtuSize: 1400"
    [one] = await cluster.up(1)
    tunnel = "linux/link/vxlanBVI"

    def mtu() -> str:
        return ip("-o", "link", "show", "vxlanBVI", netns=one.netns).partition("mtu ")[2].partition(" ")[0]

    assert mtu() == "1400"
    await put(cluster, one, {"mtu": 1380}, tunnel)
    eventually(lambda: mtu() == "1380")
    assert call(one, "Update", items("ops", {tunnel: {"mtu": 1360}})) == {tunnel: ("CONFIGURED", "")}
    assert mtu() == "1360"
    call(one, "Update", items("ops", {}, (tunnel,)))
    assert mtu() == "1380"
    await put(cluster, one, None, tunnel)
    eventually(lambda: mtu() == "1400")
    assert healings(one) == []


async def test_etcd_may_be_away_and_its_items_stay_across_a_restart(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    await put(cluster, one, BLACKHOLE)
    eventually(lambda: route(one).startswith("blackhole"))
    cluster.etcd.kill()
    one.kill()
    ip("route", "del", "blackhole", "10.99.0.0/16", netns=one.netns)
    one.start()
    one.wait_until_ready()
    assert route(one).startswith("blackhole")
    assert told(one)["db"][ROUTE]["state"] == "CONFIGURED"
    cluster.etcd.start()
    await put(cluster, one, None)
    eventually(lambda: route(one) == "")


async def test_what_was_deleted_in_etcd_while_the_agent_was_down_goes(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    await put(cluster, one, BLACKHOLE)
    eventually(lambda: route(one).startswith("blackhole"))
    one.kill()
    await put(cluster, one, None)
    one.start()
    one.wait_until_ready()
    assert route(one) == ""
    assert told(one) == {}


@pytest.mark.parametrize(
    ("key", "fields", "problem"),
    [
        (ROUTE, b"{not json", "is not JSON"),
        (ROUTE, {"to": "10.99.0.0/16", "kidn": "blackhole"}, "field kidn is unknown; did you mean kind?"),
        (ROUTE, {"to": "10.97.0.0/16", "kind": "blackhole"}, "its fields make the key"),
        ("linux/cake/1", {}, "the data plane has no values under this key"),
        ("linux/sysctl/.etc.passwd", {"name": ".etc.passwd", "value": "x"}, "is not a setting of the network"),
    ],
)
async def test_a_bad_item_is_named_and_harms_nothing(cluster: TestCluster, key: str, fields: Any, problem: str) -> None:
    [one] = await cluster.up(1)
    if key == ROUTE:
        await put(cluster, one, BLACKHOLE)
        eventually(lambda: route(one).startswith("blackhole"))
    await put(cluster, one, fields, key)
    eventually(lambda: told(one).get("db", {}).get(key, {}).get("refused"))
    entry = told(one)["db"][key]
    assert problem in entry["error"]
    assert entry["error"].startswith(etcd_key(one, key))
    assert problem in one.log()
    if key == ROUTE:
        assert (entry["state"], entry["value"]) == ("CONFIGURED", BLACKHOLE)
    one.kill()
    one.start()
    one.wait_until_ready()
    assert told(one)["db"][key] == entry
    assert route(one).startswith("blackhole" if key == ROUTE else "")
    assert one.add(cluster.pod("a")) == "10.1.1.2"


async def test_what_the_kernel_refuses_and_what_waits_fails_no_pod_and_heals_nothing(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    a = cluster.pod("a")
    link = a.container_id[:11]
    one.add(a)
    names = [one_link["value"]["key"] for one_link in one.get("scheduler/status?key-prefix=linux/link/")]
    logical = next(key for key in names if "vxlan" not in key).removeprefix("linux/link/")
    assert link in logical
    waiting = {"to": "10.96.0.0/16", "link": "nowhere"}
    source = {"to": "10.95.0.0/16", "link": logical, "source": "10.94.0.1"}  # no address of this node
    assert call(
        one,
        "Update",
        items("me", {"linux/route/node/254/10.96.0.0/16/0": waiting, "linux/route/node/254/10.95.0.0/16/0": source}),
    ) == {
        "linux/route/node/254/10.96.0.0/16/0": ("PENDING", "waits for link"),
        "linux/route/node/254/10.95.0.0/16/0": ("RETRYING", "Invalid argument (EINVAL): Invalid prefsrc address"),
    }
    assert one.cni("DEL", a) == (0, None)
    one.add(a)
    assert one.ping(a.address)
    assert one.get("readiness")["state"] == 1
    assert healings(one) == []
    assert told(one)["me"]["linux/route/node/254/10.95.0.0/16/0"]["state"] in ("RETRYING", "FAILED")
