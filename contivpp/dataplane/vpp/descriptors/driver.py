"""What the descriptors of VPP share: the connection, the interfaces by name, and how operations become requests.

VPP carries out the requests of one socket in their order, so the requests of a batch go out in one pipeline. An
operation has failed when any of its requests has.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from contivpp.dataplane.vpp.api.client import Vpp
from contivpp.dataplane.vpp.api.connection import Connection, Fields
from contivpp.dataplane.vpp.api.errors import VppDown, VppError, VppRefused
from contivpp.dataplane.vpp.contract.check import differences
from contivpp.dataplane.vpp.contract.model import Contract
from contivpp.dataplane.vpp.descriptors import names
from contivpp.scheduler.api import DONE, Operation, OperationKind, Outcome

NO_INTERFACE: Final = names.NO_INTERFACE
TAG: Final = names.TAG
"""What the tags of everything that is ours start with, before the logical name."""
_DUMPS: Final = 64  # that may be under way at once
Request = tuple[str, Fields]


class Driver:
    """The VPP of a node, for descriptors."""

    def __init__(self, vpp: Vpp, *, link_key: Callable[[str], str] | None = None) -> None:
        """Takes the client, and the key that is available while the kernel has a link with a name, if anybody says."""
        self._vpp = vpp
        self._reading: asyncio.Task[list[Any]] | None = None
        self._read_from: Connection | None = None
        self._compared_with: Connection | None = None
        self._lacking: dict[int, tuple[Contract, list[str]]] = {}
        self.interfaces = names.Interfaces()
        self.link_key = link_key

    @property
    def connection(self) -> Connection:
        """The open connection.

        Raises:
            VppDown: there is none.
        """
        return self._vpp.connection

    async def read_interfaces(self) -> list[Any]:
        """Every interface with our tag, and from then on their numbers; who asks meanwhile shares the answer.

        Every `retrieve` starts with this: all descriptors read at once, in no order.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_interfaces(), name="vpp-interfaces")
        return await asyncio.shield(self._reading)

    async def prepare(self) -> None:
        """Reads the interfaces, if this VPP's were never read: another one's numbers mean something else here.

        Raises:
            VppDown: there is no VPP.
        """
        if self._read_from is not self.connection:
            await self.read_interfaces()

    def known_names(self) -> Mapping[int, str]:
        """The logical names of this VPP's interfaces by number, as far as they were made or read."""
        try:
            return self.interfaces.by_number() if self._read_from is self.connection else {}
        except VppDown:
            return {}

    async def _read_interfaces(self) -> list[Any]:
        connection = self.connection
        ours = self.interfaces.replace(await connection.dump("sw_interface_dump"))
        self._read_from = connection
        return ours

    def lacks(self, needs: Contract) -> list[str]:
        """What this VPP does not have of a part of the contract, for people; each part is looked at once.

        Raises:
            VppDown: there is no VPP.
        """
        connection = self.connection
        if self._compared_with is not connection:
            self._compared_with, self._lacking = connection, {}
        if id(needs) not in self._lacking:
            self._lacking[id(needs)] = (needs, differences(needs, connection.definitions))
        return self._lacking[id(needs)][1]

    async def dumps(self, requests: Sequence[Request]) -> list[list[Any]]:
        """What each of many dumps lists, asked for in a pipeline; raises as `Connection.dump` does."""
        found: list[list[Any]] = []
        for start in range(0, len(requests), _DUMPS):
            asked = (self.connection.dump(name, **fields) for name, fields in requests[start : start + _DUMPS])
            for answer in await asyncio.gather(*asked, return_exceptions=True):  # else an error hides a cancellation
                if isinstance(answer, BaseException):
                    raise answer
                found.append(answer)
        return found

    async def apply(
        self,
        operations: Sequence[Operation],
        requests_of: Callable[[Operation], Iterable[Request] | None],
        *,
        gone: Iterable[str] = (),
        updates: bool = True,
        answered: Callable[[Operation, Any], None] | None = None,
    ) -> list[Outcome]:
        """Carries out a batch in one pipeline.

        Args:
            operations: what to do.
            requests_of: the requests of one of them, None for an update that VPP cannot do; may raise VppError or
                ValueError.
            gone: VPP's names of errors that mean, for a delete, that there is nothing left to delete.
            updates: whether VPP can change such a value; else one that differs is made anew.
            answered: told of every reply that is not an error: VPP's numbers of what was made are in there.
        """
        if not updates and any(operation.kind is OperationKind.UPDATE for operation in operations):
            return [Outcome(recreate=True)] * len(operations)
        try:
            await self.prepare()
        except VppError as error:
            return [Outcome(error=str(error))] * len(operations)
        requests: list[Request] = []
        owners: list[int] = []
        outcomes = [DONE] * len(operations)
        for position, operation in enumerate(operations):
            try:
                own = requests_of(operation)
            except (VppError, ValueError) as error:
                outcomes[position] = Outcome(error=str(error))
                continue
            if own is None:
                outcomes[position] = Outcome(recreate=True)
                continue
            before = len(requests)
            requests += own
            owners += [position] * (len(requests) - before)
        try:
            replies = await self.connection.batch(requests)
        except VppDown as error:
            return [Outcome(error=str(error))] * len(operations)
        harmless = set(gone)
        for position, reply in zip(owners, replies, strict=True):
            if not isinstance(reply, VppRefused):
                if answered is not None:
                    answered(operations[position], reply)
                continue
            if outcomes[position].error:
                continue
            if operations[position].kind is OperationKind.DELETE and reply.name in harmless:
                continue
            outcomes[position] = Outcome(error=str(reply))
        return outcomes


