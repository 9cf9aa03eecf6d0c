"""Values that somebody else asks for: refused when the kernel would not take them, else as it gives them back.

What features render is right by construction; what comes from outside is not. A value whose message cannot be built
would take the whole batch down with it, and one that reads back differently would be mended for ever.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Any, Final

from contivpp.dataplane import fields
from contivpp.dataplane.linux.values import (
    LOOPBACK,
    Address,
    ForwardingEntry,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    Veth,
    Vxlan,
    is_pod_end,
)

_LOGICAL_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_NAMESPACE: Final = re.compile(r"(/var)?/run/netns/[A-Za-z0-9_.@-]{1,128}|/proc/[1-9][0-9]*/ns/net")
_SYSCTL: Final = re.compile(r"net(\.[A-Za-z0-9_-]+){2,}")
_PORT: Final = (1 << 16) - 1
_ETHERNET_MTU: Final = 1500


def checked(value: Any) -> Any:
    """The value in the form in which the kernel gives it back.

    Raises:
        ValueError: the kernel would not take it; names the field and the remedy.
    """
    match value:
        case Route():
            return _route(value)
        case Address(link=link):
            _need("link", link)
            return dataclasses.replace(value, address=fields.address_with_prefix("address", value.address))
        case Neighbour(link=link):
            _not_the_loopback(link)
            return dataclasses.replace(
                value, address=fields.address("address", value.address), mac=fields.mac("mac", value.mac)
            )
        case ForwardingEntry(link=link):
            _not_the_loopback(link)
            destination = fields.address("destination", value.destination)
            return dataclasses.replace(value, mac=fields.mac("mac", value.mac), destination=destination)
        case Rule():
            return _rule(value)
        case Sysctl():
            return _sysctl(value)
        case Veth():
            return _veth(value)
        case Vxlan():
            return _vxlan(value)
        case _:
            message = f"{type(value).__name__} cannot be asked for from outside"
            raise ValueError(message)


def _route(route: Route) -> Route:
    to = fields.subnet("to", route.to)
    family = ipaddress.ip_network(to).version
    fields.within("table", route.table, 1, fields.UINT32)
    fields.within("metric", route.metric, 0, fields.UINT32)
    if route.kind != "unicast":
        if route.link or route.via or route.scope or route.mtu:
            message = f"field link: a route of kind {route.kind} leads nowhere: leave out link, via, scope and mtu"
            raise ValueError(message)
        return dataclasses.replace(route, to=to, source=_source(route, family))
    _need("link", route.link)
    if route.mtu:
        fields.within("mtu", route.mtu, *fields.MTU)
    via = fields.address("via", route.via, family) if route.via else ""
    if via and route.scope:
        message = f"field scope: a route by a gateway has none: leave out scope {route.scope}"
        raise ValueError(message)
    return dataclasses.replace(route, to=to, via=via, scope="" if via else "link", source=_source(route, family))


def _source(route: Route, family: int) -> str:
    return fields.address("source", route.source, family) if route.source else ""


def _rule(rule: Rule) -> Rule:
    fields.within("priority", rule.priority, 1, fields.UINT32)
    fields.within("table", rule.table, 1, fields.UINT32)
    source = fields.subnet("source", rule.source) if rule.source else ""
    destination = fields.subnet("destination", rule.destination) if rule.destination else ""
    if source and destination and (":" in source) != (":" in destination):
        message = f"field destination: {destination} and source {source} are of different IP families: use one"
        raise ValueError(message)
    for name, subnet in (("source", source), ("destination", destination)):
        if subnet.endswith("/0"):
            message = f"field {name}: {subnet} is everything: leave {name} out"
            raise ValueError(message)
    return dataclasses.replace(rule, source=source, destination=destination)


def _sysctl(setting: Sysctl) -> Sysctl:
    if not _SYSCTL.fullmatch(setting.name):
        message = f"field name: {setting.name!r} is not a setting of the network: name one such as net.ipv4.ip_forward"
        raise ValueError(message)
    words = setting.value.split()
    if not words or not all(word.isprintable() for word in words):
        message = f"field value: {setting.value!r} is not a value of a setting: write the words that the kernel shows"
        raise ValueError(message)
    return dataclasses.replace(setting, value="\t".join(words))


def _veth(link: Veth) -> Veth:
    _logical("name", link.name)
    fields.kernel_name("host_name", link.host_name)
    fields.kernel_name("peer_name", link.peer_name)
    if link.netns and not _NAMESPACE.fullmatch(link.netns):
        message = f"field netns: {link.netns!r} is not a network namespace: write one such as /run/netns/name"
        raise ValueError(message)
    return dataclasses.replace(
        link, mac=fields.mac("mac", link.mac), peer_mac=fields.mac("peer_mac", link.peer_mac), mtu=_mtu(link.mtu)
    )


def _vxlan(link: Vxlan) -> Vxlan:
    _logical("name", link.name)
    fields.kernel_name("host_name", link.host_name)
    fields.within("vni", link.vni, 1, fields.VNI)
    fields.within("port", link.port, 1, _PORT)
    if link.parent:
        message = f"field parent: {link.parent} cannot be asked for: leave it out, the routes decide"
        raise ValueError(message)
    if not link.mtu:
        message = "field mtu is missing: write what the underlay leaves, such as 1450"
        raise ValueError(message)
    fields.within("mtu", link.mtu, *fields.MTU)
    return dataclasses.replace(link, local=fields.address("local", link.local), mac=fields.mac("mac", link.mac))


# ---- fields


def _need(field: str, text: str) -> None:
    if not text:
        message = f"field {field} is missing: name a link of the agent's, such as vxlanBVI"
        raise ValueError(message)


def _not_the_loopback(link: str) -> None:
    _need("link", link)
    if link == LOOPBACK:
        message = f"field link: {link} has neither neighbours nor forwarding entries: name another link"
        raise ValueError(message)


def _logical(field: str, name: str) -> None:
    if not _LOGICAL_NAME.fullmatch(name) or is_pod_end(name):
        message = f"field {field}: {name!r} is not a name: write 1 to 64 letters, digits, dots, dashes"
        raise ValueError(message)


def _mtu(mtu: int) -> int:
    """The MTU of a pair, 0 for Ethernet's: so it is read back."""
    if mtu:
        fields.within("mtu", mtu, *fields.MTU)
    return 0 if mtu == _ETHERNET_MTU else mtu
