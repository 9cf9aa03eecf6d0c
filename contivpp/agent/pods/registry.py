"""The sandboxes of this node and their addresses: state that the controller owns.

What was connected is kept in a local file before the kubelet is answered, so that a restarted agent knows its
pods without asking anybody. An address is free again when neither a sandbox nor the pod's record needs it:
the record, because the kubelet may connect the same pod anew; the sandbox, because packets still flow.
Source: spec/agent.md 5, 7.3.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from contivpp.agent.changes import Change
from contivpp.agent.connectivity.pods import LocalPodUnit
from contivpp.agent.events import answer, fail
from contivpp.agent.pods.api import Attachment, NotReadyError, PodAddress, PodError, Sandbox
from contivpp.agent.policies.feature import PodPoliciesUnit, PoliciesFeature
from contivpp.agent.view import LocalPod, View
from contivpp.model.addressplan import EVERYTHING
from contivpp.model.ipam import AddressesExhausted, PodAddresses
from contivpp.model.keys import PodID
from contivpp.scheduler.state import IN_PLACE

if TYPE_CHECKING:
    from contivpp.agent.controller import Controller

log = logging.getLogger(__name__)


class KeptTable(Protocol):
    """What is needed of the local file: JSON records by key, written before the call returns."""

    def load(self) -> Mapping[str, bytes]:
        """Everything that is kept."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Keeps a record."""
        ...

    def delete(self, key: str) -> None:
        """Forgets a record."""
        ...


class KeptPod(msgspec.Struct, frozen=True, omit_defaults=True):
    """A local pod as it is kept in the file; `address` is its first, `others` come after it."""

    name: str
    namespace: str
    container_id: str
    netns: str
    interface: str
    address: str
    others: tuple[str, ...] = ()


