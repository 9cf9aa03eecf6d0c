"""Which links the node has, by their kernel names: for what is attached to one of them, whoever made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.dataplane.linux.kernel import Kernel, parse_alias
from contivpp.dataplane.linux.values import LinkName
from contivpp.scheduler.api import DONE, Dependency, Observed, Operation, Outcome


class LinkNameDescriptor:
    """Names come and go with their links; those of links that are not ours are somebody else's."""

    name = "linux-link-name"
    prefix = LinkName.prefix

    def __init__(self, kernel: Kernel) -> None:
        """Takes the node's kernel."""
        self._kernel = kernel

    def dependencies(self, key: str, name: LinkName) -> Iterable[Dependency]:
        """None but the link that it derives from."""
        return ()

    def derived(self, key: str, name: LinkName) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """Nothing is to be done: the link has its name."""
        return [DONE] * len(operations)

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every link of the node."""
        found = {}
        for link in (await self._kernel.look()).tables[""].links:
            value = LinkName(link.get_attr("IFLA_IFNAME"))
            found[value.key] = Observed(value, foreign=parse_alias(link.get_attr("IFLA_IFALIAS")) is None)
        return found
