"""Addresses of links: all on links of ours, and on the loopback those that carry our protocol number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.dataplane.linux import messages
from contivpp.dataplane.linux.kernel import Kernel
from contivpp.dataplane.linux.values import LOOPBACK, Address, link_key
from contivpp.scheduler.api import Dependency, Observed, Operation, OperationKind, Outcome

_GLOBAL_SCOPE = 0


class AddressDescriptor:
    """Addresses of the node and of its pods."""

    name = "linux-address"
    prefix = Address.prefix

    def __init__(self, kernel: Kernel) -> None:
        """Takes the node's kernel."""
        self._kernel = kernel

    def dependencies(self, key: str, address: Address) -> Iterable[Dependency]:
        """The link."""
        if needed := link_key(address.link):
            yield Dependency("link", needed)

    def derived(self, key: str, address: Address) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One burst per namespace."""
        return self._kernel.send(
            operations,
            lambda address: address.link,
            lambda operation, index: messages.address(
                index, operation.value.address, delete=operation.kind is OperationKind.DELETE
            ),
        )

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every address of ours."""
        look = await self._kernel.look()
        names = look.names()
        found: dict[str, Observed] = {}
        for netns, item in ((netns, item) for netns, tables in look.tables.items() for item in tables.addresses):
            link = names.get((netns, item["index"]))
            if link is None and not netns and item["index"] == 1 and item.get_attr("IFA_PROTO") == messages.PROTOCOL:
                link = LOOPBACK
            if link is None or item["scope"] != _GLOBAL_SCOPE:
                continue
            text = item.get_attr("IFA_LOCAL") or item.get_attr("IFA_ADDRESS")
            value = Address(link=link, address=f"{text}/{item['prefixlen']}")
            found[value.key] = Observed(value)
        return found
