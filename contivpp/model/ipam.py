"""Addresses of the pods of one node: who has which, and who gets the next.

State without input or output; the controller feeds it. The search starts after the address that was given
last, so that an address is not used again at once. Source: spec/agent.md 7.3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from contivpp.model.addressplan import Address, AddressPlan, Network
from contivpp.model.keys import PodID

_GATEWAY = 1
_WIDEST_BITS = 63
_COMPARED_BITS = 32
_NODE_BITS = 16


class AddressesExhausted(Exception):
    """Every address of a node's subnet is taken.

    Attributes:
        subnet: of the node's pods.
        capacity: how many pods it has addresses for.
    """

    def __init__(self, subnet: Network, capacity: int) -> None:
        super().__init__(
            f"no IP address is free for allocation in the subnet {subnet}: all {capacity} are taken; "
            "delete pods of this node, or give nodes larger subnets with ipamConfig.podSubnetOneNodePrefixLen"
        )
        self.subnet = subnet
        self.capacity = capacity


class AddressPool:
    """The addresses of a node's pods in one IP family."""

    def __init__(self, plan: AddressPlan, node_id: int) -> None:
        """Starts with none given.

        Raises:
            AddressPlanError: the plan has no pods' subnet for the node.
        """
        self.subnet = plan.pod_subnet(node_id)
        bits = min(self.subnet.max_prefixlen - self.subnet.prefixlen, _WIDEST_BITS)
        self._highest = (1 << bits) - 3  # the last two are the NAT loopback and the broadcast address
        self._start = _start(self.subnet, node_id)
        self._last = self._start
        self._number_of: dict[PodID, int] = {}
        self._pod_at: dict[int, PodID] = {}

    @property
    def capacity(self) -> int:
        """How many pods can have an address at once."""
        return max(self._highest - _GATEWAY, 0)

    def allocate(self, pod: PodID) -> Address:
        """The pod's address: the one it has, else the next free one.

        Raises:
            AddressesExhausted: names the subnet and what to do.
        """
        if pod in self._number_of:
            return self.subnet[self._number_of[pod]]
        if len(self._pod_at) >= self.capacity:
            raise AddressesExhausted(self.subnet, self.capacity)
        number = self._after(self._last)
        while number in self._pod_at:
            number = self._after(number)
        self._last = number
        self._set(pod, number)
        return self.subnet[number]

    def has(self, pod: PodID) -> bool:
        """Whether the pod has an address."""
        return pod in self._number_of

    def adopt(self, pod: PodID, address: str) -> bool:
        """Records an address that a pod has already; returns False when another pod has it or it is not ours.

        Of two claims to an address the first one counts, so callers bring what they trust most first; of two
        addresses of a pod the last one counts.
        """
        number = self._number(address)
        if number is None or self._pod_at.get(number, pod) != pod:
            return False
        self.release(pod)
        self._set(pod, number)
        self._last = max(self._last, number)
        return True

    def release(self, pod: PodID) -> None:
        """Frees the pod's address; a pod without one is fine."""
        number = self._number_of.pop(pod, None)
        if number is not None:
            del self._pod_at[number]

    def rebuild(self, pods: Iterable[tuple[PodID, str]]) -> None:
        """Forgets everything and learns what pods have; addresses of other nodes are ignored."""
        self._number_of.clear()
        self._pod_at.clear()
        self._last = self._start
        for pod, address in pods:
            self.adopt(pod, address)

    def owner(self, address: str) -> PodID | None:
        """The pod that has the address."""
        number = self._number(address)
        return None if number is None else self._pod_at.get(number)

    def allocations(self) -> Mapping[PodID, Address]:
        """Every address that is given, by pod."""
        return {pod: self.subnet[number] for pod, number in self._number_of.items()}

    def _after(self, number: int) -> int:
        return number + 1 if number < self._highest else _GATEWAY + 1

    def _set(self, pod: PodID, number: int) -> None:
        self._number_of[pod] = number
        self._pod_at[number] = pod

    def _number(self, text: str) -> int | None:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        if address not in self.subnet:
            return None
        number = int(address) - int(self.subnet.network_address)
        return number if _GATEWAY < number <= self._highest else None


def _start(subnet: Network, node_id: int) -> int:
    """The number after which the first address is given.

    No two pods of a cluster may end in the same 32 bits: VPP takes two IPv6 addresses that do for one and the same
    (docs/vpp-services.md). Where a node's part of the subnet is wider than that, the node's ID is in the bits as well.
    """
    is_wide = subnet.max_prefixlen - subnet.prefixlen >= _COMPARED_BITS
    return _GATEWAY + (node_id % (1 << _NODE_BITS) << _NODE_BITS if is_wide else 0)


class PodAddresses:
    """The addresses of a node's pods: one of every family of the plan each."""

    def __init__(self, plan: AddressPlan, node_id: int) -> None:
        """Starts with none given.

        Raises:
            AddressPlanError: the plan has no pods' subnet for the node.
        """
        self._pools = tuple(AddressPool(family, node_id) for family in plan.families)

    @property
    def capacity(self) -> int:
        """How many pods can have addresses at once."""
        return min(pool.capacity for pool in self._pools)

    def allocate(self, pod: PodID) -> tuple[Address, ...]:
        """The pod's addresses, in the order of the families: those that it has, else the next free ones.

        Raises:
            AddressesExhausted: names the subnet and what to do; then the pod has what it had before.
        """
        given: list[Address] = []
        fresh: list[AddressPool] = []
        try:
            for pool in self._pools:
                if not pool.has(pod):
                    fresh.append(pool)
                given.append(pool.allocate(pod))
        except AddressesExhausted:
            for pool in fresh:
                pool.release(pod)
            raise
        return tuple(given)

    def adopt(self, pod: PodID, addresses: Iterable[str]) -> None:
        """Records addresses that a pod has already; see `AddressPool.adopt`."""
        for address in addresses:
            for pool in self._pools:
                pool.adopt(pod, address)

    def release(self, pod: PodID) -> None:
        """Frees the pod's addresses; a pod without any is fine."""
        for pool in self._pools:
            pool.release(pod)

    def rebuild(self, pods: Iterable[tuple[PodID, Sequence[str]]]) -> None:
        """Forgets everything and learns what pods have; addresses of other nodes are ignored."""
        known = list(pods)
        for pool in self._pools:
            pool.rebuild((pod, address) for pod, addresses in known for address in addresses)

    def owner(self, address: str) -> PodID | None:
        """The pod that has the address."""
        return next((pod for pool in self._pools if (pod := pool.owner(address)) is not None), None)

    def allocations(self) -> Mapping[PodID, tuple[Address, ...]]:
        """Every address that is given, by pod."""
        held: dict[PodID, tuple[Address, ...]] = {}
        for pool in self._pools:
            for pod, address in pool.allocations().items():
                held[pod] = (*held.get(pod, ()), address)
        return held