class PodRegistry:
    """Connects and disconnects sandboxes, and gives them addresses."""

    def __init__(
        self, kept: KeptTable, *, mtu_of: Callable[[View], int], host_interface_of: Callable[[str], str]
    ) -> None:
        """Takes the local file, and what the data plane makes of pods.

        Args:
            kept: the table of the local file.
            mtu_of: the pods' MTU in bytes.
            host_interface_of: the kernel's name of the node's end of the link to a container, "" for none.
        """
        self._kept = kept
        self._mtu_of = mtu_of
        self.host_interface_of = host_interface_of
        self.addresses: PodAddresses | None = None
        self._node_id = 0

    def load(self, view: View) -> None:
        """Recalls the sandboxes of the last run; those whose namespace is gone went with a reboot."""
        for key, value in self._kept.load().items():
            try:
                kept = msgspec.json.decode(value, type=KeptPod)
            except msgspec.DecodeError as error:
                log.warning("forgot a local pod whose record %s does not decode: %s", key, error)
                self._kept.delete(key)
                continue
            if not Path(kept.netns).exists():
                log.info("forgot pod %s/%s: its namespace %s is gone", kept.namespace, kept.name, kept.netns)
                self._kept.delete(key)
                continue
            pod = PodID(name=kept.name, namespace=kept.namespace)
            sandbox = Sandbox(pod, kept.container_id, kept.netns, kept.interface)
            view.put_pod(LocalPod(sandbox, (kept.address, *kept.others)))

    def rebuild(self, view: View) -> None:
        """Learns every address in use from the cluster's records and the local sandboxes."""
        if self.addresses is None or self._node_id != view.own.id:
            self.addresses = PodAddresses(view.plan, view.own.id)
            self._node_id = view.own.id
            self.addresses.rebuild(
                (PodID(name=record.name, namespace=record.namespace), record.ip_addresses or (record.ip_address,))
                for record in view.records("pod")
                if record.ip_address and record.ip_address != record.host_ip_address
            )
        for pod in view.pods.values():
            self.addresses.adopt(pod.id, pod.addresses)

    def record_deleted(self, view: View, record_id: str) -> None:
        """Kubernetes knows the pod no more: its address is free, unless packets still flow to its sandbox."""
        namespace, _, name = record_id.partition("/")
        self._release_unneeded(view, PodID(name=name, namespace=namespace))

    def find(self, view: View, sandbox: Sandbox) -> list[LocalPod]:
        """The local pod that `sandbox` names, by its container; an obsolete or unknown one names nothing."""
        return [
            pod
            for pod in view.pods.values()
            if pod.sandbox.container_id == sandbox.container_id and pod.sandbox.interface in (sandbox.interface, "")
        ]

    def disconnect(self, view: View, leaving: Sequence[LocalPod]) -> list[Change]:
        """Forgets sandboxes; returns what that changed."""
        changes: list[Change] = []
        for pod in leaving:
            changes += view.remove_pod(pod.id)
            self._kept.delete(str(pod.id))
            self._release_unneeded(view, pod.id)
        return changes

    async def connect(
        self, controller: Controller, sandbox: Sandbox, done: asyncio.Future[Attachment]
    ) -> tuple[int, Mapping[str, str]]:
        """Connects a sandbox, all or nothing, and answers `done`.

        An older sandbox of the same pod is disconnected in the same transaction; the pod keeps its address.
        """
        view = controller.view
        if self.addresses is None or not controller.ready.is_set():
            fail(done, NotReadyError(f"pod {sandbox.pod}: the agent is not in sync yet; try again"))
            return 0, {}
        previous = view.pods.get(sandbox.pod)
        try:
            addresses = self.addresses.allocate(sandbox.pod)
        except AddressesExhausted as error:
            fail(done, PodError(f"pod {sandbox.pod}: {error}"))
            return 0, {str(sandbox.pod): str(error)}
        pod = LocalPod(sandbox, tuple(map(str, addresses)))
        changes = view.put_pod(pod)
        changed, errors = await controller.transact(changes, f"add pod {sandbox.pod}", revert=True)
        problem = "; ".join(f"{key}: {error}" for key, error in errors.items()) or self._pending(controller, pod)
        if problem:
            if previous is None:
                back = view.remove_pod(sandbox.pod)
                self._release_unneeded(view, sandbox.pod)
            else:
                back = view.put_pod(previous)
            await controller.take_back(back, f"revert pod {sandbox.pod}")
            fail(done, PodError(f"pod {sandbox.pod} could not be connected: {problem}"))
            return changed, errors or {str(sandbox.pod): problem}
        self._keep(pod)
        answer(done, self.attachment(view, pod))
        return changed, errors

    def attachment(self, view: View, pod: LocalPod) -> Attachment:
        """What the kubelet is told of a connected pod."""
        pod_mac, host_mac = view.plan.pod_macs(pod.sandbox.container_id)
        given, routes = [], []
        for address in pod.addresses:
            family = view.plan.of(ipaddress.ip_address(address).version)
            if family is not None:
                gateway = str(family.pod_gateway(view.own.id))
                given.append(PodAddress(str(ipaddress.ip_interface(address)), gateway))
                routes.append((EVERYTHING[family.version], gateway))
        return Attachment(
            sandbox=pod.sandbox,
            mac=pod_mac,
            host_interface=self.host_interface_of(pod.sandbox.container_id),
            host_mac=host_mac,
            addresses=tuple(given),
            routes=tuple(routes),
            mtu=self._mtu_of(view),
        )

    def keys_of(self, controller: Controller, pod: LocalPod) -> Iterable[str]:
        """The keys of the values that connect `pod`, and of those that say who may reach it."""
        desired = controller.desired
        yield from desired.keys_of("local-pods", LocalPodUnit(pod.id))
        yield from desired.keys_of(PoliciesFeature.name, PodPoliciesUnit(pod.id))

    def _pending(self, controller: Controller, pod: LocalPod) -> str:
        scheduler = controller.scheduler
        waiting = [key for key in self.keys_of(controller, pod) if scheduler.state_of(key) not in IN_PLACE]
        if not waiting:
            return ""
        troubles = scheduler.troubles()
        said = [f"{key}: {troubles[key]}" for key in waiting if key in troubles]
        return "; ".join((f"{len(waiting)} of its values are not configured", *said))

    def _keep(self, pod: LocalPod) -> None:
        kept = KeptPod(
            name=pod.id.name,
            namespace=pod.id.namespace,
            container_id=pod.sandbox.container_id,
            netns=pod.sandbox.netns,
            interface=pod.sandbox.interface,
            address=pod.addresses[0],
            others=pod.addresses[1:],
        )
        self._kept.put(str(pod.id), msgspec.json.encode(kept))

    def _release_unneeded(self, view: View, pod: PodID) -> None:
        if self.addresses is not None and pod not in view.pods and view.record("pod", str(pod)) is None:
            self.addresses.release(pod)