class DriverDescriptor:
    """What all descriptors of VPP have in common."""

    def __init__(self, driver: Driver) -> None:
        """Takes the VPP of the node."""
        self._driver = driver

    def derived(self, key: str, value: Any) -> Mapping[str, Any]:
        """Nothing."""
        return {}


class RequestOf(Protocol):
    """Makes the request that adds a value, or takes it away."""

    def __call__(self, value: Any, *, add: bool) -> Request:
        """The request."""
        ...


def replacing(operation: Operation, request_of: RequestOf) -> list[Request]:
    """The requests for a value that VPP adds and takes away whole: an update is both."""
    requests = []
    if operation.kind is not OperationKind.CREATE:
        requests.append(request_of(operation.previous, add=False))
    if is_add(operation):
        requests.append(request_of(operation.value, add=True))
    return requests


def is_add(operation: Operation) -> bool:
    """Whether an operation puts something, rather than taking it away."""
    return operation.kind is not OperationKind.DELETE


def prefix_of(subnet: Any) -> dict[str, Any]:
    """An ipaddress network as VPP's prefix."""
    return {"address": address_of(subnet.network_address), "len": subnet.prefixlen}


def interface_prefix_of(interface: Any) -> dict[str, Any]:
    """An ipaddress interface (address with prefix length) as VPP's address with prefix."""
    return {"address": address_of(interface.ip), "len": interface.network.prefixlen}


def address_of(address: Any) -> dict[str, Any]:
    """An ipaddress address as VPP's address."""
    return {"af": 0 if address.version == 4 else 1, "un": union_of(address)}


def union_of(address: Any) -> dict[str, Any]:
    """An ipaddress address as VPP's union of both families."""
    return {"ip4" if address.version == 4 else "ip6": address.packed}


def path_of(number: int, via: str, version: int) -> dict[str, Any]:
    """A path out of an interface, as VPP has it: to a next hop, "" for whoever is there."""
    path: dict[str, Any] = {"sw_if_index": number, "weight": 1, "proto": 0 if version == 4 else 1}
    if via:
        path["nh"] = {"address": union_of(ipaddress.ip_address(via))}
    return path


def hop_of(path: Any) -> str:
    """The next hop of a path; "" when there is none."""
    union = path.nh.address
    hop = ipaddress.ip_address(union.ip6 if path.proto else union.ip4)
    return "" if hop.is_unspecified else str(hop)
