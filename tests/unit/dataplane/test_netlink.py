"""What pyroute2 packs for the kernel has the form in which the kernel's tables are read."""

from __future__ import annotations

import socket
from typing import Any

from contivpp.dataplane.linux import dumps, messages

_HEADER = 16


def body(message: Any) -> bytes:
    message.reset()
    message.encode()
    return bytes(message.data[_HEADER:])


def test_a_pair_is_read_back_from_its_message() -> None:
    message = messages.new_veth("tap1", "02:fe:00:00:00:01", "eth0", "02:fe:00:00:00:02", 1450, 7)
    link = dumps.LINKS.answer(body(message))
    names = ("IFLA_IFNAME", "IFLA_ADDRESS", "IFLA_MTU", "IFLA_IFALIAS")
    assert [link.get_attr(name) for name in names] == ["tap1", "02:fe:00:00:00:01", 1450, None]
    assert link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "veth"


def test_a_tunnel_is_read_back_from_its_message() -> None:
    for local, name in (("10.0.0.1", "IFLA_VXLAN_LOCAL"), ("fd00::1", "IFLA_VXLAN_LOCAL6")):
        message = messages.new_vxlan("vxlan", 10, local, 4789, "02:fe:00:00:00:01", 0, 3)
        data = dumps.LINKS.answer(body(message)).get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
        found = [data.get_attr(one) for one in ("IFLA_VXLAN_ID", name, "IFLA_VXLAN_PORT")]
        assert found == [10, local, 4789]


def test_routes_and_neighbours_are_read_back_from_their_messages() -> None:
    message = messages.route(
        "10.1.0.0/16", via="10.0.0.1", index=4, table=1000, scope="", source="10.0.0.9", kind="unicast", metric=5
    )
    route = dumps.routes(socket.AF_INET, messages.PROTOCOL).answer(body(message))
    assert [route[field] for field in ("dst_len", "proto", "type", "table")] == [16, messages.PROTOCOL, 1, 0]
    names = ("RTA_DST", "RTA_GATEWAY", "RTA_OIF", "RTA_PREFSRC", "RTA_PRIORITY", "RTA_TABLE")
    assert [route.get_attr(name) for name in names] == ["10.1.0.0", "10.0.0.1", 4, "10.0.0.9", 5, 1000]

    message = messages.neighbour(4, "fd00::2", "02:fe:00:00:00:02")
    neighbour = dumps.neighbours(socket.AF_INET6).answer(body(message))
    assert (neighbour["ifindex"], neighbour["state"]) == (4, messages.PERMANENT)
    assert [neighbour.get_attr(name) for name in ("NDA_DST", "NDA_LLADDR")] == ["fd00::2", "02:fe:00:00:00:02"]


def test_an_attribute_that_is_cut_short_ends_the_list() -> None:
    address = dumps.ADDRESSES.answer(bytes((2, 24, 0, 0)) + bytes(4) + b"\x02\x00\x01\x00")
    assert address.get_attr("IFA_LOCAL") is None
