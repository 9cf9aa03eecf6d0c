"""Routing rules that carry our protocol number."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contivpp.dataplane.linux import dumps, messages
from contivpp.dataplane.linux.kernel import Kernel
from contivpp.dataplane.linux.values import Rule
from contivpp.scheduler.api import Dependency, Observed, Operation, OperationKind, Outcome


class RuleDescriptor:
    """Rules of the node."""

    name = "linux-rule"
    prefix = Rule.prefix

    def __init__(self, kernel: Kernel) -> None:
        """Takes the node's kernel."""
        self._kernel = kernel

    def dependencies(self, key: str, rule: Rule) -> Iterable[Dependency]:
        """None."""
        return ()

    def derived(self, key: str, rule: Rule) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Outcome]:
        """One burst; a rule cannot be changed, only made anew."""
        recreate = {n for n, operation in enumerate(operations) if operation.kind is OperationKind.UPDATE}
        done = iter(
            self._kernel.send(
                [operation for n, operation in enumerate(operations) if n not in recreate], lambda _: "", _message
            )
        )
        return [Outcome(recreate=True) if n in recreate else next(done) for n in range(len(operations))]

    async def retrieve(self) -> Mapping[str, Observed]:
        """Every rule of ours."""
        found: dict[str, Observed] = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            for item in self._kernel.node.dump(dumps.rules(family)):
                if item.get_attr("FRA_PROTOCOL") != messages.PROTOCOL:
                    continue
                value = Rule(
                    priority=item.get_attr("FRA_PRIORITY") or 0,
                    source=_subnet(item.get_attr("FRA_SRC"), item["src_len"]),
                    destination=_subnet(item.get_attr("FRA_DST"), item["dst_len"]),
                    table=item.get_attr("FRA_TABLE") or item["table"],
                )
                found[value.key] = Observed(value)
        return found


def _subnet(address: str | None, length: int) -> str:
    return f"{address}/{length}" if address else ""


def _message(operation: Operation, _: int) -> Any:
    rule: Rule = operation.value
    subnet = rule.source or rule.destination
    ipv6 = bool(subnet) and ipaddress.ip_network(subnet).version == 6
    return messages.rule(
        rule.priority,
        rule.source,
        rule.destination,
        rule.table,
        family=socket.AF_INET6 if ipv6 else socket.AF_INET,
        delete=operation.kind is OperationKind.DELETE,
    )
