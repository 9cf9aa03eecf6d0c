"""Which services claim which addresses and ports: an index of the view.

An address and port belong to one service: to the one whose cluster IP it is, for the API server gives that to nobody
else, while anybody may name it as an external one; then, of several that claim them, to the first by "namespace/name";
and to one that names the address before one whose node port happens to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from contivpp.agent.services.frontends import ANYWHERE, claims_of
from contivpp.agent.services.model import Claim, Frontend
from contivpp.model.service import Service

_Rank = tuple[bool, str]
"""A service that claims, the first of which has it: whether it is no cluster IP of its own, and "namespace/name"."""


class Claims:
    """The claims of all services."""

    def __init__(self, services: Mapping[str, Service] | None = None) -> None:
        """Takes all services by "namespace/name"."""
        self._of: dict[str, frozenset[Frontend]] = {}
        self._services: dict[Claim, set[_Rank]] = {}
        self._at: dict[str, int] = {}
        for service, record in (services or {}).items():
            self._replace(service, claims_of(record))

    def copy(self) -> Claims:
        """An independent index with the same contents."""
        twin = Claims()
        twin._of = dict(self._of)
        twin._services = {claim: set(services) for claim, services in self._services.items()}
        twin._at = dict(self._at)
        return twin

    def addresses(self) -> Iterable[str]:
        """Every address that a service claims, in no order."""
        return self._at.keys()

    def put(
        self, service: str, record: Service | None, node_addresses: Callable[[], Iterable[str]]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Takes a service, or with None its deletion.

        Args:
            service: its "namespace/name".
            record: its record.
            node_addresses: says the addresses of node ports, when it is asked.

        Returns:
            The other services that claim what it claimed before or claims now, and the addresses that one of both is
            about, both sorted.
        """
        before, after = self._of.get(service, frozenset()), frozenset() if record is None else claims_of(record)
        if before == after:
            return (), ()
        self._replace(service, after)
        addresses = tuple(node_addresses())
        rivals: set[str] = set()
        for address, protocol, port in {frontend.claim for frontend in before ^ after}:
            places = (address, ANYWHERE) if address != ANYWHERE else (ANYWHERE, *addresses)
            for place in places:
                rivals.update(rival for _, rival in self._services.get((place, protocol, port), ()))
        touched = {frontend.address for frontend in before ^ after if frontend.address != ANYWHERE}
        return tuple(sorted(rivals - {service})), tuple(sorted(touched))

    def owner_of(self, claim: Claim, *, is_node_port: bool) -> str:
        """The service that has an address and port, "" for none.

        Args:
            claim: with an address, also for a node port.
            is_node_port: whether it is asked for a node port at that address.
        """
        if owners := self._services.get(claim):
            return min(owners)[1]
        _, protocol, port = claim
        return min(self._services.get((ANYWHERE, protocol, port), ()), default=(True, ""))[1] if is_node_port else ""

    def _replace(self, service: str, frontends: frozenset[Frontend]) -> None:
        for frontend in self._of.pop(service, frozenset()):
            services = self._services[frontend.claim]
            services.discard(_rank(frontend, service))
            if not services:
                del self._services[frontend.claim]
            self._count(frontend.address, -1)
        if frontends:
            self._of[service] = frontends
        for frontend in frontends:
            self._services.setdefault(frontend.claim, set()).add(_rank(frontend, service))
            self._count(frontend.address, 1)

    def _count(self, address: str, by: int) -> None:
        if address != ANYWHERE:
            self._at[address] = self._at.get(address, 0) + by
            if not self._at[address]:
                del self._at[address]

    def __contains__(self, address: object) -> bool:
        """Whether any service claims an address."""
        return address in self._at


def _rank(frontend: Frontend, service: str) -> _Rank:
    return frontend.kind.is_external, service
