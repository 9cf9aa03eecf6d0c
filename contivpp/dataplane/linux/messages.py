"""The rtnetlink messages that this project sends, built with pyroute2's definitions."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

PROTOCOL: Final = 77
"""The routing protocol number of what we make: the kernel keeps it, and so we know it again."""

CREATE: Final = 0x400
EXCLUSIVE: Final = 0x200
REPLACE: Final = 0x100
UP: Final = 0x1
PERMANENT: Final = 0x80
NOARP: Final = 0x40
SELF: Final = 0x02
ONLINK: Final = 0x4
_NO_ADDRESS: Final = 1  # IN6_ADDR_GEN_MODE_NONE
SCOPES: Final = {"": 0, "link": 253}
KINDS: Final = {"unicast": 1, "blackhole": 6, "unreachable": 7}


def _message(kind: type, number: int, header: int = 0, /, **fields: Any) -> Any:
    message = kind()
    message["header"]["type"] = number
    message["header"]["flags"] = header
    for name, value in fields.items():
        message[name] = value
    return message


# ---- links


def get_link(name: str) -> Any:
    """One link by its name."""
    return _message(ifinfmsg, rtnl.RTM_GETLINK, attrs=[("IFLA_IFNAME", name)])


def new_veth(host_name: str, mac: str, peer_name: str, peer_mac: str, mtu: int, netns: int) -> Any:
    """A pair, born with its peer in the namespace of the open file `netns`."""
    size = [("IFLA_MTU", mtu)] if mtu else []
    peer = {"attrs": [("IFLA_IFNAME", peer_name), ("IFLA_ADDRESS", peer_mac), *size, ("IFLA_NET_NS_FD", netns)]}
    info = [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", peer)]})]
    attributes = [("IFLA_IFNAME", host_name), ("IFLA_ADDRESS", mac), *size, ("IFLA_LINKINFO", {"attrs": info})]
    return _message(ifinfmsg, rtnl.RTM_NEWLINK, CREATE | EXCLUSIVE, attrs=attributes)


def new_vxlan(name: str, vni: int, local: str, port: int, mac: str, mtu: int, parent: int) -> Any:
    """A VXLAN device that learns nothing."""
    family = "IFLA_VXLAN_LOCAL6" if ":" in local else "IFLA_VXLAN_LOCAL"
    data = [("IFLA_VXLAN_ID", vni), (family, local), ("IFLA_VXLAN_PORT", port), ("IFLA_VXLAN_LEARNING", 0)]
    if parent:
        data.append(("IFLA_VXLAN_LINK", parent))
    info = [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", {"attrs": data})]
    size = [("IFLA_MTU", mtu)] if mtu else []
    attributes = [("IFLA_IFNAME", name), ("IFLA_ADDRESS", mac), *size, ("IFLA_LINKINFO", {"attrs": info})]
    return _message(ifinfmsg, rtnl.RTM_NEWLINK, CREATE | EXCLUSIVE, attrs=attributes)


def silence_link(name: str) -> Any:
    """Lets a link that is not up yet make no IPv6 address of its own, and so announce none."""
    mode = ("IFLA_INET6_ADDR_GEN_MODE", _NO_ADDRESS)
    family = {"attrs": [("AF_INET6", {"attrs": [mode]})]}
    return _message(ifinfmsg, rtnl.RTM_NEWLINK, attrs=[("IFLA_IFNAME", name), ("IFLA_AF_SPEC", family)])


def set_link(name: str, *, alias: str = "", mtu: int = 0, up: bool = True) -> Any:
    """Changes a link by its name."""
    attributes: list[tuple[str, Any]] = [("IFLA_IFNAME", name)]
    if alias:
        attributes.append(("IFLA_IFALIAS", alias))
    if mtu:
        attributes.append(("IFLA_MTU", mtu))
    flags = {"flags": UP, "change": UP} if up else {}
    return _message(ifinfmsg, rtnl.RTM_NEWLINK, attrs=attributes, **flags)


def delete_link(index: int) -> Any:
    """Removes a link, and with it its peer and all that is on it."""
    return _message(ifinfmsg, rtnl.RTM_DELLINK, index=index)


# ---- addresses


def address(index: int, text: str, *, delete: bool = False) -> Any:
    """Puts or removes an address, given with prefix length."""
    interface = ipaddress.ip_interface(text)
    attributes: list[tuple[str, Any]] = [("IFA_ADDRESS", str(interface.ip)), ("IFA_LOCAL", str(interface.ip))]
    if not delete:
        attributes.append(("IFA_PROTO", PROTOCOL))
        if interface.version == 6:
            attributes.append(("IFA_FLAGS", 0x02))  # no duplicate address detection: we know
    return _message(
        ifaddrmsg,
        rtnl.RTM_DELADDR if delete else rtnl.RTM_NEWADDR,
        0 if delete else CREATE | REPLACE,
        family=_family(interface),
        prefixlen=interface.network.prefixlen,
        index=index,
        attrs=attributes,
    )


# ---- routes and rules


def route(
    to: str,
    *,
    via: str,
    index: int,
    table: int,
    scope: str,
    source: str,
    kind: str,
    metric: int,
    mtu: int = 0,
    delete: bool = False,
) -> Any:
    """Puts (replacing what is there) or removes a route; a gateway is always taken to be on the link."""
    subnet = ipaddress.ip_network(to)
    attributes: list[tuple[str, Any]] = [("RTA_DST", str(subnet.network_address)), ("RTA_TABLE", table)]
    if via:
        attributes.append(("RTA_GATEWAY", via))
    if index:
        attributes.append(("RTA_OIF", index))
    if source:
        attributes.append(("RTA_PREFSRC", source))
    if metric:
        attributes.append(("RTA_PRIORITY", metric))
    if mtu and not delete:
        attributes.append(("RTA_METRICS", {"attrs": [("RTAX_MTU", mtu)]}))
    return _message(
        rtmsg,
        rtnl.RTM_DELROUTE if delete else rtnl.RTM_NEWROUTE,
        0 if delete else CREATE | REPLACE,
        family=_family(subnet),
        dst_len=subnet.prefixlen,
        table=table if table < 256 else 0,
        proto=PROTOCOL,
        scope=SCOPES[scope],
        type=KINDS[kind],
        flags=ONLINK if via and index and not delete else 0,
        attrs=attributes,
    )


def rule(priority: int, source: str, destination: str, table: int, *, family: int, delete: bool = False) -> Any:
    """Puts or removes a rule."""
    attributes: list[tuple[str, Any]] = [("FRA_PRIORITY", priority), ("FRA_TABLE", table), ("FRA_PROTOCOL", PROTOCOL)]
    lengths = {}
    for name, length, text in (("FRA_SRC", "src_len", source), ("FRA_DST", "dst_len", destination)):
        if text:
            subnet = ipaddress.ip_network(text)
            attributes.append((name, str(subnet.network_address)))
            lengths[length] = subnet.prefixlen
    return _message(
        fibmsg,
        rtnl.RTM_DELRULE if delete else rtnl.RTM_NEWRULE,
        0 if delete else CREATE | EXCLUSIVE,
        family=family,
        table=table if table < 256 else 0,
        action=1,
        attrs=attributes,
        **lengths,
    )


# ---- neighbours and forwarding entries


def neighbour(index: int, text: str, mac: str, *, delete: bool = False) -> Any:
    """Puts or removes a permanent neighbour."""
    attributes: list[tuple[str, Any]] = [("NDA_DST", text)]
    if not delete:
        attributes += [("NDA_LLADDR", mac), ("NDA_PROTOCOL", PROTOCOL)]
    return _message(
        ndmsg,
        rtnl.RTM_DELNEIGH if delete else rtnl.RTM_NEWNEIGH,
        0 if delete else CREATE | REPLACE,
        family=_family(ipaddress.ip_address(text)),
        ifindex=index,
        state=PERMANENT,
        attrs=attributes,
    )


def forwarding_entry(index: int, mac: str, destination: str, *, delete: bool = False) -> Any:
    """Puts or removes the far end behind which a MAC is."""
    return _message(
        ndmsg,
        rtnl.RTM_DELNEIGH if delete else rtnl.RTM_NEWNEIGH,
        0 if delete else CREATE | REPLACE,
        family=socket.AF_BRIDGE,
        ifindex=index,
        state=PERMANENT | NOARP,
        flags=SELF,
        attrs=[("NDA_LLADDR", mac), ("NDA_DST", destination)],
    )


def _family(thing: Any) -> int:
    return socket.AF_INET if thing.version == 4 else socket.AF_INET6
