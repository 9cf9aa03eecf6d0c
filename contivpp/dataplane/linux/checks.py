"""Values that somebody else asks for: refused when the kernel would not take them, else as it gives them back.

What features render is right by construction; what comes from outside is not. A value whose message cannot be built
would take the whole batch down with it, and one that reads back differently would be mended for ever.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from typing import Any, Final

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

_MAC: Final = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_KERNEL_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
_LOGICAL_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_NAMESPACE: Final = re.compile(r"(/var)?/run/netns/[A-Za-z0-9_.@-]{1,128}|/proc/[1-9][0-9]*/ns/net")
_SYSCTL: Final = re.compile(r"net(\.[A-Za-z0-9_-]+){2,}")
_UINT32: Final = (1 << 32) - 1
_VNI: Final = (1 << 24) - 1
_PORT: Final = (1 << 16) - 1
_MTU: Final = (68, 65535)
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
            return dataclasses.replace(value, address=_interface(value.address))
        case Neighbour(link=link):
            _not_the_loopback(link)
            return dataclasses.replace(value, address=_address("address", value.address), mac=_mac("mac", value.mac))
        case ForwardingEntry(link=link):
            _not_the_loopback(link)
            destination = _address("destination", value.destination)
            return dataclasses.replace(value, mac=_mac("mac", value.mac), destination=destination)
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
    to = _subnet("to", route.to)
    family = ipaddress.ip_network(to).version
    _range("table", route.table, 1, _UINT32)
    _range("metric", route.metric, 0, _UINT32)
    if route.kind != "unicast":
        if route.link or route.via or route.scope:
            message = f"field link: a route of kind {route.kind} leads nowhere: leave out link, via and scope"
            raise ValueError(message)
        return dataclasses.replace(route, to=to, source=_source(route, family))
    _need("link", route.link)
    via = _address("via", route.via, family) if route.via else ""
    if via and route.scope:
        message = f"field scope: a route by a gateway has none: leave out scope {route.scope}"
        raise ValueError(message)
    return dataclasses.replace(route, to=to, via=via, scope="" if via else "link", source=_source(route, family))


def _source(route: Route, family: int) -> str:
    return _address("source", route.source, family) if route.source else ""


def _rule(rule: Rule) -> Rule:
    _range("priority", rule.priority, 1, _UINT32)
    _range("table", rule.table, 1, _UINT32)
    source = _subnet("source", rule.source) if rule.source else ""
    destination = _subnet("destination", rule.destination) if rule.destination else ""
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
    _kernel("host_name", link.host_name)
    _kernel("peer_name", link.peer_name)
    if link.netns and not _NAMESPACE.fullmatch(link.netns):
        message = f"field netns: {link.netns!r} is not a network namespace: write one such as /run/netns/name"
        raise ValueError(message)
    return dataclasses.replace(
        link, mac=_mac("mac", link.mac), peer_mac=_mac("peer_mac", link.peer_mac), mtu=_mtu(link.mtu)
    )


def _vxlan(link: Vxlan) -> Vxlan:
    _logical("name", link.name)
    _kernel("host_name", link.host_name)
    _range("vni", link.vni, 1, _VNI)
    _range("port", link.port, 1, _PORT)
    if link.parent:
        message = f"field parent: {link.parent} cannot be asked for: leave it out, the routes decide"
        raise ValueError(message)
    if not link.mtu:
        message = "field mtu is missing: write what the underlay leaves, such as 1450"
        raise ValueError(message)
    _range("mtu", link.mtu, *_MTU)
    return dataclasses.replace(link, local=_address("local", link.local), mac=_mac("mac", link.mac))


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


def _subnet(field: str, text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        message = f"field {field}: {text!r} is not a subnet: write one such as 10.9.0.0/16"
        raise ValueError(message) from None
    message = f"field {field}: {text} has bits set behind its prefix: write {meant}"
    raise ValueError(message)


def _interface(text: str) -> str:
    try:
        return str(ipaddress.ip_interface(text))
    except ValueError:
        message = f"field address: {text!r} is not an address with prefix length: write one such as 10.9.0.1/16"
        raise ValueError(message) from None


def _address(field: str, text: str, family: int = 0) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        message = f"field {field}: {text!r} is not an address: write one such as 10.9.0.1"
        raise ValueError(message) from None
    if family and address.version != family:
        message = f"field {field}: {text} is not of the IP family of the destination: write one of IPv{family}"
        raise ValueError(message)
    return str(address)


def _mac(field: str, text: str) -> str:
    if not _MAC.fullmatch(text.lower()):
        message = f"field {field}: {text!r} is not a MAC address: write one such as 02:00:00:00:00:01"
        raise ValueError(message)
    return text.lower()


def _kernel(field: str, name: str) -> None:
    if not _KERNEL_NAME.fullmatch(name) or name in (".", ".."):
        message = f"field {field}: {name!r} is not the name of a link: write 1 to 15 letters, digits, dots, dashes"
        raise ValueError(message)


def _logical(field: str, name: str) -> None:
    if not _LOGICAL_NAME.fullmatch(name) or is_pod_end(name):
        message = f"field {field}: {name!r} is not a name: write 1 to 64 letters, digits, dots, dashes"
        raise ValueError(message)


def _range(field: str, number: int, first: int, last: int) -> None:
    if not first <= number <= last:
        message = f"field {field}: {number} is not between {first} and {last}: write one that is"
        raise ValueError(message)


def _mtu(mtu: int) -> int:
    """The MTU of a pair, 0 for Ethernet's: so it is read back."""
    if mtu:
        _range("mtu", mtu, *_MTU)
    return 0 if mtu == _ETHERNET_MTU else mtu
