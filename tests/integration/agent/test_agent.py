"""Agents as processes: what happens to pods when nodes join and leave, and when things die."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.model import keys
from contivpp.store.client import Store
from tests.integration.cluster import TestCluster, cluster_of, eventually, ip
from tests.integration.conftest import Etcd

pytestmark = [pytest.mark.etcd, pytest.mark.root]


@pytest.fixture
def cluster(etcd: Etcd, tmp_path: Path) -> Iterator[TestCluster]:
    with cluster_of(etcd, tmp_path) as made:
        yield made


def lost(running: subprocess.Popen[str]) -> str:
    output, _ = running.communicate(timeout=60)
    return next(line for line in output.splitlines() if "packet loss" in line)


async def test_pods_and_hosts_of_two_nodes_reach_each_other(cluster: TestCluster) -> None:
    one, two = await cluster.up(1, 2)
    a, b, c = cluster.pod("a"), cluster.pod("b"), cluster.pod("c")
    assert (one.add(a), one.add(b), two.add(c)) == ("10.1.1.2", "10.1.1.3", "10.1.2.2")
    assert a.ping(b.address)
    assert a.ping(c.address)
    assert c.ping(a.address)
    assert c.ping(one.address)
    assert one.ping(a.address)
    assert one.ping(c.address)
    assert a.ping("10.1.1.1")


async def test_a_node_that_joins_or_leaves_changes_the_others_without_a_restart(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    a = cluster.pod("a")
    one.add(a)
    [two] = await cluster.up(2)
    c = cluster.pod("c")
    two.add(c)
    assert a.ping(c.address)
    two.kill()
    await cluster.unregister(two, 2)
    eventually(lambda: "10.1.2.0/24" not in ip("route", netns=one.netns))
    assert "vxlanBVI" in ip("-br", "link", netns=one.netns)


async def test_a_killed_agent_comes_back_without_losing_a_packet(cluster: TestCluster) -> None:
    one, two = await cluster.up(1, 2)
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a)
    two.add(c)
    running = a.start_ping(c.address, 5)
    one.kill()
    one.start()
    one.wait_until_ready()
    two.kill()
    two.start()
    two.wait_until_ready()
    assert " 0% packet loss" in lost(running)
    assert one.add(a) == a.address
    assert {event["TxnError"] for event in one.get("controller/event-history")} == {""}
    d = cluster.pod("d")
    assert one.add(d) == "10.1.1.3"


async def test_etcd_may_be_away(cluster: TestCluster) -> None:
    one, two = await cluster.up(1, 2)
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a)
    running = a.start_ping(a.address, 3)
    cluster.etcd.kill()
    two.add(c)
    assert a.ping(c.address)
    one.kill()
    one.start()
    one.wait_until_ready()
    assert " 0% packet loss" in lost(running)
    b = cluster.pod("b")
    assert one.add(b) == "10.1.1.3"
    cluster.etcd.start()
    [three] = await cluster.up(3)
    d = cluster.pod("d")
    three.add(d)
    eventually(lambda: a.ping(d.address) and d.ping(b.address))


async def test_a_node_keeps_its_number_when_etcd_lost_everything(cluster: TestCluster) -> None:
    one, two = await cluster.up(1, 2)
    cluster.etcd.wipe()
    cluster.etcd.start()
    await cluster.register(two, one)
    async with await Store.open(cluster.etcd.config) as store:

        async def ids() -> dict[str, str]:
            items = (await store.get_prefix(keys.prefix("vppnode"))).items
            return {key.rpartition("/")[2]: json.loads(item.value)["name"] for key, item in items.items()}

        for _ in range(150):
            if len(await ids()) == 2:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        assert await ids() == {"1": "node1", "2": "node2"}
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a)
    two.add(c)
    eventually(lambda: a.ping(c.address))


async def test_a_deleted_pod_frees_its_interface_and_its_address_when_its_record_is_gone(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    a, b = cluster.pod("a"), cluster.pod("b")
    one.add(a)
    await cluster.write_pod(a, one)
    eventually(lambda: one.get("scheduler/status") and "default/a" in json.dumps(one.get("contiv/v1/pods")))
    assert one.cni("DEL", a) == (0, None)
    assert one.cni("DEL", a) == (0, None)
    assert a.container_id[:15] not in ip("-br", "link", netns=one.netns)
    held = one.get("contiv/v1/ipam/allocations")["Pods"]
    assert [pod["PodID"]["Name"] for pod in held] == ["a"]
    async with await Store.open(cluster.etcd.config) as store:
        await store.delete(keys.record_key("pod", "default/a"))
    eventually(lambda: one.get("contiv/v1/ipam/allocations")["Pods"] == [])
    assert one.add(b) == "10.1.1.3"


async def test_a_new_sandbox_of_the_same_pod_replaces_the_old_one(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    old, new = cluster.pod("a"), cluster.pod("a")
    address = one.add(old)
    assert one.add(new) == address
    assert one.ping(address)
    assert one.cni("DEL", old) == (0, None)
    assert one.ping(address)


async def test_a_full_subnet_is_said_and_harms_nobody(cluster: TestCluster) -> None:
    cluster.contiv_conf = "ipamConfig: {podSubnetCIDR: 10.1.0.0/16, podSubnetOneNodePrefixLen: 29}"
    [one] = await cluster.up(1)
    pods = [cluster.pod(f"p{number}") for number in range(5)]
    for pod in pods[:4]:
        one.add(pod)
    code, answer = one.cni("ADD", pods[4])
    assert code == 1
    assert "pod default/p4: no IP address is free for allocation in the subnet 10.1.0.8/29" in answer["msg"]
    assert pods[0].ping(pods[3].address)
    assert one.cni("DEL", pods[0]) == (0, None)
    assert one.add(pods[4]) == pods[0].address


async def test_records_that_do_not_decode_are_skipped_counted_and_named(cluster: TestCluster) -> None:
    async with await Store.open(cluster.etcd.config) as store:
        await store.put(keys.record_key("pod", "default/bad"), b"{not json")
        await store.put(keys.record_key("node", "strange"), b'{"addresses": 7}')
    [one] = await cluster.up(1)
    assert one.add(cluster.pod("a")) == "10.1.1.2"
    assert keys.record_key("pod", "default/bad") in one.log()
    assert keys.record_key("node", "strange") in one.log()


async def test_check_finds_what_somebody_broke_and_gc_removes_what_nobody_wants(cluster: TestCluster) -> None:
    [one] = await cluster.up(1)
    a, b = cluster.pod("a"), cluster.pod("b")
    one.add(a)
    one.add(b)
    assert one.cni("CHECK", a, prevResult=a.result) == (0, None)
    ip("route", "del", f"{a.address}/32", netns=one.netns)
    code, answer = one.cni("CHECK", a, prevResult=a.result)
    assert (code, answer["code"]) == (1, 100)
    assert f"linux/route/node/254/{a.address}/32" in answer["msg"]
    valid = [{"containerID": b.container_id, "ifname": "eth0"}]
    assert one.cni("GC", b, **{"cni.dev/valid-attachments": valid}) == (0, None)
    assert [pod["pod"] for pod in one.get("contiv/v1/pods")] == ["default/b"]
    assert one.cni("STATUS", b) == (0, None)


async def test_an_agent_that_waits_for_etcd_says_so_and_adds_come_back_with_code_11(cluster: TestCluster) -> None:
    cluster.etcd.stop()
    one = cluster.node(1)
    one.start()
    eventually(one.socket.exists)
    code, answer = one.cni("ADD", cluster.pod("a"))
    assert (code, answer["code"]) == (1, 11)
    assert "has not read the cluster's state from etcd yet" in answer["msg"]
    code, answer = one.cni("STATUS", cluster.pod("b"))
    assert (code, answer["code"]) == (1, 50)
    assert one.kill(signal.SIGTERM) == 0


async def test_a_node_without_permission_says_so_and_loses_nothing(cluster: TestCluster) -> None:
    one, two = await cluster.up(1, 2)
    a, c = cluster.pod("a"), cluster.pod("c")
    one.add(a)
    two.add(c)
    control = ["etcdctl", "--endpoints", cluster.etcd.endpoint]
    for arguments in (["user", "add", "root:secret"], ["user", "grant-role", "root", "root"], ["auth", "enable"]):
        subprocess.run([*control, *arguments], check=True, capture_output=True)
    one.kill()
    one.start()
    one.wait_until_ready()
    assert "etcd demands authentication and this client has no user" in one.log()
    assert a.ping(c.address)
    b = cluster.pod("b")
    assert one.add(b) == "10.1.1.3"
    subprocess.run([*control, "--user", "root:secret", "auth", "disable"], check=True, capture_output=True)
    [three] = await cluster.up(3)
    d = cluster.pod("d")
    three.add(d)
    eventually(lambda: b.ping(d.address))


async def test_reset_gives_the_node_back_as_it_was(cluster: TestCluster) -> None:
    one = cluster.node(1)
    what = (("-4", "-br", "addr"), ("-4", "route", "show", "table", "all"), ("rule",))
    before = [ip(*arguments, netns=one.netns) for arguments in what]
    await cluster.up(1)
    a = cluster.pod("a")
    one.add(a)
    assert one.kill(signal.SIGTERM) == 0
    command = [
        "contiv-agent",
        "reset",
        "--state-dir",
        str(one.folder / "state"),
        "--node-netns",
        f"/run/netns/{one.netns}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [ip(*arguments, netns=one.netns) for arguments in what] == before


def test_a_wrong_option_is_named_and_nothing_starts(tmp_path: Path) -> None:
    wrong = tmp_path / "contiv.conf"
    wrong.write_text("mtuSiz: 1400\n")
    command = ["contiv-agent", "run", "--contiv-config", str(wrong), "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "mtuSiz" in done.stderr
    assert "mtuSize" in done.stderr
    assert not (tmp_path / "state").exists()
