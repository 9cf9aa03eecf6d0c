"""Rule tables of one node in a cluster of 25,000 namespaces, 100,000 pods and 75,000 policies, and one label's change.

Four pods and three policies per namespace: everything is closed in both directions; `web` may be asked by the
clients of its own namespace and of those of the same team; clients may ask `web` of their team and two networks. 110
pods are local, each in another namespace. From the records' JSON, as they come from etcd, to every table, set and
member that the node renders; `decode` and `compute` are parts of it. A change is from the decoded record to the
difference for the data plane: `pod` is a label of a pod anywhere, `member` of one that enters and leaves sets that the
node uses, `local` of a local pod. Memory is the resident set at its peak, with the records themselves.
"""

from __future__ import annotations

import gc
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._common import percentile, report
from contivpp.agent.cluster import decode_all
from contivpp.agent.desired import Desired
from contivpp.agent.pods.api import Sandbox
from contivpp.agent.policies.feature import PoliciesFeature
from contivpp.agent.policies.linux import LinuxPolicies
from contivpp.agent.sharing import Sharing
from contivpp.agent.view import LocalPod, OwnNode, View
from contivpp.model import codec, keys
from contivpp.model.codec import Record
from contivpp.model.config import ContivConfig
from contivpp.model.keys import PodID
from contivpp.model.labels import LabelSelector, sorted_labels
from contivpp.model.namespace import Namespace
from contivpp.model.pod import Container, ContainerPort, Pod
from contivpp.model.policy import (
    EgressRule,
    IngressRule,
    IPBlock,
    Peer,
    Policy,
    PolicyType,
    Port,
    PortNameOrNumber,
    PortType,
)

NAMESPACES = 25_000
PODS_EACH = 4
LOCAL_PODS = 110
TEAM = 10
"""Namespaces of one team."""
CHANGES = 1000
_APPS = ("web", "client", "client", "batch")


def main() -> None:
    """Prints the figures."""
    items = [(keys.record_key(kind, record_id), codec.encode(record)) for kind, record_id, record in _cluster()]
    config = ContivConfig.parse("", node_name="node1")
    gc.collect()
    start, cpu_start = time.perf_counter(), time.process_time()
    records = decode_all(items, Sharing())
    decoded = time.perf_counter()
    view = View(config, config.plan, OwnNode("node1"))
    desired = Desired([PoliciesFeature(LinuxPolicies())])
    for number in range(LOCAL_PODS):
        view.put_pod(_local(number))
    view.replace_records(records)
    desired.resync(view)
    done = time.perf_counter()
    size = {"namespaces": NAMESPACES, "pods": NAMESPACES * PODS_EACH, "policies": NAMESPACES * 3, "local": LOCAL_PODS}
    cpu = time.process_time() - cpu_start
    report("policy_compute.total", done - start, "s", 1, cpu=round(cpu, 2), **size)
    report("policy_compute.decode", decoded - start, "s", 1)
    report("policy_compute.compute", done - decoded, "s", 1)
    report("policy_compute.values", len(desired.values()), "values", 1, sets=len(list(view.policies.sets)))
    report("policy_compute.memory.peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB", 1)
    chance = random.Random(1)
    gc.freeze()
    for name, which in (
        ("pod", lambda: chance.randrange(NAMESPACES * PODS_EACH)),
        ("member", lambda: chance.randrange(LOCAL_PODS) * TEAM * PODS_EACH + 1),
        ("local", lambda: chance.randrange(LOCAL_PODS) * TEAM * PODS_EACH),
    ):
        took, moved = [], 0
        for number in range(CHANGES):
            place = which()
            pod_id, pod = _pod(place, generation=number + 1, app="other" if number % 2 else _APPS[place % PODS_EACH])
            begin = time.perf_counter()
            moved += len(desired.update(view.put_record("pod", pod_id, pod), view))
            took.append((time.perf_counter() - begin) * 1e3)
        for percent in (50, 99):
            report(f"policy_compute.change.{name}.p{percent}", percentile(took, percent), "ms", CHANGES, values=moved)


def _local(number: int) -> LocalPod:
    """The first pod of the first namespace of every team."""
    pod_id, pod = _pod(number * TEAM * PODS_EACH)
    namespace, _, name = pod_id.partition("/")
    container = f"{number:064x}"[::-1]
    sandbox = Sandbox(PodID(name, namespace), container, f"/run/netns/{number}", "eth0")
    return LocalPod(sandbox, (pod.ip_address,))


def _cluster() -> Iterator[tuple[str, str, Record]]:
    for number in range(NAMESPACES):
        name = f"namespace-{number}"
        labels = {"kubernetes.io/metadata.name": name, "team": f"team-{number // TEAM}"}
        yield "namespace", name, Namespace(name=name, label=sorted_labels(labels))
        for policy in _policies(number):
            yield "policy", f"{name}/{policy.name}", policy
    for number in range(NAMESPACES * PODS_EACH):
        yield "pod", *_pod(number)


def _pod(number: int, generation: int = 0, app: str = "") -> tuple[str, Pod]:
    namespace, place = f"namespace-{number // PODS_EACH}", number % PODS_EACH
    name = f"{_APPS[place]}-7d4b9c6f5-{number:05x}"
    labels = {
        "app": app or _APPS[place],
        "generation": str(generation),
        "pod-template-hash": "7d4b9c6f5",
        "tier": "backend",
    }
    return f"{namespace}/{name}", Pod(
        name=name,
        namespace=namespace,
        label=sorted_labels(labels),
        labels=labels,
        ip_address=f"10.{64 + (number >> 16)}.{(number >> 8) & 255}.{number & 255}",
        host_ip_address=f"192.168.{(number // LOCAL_PODS) >> 8}.{(number // LOCAL_PODS) & 255}",
        container=(Container(name="main", port=(ContainerPort(name="http", container_port=8080),)),),
        node_name=f"node-{number // LOCAL_PODS}",
    )


def _policies(number: int) -> Iterator[Policy]:
    namespace = f"namespace-{number}"
    team = LabelSelector(match_label=sorted_labels({"team": f"team-{number // TEAM}"}))
    app = {name: LabelSelector(match_label=sorted_labels({"app": name})) for name in _APPS}
    port = Port(port=PortNameOrNumber(type=PortType.NAME, name="http"))
    yield Policy(name="closed", namespace=namespace, pods=LabelSelector(), policy_type=PolicyType.INGRESS_AND_EGRESS)
    yield Policy(
        name="web",
        namespace=namespace,
        pods=app["web"],
        policy_type=PolicyType.INGRESS,
        ingress_rule=(
            IngressRule(port=(port,), from_=(Peer(pods=app["client"]), Peer(pods=app["client"], namespaces=team))),
        ),
    )
    dns = Port(port=PortNameOrNumber(number=53), protocol="UDP")
    yield Policy(
        name="out",
        namespace=namespace,
        pods=LabelSelector(),
        policy_type=PolicyType.EGRESS,
        egress_rule=(
            EgressRule(port=(port,), to=(Peer(pods=app["web"], namespaces=team),)),
            EgressRule(
                port=(dns,),
                to=(Peer(ip_block=IPBlock(cidr="10.0.0.0/8", except_=("10.9.0.0/16",))),),
            ),
        ),
    )


if __name__ == "__main__":
    main()
