"""A cluster as large as the design aims for, as KSR and the other nodes would write it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from contivpp.model import codec, keys
from contivpp.model.codec import Record
from contivpp.model.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, ObjectReference
from contivpp.model.labels import sorted_labels
from contivpp.model.node import AddressType, Node, NodeAddress, NodeSystemInfo
from contivpp.model.pod import Container, ContainerPort, Pod
from contivpp.model.service import IntOrString, Service, ServicePort
from contivpp.model.vppnode import VppNode
from contivpp.store.client import Store
from contivpp.store.types import split
from tests.integration.cluster import TestCluster, TestNode, TestPod
from tests.integration.conftest import Etcd

NODES = 5_000
PODS = 150_000
SERVICES = 10_000
LOCAL_PODS = 110
ETCD_ARGUMENTS = ("--quota-backend-bytes", str(4 << 30))
CONFIG = """ipamConfig:
  podSubnetCIDR: 10.0.0.0/11
  podSubnetOneNodePrefixLen: 24
  vxlanCIDR: 192.168.0.0/18
  vppHostSubnetCIDR: 172.16.0.0/12
  vppHostSubnetOneNodePrefixLen: 26
"""


def address_of_node(number: int) -> str:
    """The management address of a node, which is also where its tunnels end; node 1 is the one that is measured."""
    return f"10.201.{number >> 8}.{number & 255}"


def node_records(number: int) -> Iterator[tuple[str, Record]]:
    """A Kubernetes node and what it published."""
    name, address = f"node{number}", address_of_node(number)
    yield (
        keys.record_key("node", name),
        Node(
            name=name,
            addresses=(
                NodeAddress(type=AddressType.INTERNAL_IP, address=address),
                NodeAddress(type=AddressType.HOST_NAME, address=name),
            ),
            node_info=NodeSystemInfo(
                machine_ID=f"{number:032x}",
                kernel_version="6.1.0-28-amd64",
                os_image="Debian GNU/Linux 12 (bookworm)",
                kubelet_version="v1.31.2",
                operating_system="linux",
                architecture="amd64",
            ),
            labels={"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone{number % 3}"},
        ),
    )
    yield f"{keys.prefix('vppnode')}{number}", VppNode(id=number, name=name, ip_addresses=(f"{address}/16",))


def pod_record(number: int, node: int, address: str, *, name: str = "", generation: int = 0) -> tuple[str, Pod]:
    """A pod of one of 500 applications; another `generation` has another label."""
    labels = {
        "app.kubernetes.io/name": f"app-{number % 500}",
        "pod-template-hash": f"{number % 500 + 1_000_000 * generation:010x}",
        "tier": "web",
    }
    pod = Pod(
        name=name or f"app-{number % 500}-{number % 500:010x}-{number:05x}",
        namespace="default" if name else f"team-{number % 50}",
        label=sorted_labels(labels),
        ip_address=address,
        host_ip_address=address_of_node(node),
        labels=labels,
        container=(Container(name="main", port=(ContainerPort(name="http", container_port=8080),)),),
        node_name=f"node{node}",
    )
    return keys.record_key("pod", f"{pod.namespace}/{pod.name}"), pod


def remote_pod(number: int, *, generation: int = 0) -> tuple[str, Pod]:
    """One of the pods of all other nodes."""
    others = NODES - 1
    node = number % others + 2
    return pod_record(number, node, f"10.{node >> 8}.{node & 255}.{number // others + 2}", generation=generation)


def service_records(number: int) -> Iterator[tuple[str, Record]]:
    """A service and its endpoints, three pods."""
    name, namespace = f"service-{number}", f"team-{number % 50}"
    yield (
        keys.record_key("service", f"{namespace}/{name}"),
        Service(
            name=name,
            namespace=namespace,
            port=(ServicePort(name="http", protocol="TCP", port=80, target_port=IntOrString(int_val=8080)),),
            selector={"app.kubernetes.io/name": f"app-{number % 500}"},
            cluster_ip=f"10.96.{number >> 8}.{number & 255}",
            service_type="ClusterIP",
        ),
    )
    pods = [remote_pod(number * 3 + one)[1] for one in range(3)]
    yield (
        keys.record_key("endpoints", f"{namespace}/{name}"),
        Endpoints(
            name=name,
            namespace=namespace,
            endpoint_subsets=(
                EndpointSubset(
                    addresses=tuple(
                        EndpointAddress(
                            ip=pod.ip_address,
                            node_name=pod.node_name,
                            target_ref=ObjectReference(kind="Pod", namespace=pod.namespace, name=pod.name),
                        )
                        for pod in pods
                    ),
                    ports=(EndpointPort(name="http", port=8080, protocol="TCP"),),
                ),
            ),
        ),
    )


def everything() -> Iterator[tuple[str, Record]]:
    """All records but those of the measured node's own pods."""
    for number in range(2, NODES + 1):
        yield from node_records(number)
    for number in range(PODS - LOCAL_PODS):
        yield remote_pod(number)
    for number in range(SERVICES):
        yield from service_records(number)


async def fill(etcd: Etcd) -> None:
    """Writes everything."""
    async with await Store.open(etcd.config) as store:
        for batch in split({key: codec.encode(record) for key, record in everything()}):
            await store.commit(batch)


def prepare(cluster: TestCluster) -> tuple[TestNode, list[TestPod]]:
    """The measured node in the full cluster, its agent in sync, with its pods connected and known to Kubernetes."""
    cluster.contiv_conf = CONFIG
    node = cluster.node(1)
    asyncio.run(cluster.register(node))
    asyncio.run(fill(cluster.etcd))
    node.start()
    node.wait_until_ready(180)
    pods = [cluster.pod(f"local-{number}") for number in range(LOCAL_PODS)]
    for pod in pods:
        node.add(pod)
    asyncio.run(_write_local(cluster.etcd, pods))
    return node, pods


def local_pod(number: int, pod: TestPod, *, generation: int = 0) -> tuple[str, Pod]:
    """The record of a pod of the measured node."""
    return pod_record(number, 1, pod.address, name=pod.name, generation=generation)


async def _write_local(etcd: Etcd, pods: list[TestPod]) -> None:
    async with await Store.open(etcd.config) as store:
        for number, pod in enumerate(pods):
            key, record = local_pod(number, pod)
            await store.put(key, codec.encode(record))


def memory(pid: int) -> tuple[float, float]:
    """The resident set of a process now, and the largest it ever was, in MiB."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak = (int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak
