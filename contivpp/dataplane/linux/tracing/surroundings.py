"""What the numbers in trace messages stand for, and what the kernel says of a packet's way, as of now."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from contivpp.dataplane.linux import dumps
from contivpp.dataplane.linux.kernel import parse_alias
from contivpp.dataplane.linux.netlink import KernelError, Netlink
from contivpp.dataplane.linux.nft import rule_texts
from contivpp.dataplane.linux.nft.library import Nftables, NftError
from contivpp.dataplane.linux.nft.rule_texts import Place
from contivpp.dataplane.linux.tracing.messages import TraceMessage

_SOURCE_MAC: Final = slice(6, 12)
_CHAIN_POLICY: Final = "the policy of the chain"
_PROBLEMS: Final = {
    errno.ENETUNREACH: "there is no route to {}",
    errno.EHOSTUNREACH: "there is no route to {}",
    errno.EINVAL: "the route to {} is one that drops",
    errno.EACCES: "the route to {} is one that forbids",
    errno.EXDEV: "what is for {1} does not go by where it came in, and a reverse path check minds",
}


@dataclass(frozen=True, slots=True)
class RouteTaken:
    """The kernel's answer to where a packet goes: the index of a link and the next hop, or why there is none."""

    link: int = 0
    next_hop: str = ""
    problem: str = ""


class Ways(Protocol):
    """Who knows the way of a packet."""

    def __call__(self, source: str, destination: str, came_by: int) -> RouteTaken:
        """That of one between two addresses which came by a link; 0 is one of the node's own."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One node's.

    Attributes:
        way: asks for the way of a packet.
        links: logical names of links by index; the kernel's for those that are not ours.
        tunnels: the links that are ours and lead to other nodes in tunnels.
        neighbours: addresses by the link and the MAC.
        rules: texts by family, table, chain and handle.
    """

    way: Ways
    links: Mapping[int, str] = field(default_factory=dict)
    tunnels: frozenset[int] = frozenset()
    neighbours: Mapping[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    rules: Mapping[Place, str] = field(default_factory=dict)

    def link(self, index: int) -> str:
        """The name of a link."""
        return self.links.get(index, f"link {index}")

    def sender(self, index: int, header: bytes, like: str) -> str:
        """The address of who sent a frame by a link, of the IP version of `like`; "" when it is not known."""
        found = self.neighbours.get((index, header[_SOURCE_MAC].hex(":")), ())
        return next((one for one in found if (":" in one) == (":" in like)), "")

    def rule(self, message: TraceMessage) -> str:
        """The text of the rule that a message is about."""
        if not message.handle:
            return _CHAIN_POLICY
        place = (message.family, message.table, message.chain, message.handle)
        return self.rules.get(place, f"rule with handle {message.handle}")


def look(netlink: Netlink, nftables: Nftables, messages: Iterable[TraceMessage]) -> Surroundings:
    """The surroundings of some messages.

    Raises:
        KernelError: the kernel does not say.
    """
    links, tunnels = {}, set()
    for link in netlink.dump(dumps.LINKS):
        known = parse_alias(link.get_attr("IFLA_IFALIAS"))
        links[link["index"]] = known[0] if known is not None else link.get_attr("IFLA_IFNAME")
        information = link.get_attr("IFLA_LINKINFO")
        if known is not None and information is not None and information.get_attr("IFLA_INFO_KIND") == "vxlan":
            tunnels.add(link["index"])
    neighbours: dict[tuple[int, str], tuple[str, ...]] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for one in netlink.dump(dumps.neighbours(family)):
            if one["ifindex"] in tunnels:
                place = one["ifindex"], one.get_attr("NDA_LLADDR")
                neighbours[place] = (*neighbours.get(place, ()), one.get_attr("NDA_DST"))
    rules: Mapping[Place, str] = {}
    if any(_decides(one) for one in messages):
        with contextlib.suppress(NftError):  # then rules go by their handles
            rules = rule_texts.read(nftables)

    def way(source: str, destination: str, came_by: int) -> RouteTaken:
        try:
            found = netlink.ask(dumps.way(source, destination, came_by))
        except KernelError as error:
            said = _PROBLEMS.get(error.code, f"of the route to {{}} the kernel says: {error}")
            return RouteTaken(problem=said.format(destination, source))
        return RouteTaken(found.get_attr("RTA_OIF") or 0, found.get_attr("RTA_GATEWAY") or "")

    return Surroundings(way, links, frozenset(tunnels), neighbours, rules)


def _decides(message: TraceMessage) -> bool:
    """Whether a message's rule may be worth telling."""
    return bool(message.handle) and message.verdict in ("drop", "return")
