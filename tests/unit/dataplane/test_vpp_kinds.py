"""What kinds of interfaces ask of VPP and make of its answers, where no VPP of a test machine can make the interface."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from contivpp.dataplane.vpp.api.errors import VppRefused
from contivpp.dataplane.vpp.descriptors import kinds
from contivpp.dataplane.vpp.descriptors.kinds.vmxnet3 import pci_number, pci_text
from contivpp.dataplane.vpp.descriptors.names import Interfaces, Tag
from contivpp.dataplane.vpp.values.memif import Memif
from contivpp.dataplane.vpp.values.nic import Vmxnet3
from contivpp.dataplane.vpp.values.tap import Tap

TAP = Tap(
    "tap",
    "tap0",
    "02:fe:00:00:00:01",
    "02:fe:00:00:00:02",
    netns="/run/netns/pod",
    mtu=1450,
    host_mtu=1450,
    rx_ring=512,
    tx_ring=1024,
    gso=True,
)


def listed(tag: Tag, **changes: Any) -> Any:
    """An interface in VPP's list."""
    item = {
        "sw_if_index": 5,
        "sup_sw_if_index": 5,
        "tag": tag.text,
        "l2_address": "02:fe:00:00:00:01",
        "flags": 3,
        "type": 0,
        "mtu": [1450, 0, 0, 0],
        "interface_name": "tap0",
        "interface_dev_type": "virtio",
    }
    return SimpleNamespace(**(item | changes))


def test_a_tap_is_asked_for_with_both_ends_and_read_back_the_same() -> None:
    kind, interfaces = kinds.kind_of(TAP), Interfaces()
    name, fields = kind.create(TAP, interfaces)
    assert (name, set(fields)) == ("tap_create_v3", set(kind.needs.exchanges["tap_create_v3"].request))
    assert (fields["mac_address"], fields["host_mac_addr"]) == (TAP.mac, TAP.host_mac)
    assert (fields["host_namespace_set"], fields["host_mtu_set"], fields["tap_flags"]) == (True, True, 1)
    details = SimpleNamespace(
        sw_if_index=5,
        tx_ring_sz=fields["tx_ring_sz"],
        rx_ring_sz=fields["rx_ring_sz"],
        host_mtu_size=fields["host_mtu_size"],
        host_mac_addr=fields["host_mac_addr"],
        tap_flags=fields["tap_flags"],
        host_if_name=fields["host_if_name"],
        host_namespace=fields["host_namespace"],
    )
    tag = Tag("tap")
    assert kind.value(tag, listed(tag), details, interfaces) == TAP
    assert kind.value(tag, listed(tag), None, interfaces) is None, "without details it is none"


def test_a_plain_tap_leaves_the_kernel_its_choice() -> None:
    plain = Tap("tap", "tap0", "02:fe:00:00:00:01", "02:fe:00:00:00:02", checksum_offload=True)
    _, fields = kinds.kind_of(plain).create(plain, Interfaces())
    assert (fields["host_namespace_set"], fields["host_mtu_set"], fields["tap_flags"]) == (False, False, 2)


def test_a_tap_changes_mtu_and_mac_in_place_and_nothing_else() -> None:
    kind = kinds.kind_of(TAP)
    changed = dataclasses.replace(TAP, mtu=1400, mac="02:fe:00:00:00:03")
    assert [name for name, _ in kind.change(TAP, changed, 5) or ()] == [
        "sw_interface_set_mtu",
        "sw_interface_set_mac_address",
    ]
    for other in ({"host_name": "x"}, {"netns": ""}, {"rx_ring": 64}, {"gso": False}, {"host_mtu": 1400}):
        assert kind.change(TAP, dataclasses.replace(TAP, **other), 5) is None


@pytest.mark.parametrize(
    ("retval", "said"),
    [
        (-11, "load the kernel module vhost_net"),
        (-12, "the namespace /run/netns/pod"),
        (-13, "is there one of that name already"),
        (-7, "INVALID_VALUE"),
    ],
)
def test_why_there_is_no_tap_is_said(retval: int, said: str) -> None:
    text = kinds.kind_of(TAP).explained(TAP, VppRefused("tap_create_v3", retval))
    assert text.startswith("tap: tap_create_v3: ")
    assert said in text


def test_a_vmxnet3_is_asked_for_by_its_pci_address_and_read_back_the_same() -> None:
    nic = Vmxnet3("nic", "0000:0b:1f.7", 1450, rx_ring=512, tx_ring=256, rx_queues=2, tx_queues=3, gso=True)
    kind, interfaces = kinds.kind_of(nic), Interfaces()
    name, fields = kind.create(nic, interfaces)
    assert (name, set(fields)) == ("vmxnet3_create", set(kind.needs.exchanges["vmxnet3_create"].request))
    assert fields["pci_addr"] == 0xFF0B0000, "domain in the low bits, then bus, slot and function"
    details = SimpleNamespace(
        pci_addr=fields["pci_addr"],
        rx_count=fields["rxq_num"],
        tx_count=fields["txq_num"],
        rx_list=[SimpleNamespace(rx_qsize=fields["rxq_size"])] * 16,
        tx_list=[SimpleNamespace(tx_qsize=fields["txq_size"])] * 8,
    )
    tag = Tag("nic", kind.memo(nic, interfaces))
    assert kind.value(tag, listed(tag), details, interfaces) == nic


@pytest.mark.parametrize("address", ["0000:00:00.0", "0000:0b:00.0", "ffff:ff:1f.7", "0001:02:03.4"])
def test_a_pci_address_and_its_number_are_the_same_thing(address: str) -> None:
    assert pci_text(pci_number(address)) == address


def test_a_secret_is_not_in_the_tag_and_is_known_again_by_its_digest() -> None:
    memif = Memif("memory", 1, 5, "slave", "02:fe:00:00:00:01", secret="geheim", mtu=1450)
    before, after = type(kinds.kind_of(memif))(), type(kinds.kind_of(memif))()  # an agent, and the one after it
    before.create(memif, Interfaces())
    tag = Tag("memory", before.memo(memif, Interfaces()))
    assert "geheim" not in tag.text
    details = SimpleNamespace(sw_if_index=5, id=5, role=1, mode=0, socket_id=1)
    assert before.value(tag, listed(tag), details, Interfaces()) == memif
    read = after.value(tag, listed(tag), details, Interfaces())
    assert read != memif
    assert after.change(read, memif, 5) == [], "the same secret: VPP is not asked to do anything"
    assert after.value(tag, listed(tag), details, Interfaces()) == memif
    assert after.change(read, dataclasses.replace(memif, secret="anders"), 5) is None


def test_a_tag_keeps_name_memo_and_notes() -> None:
    for tag in (Tag("x"), Tag("x", "nic 9000 up"), Tag("x", "", {"m": "*i"}), Tag("x", "y", {"m": "0p1i", "p": "3"})):
        assert Tag.read(tag.text) == tag
    assert Tag("x").text == "contiv:x"
    assert Tag("x", "", {"m": "*i"}).with_note("m", "").text == "contiv:x"
    assert Tag.read("") is Tag.read("somebody else's") is None
    for name in ("", "x|y", "x\0"):
        with pytest.raises(ValueError, match="is not a name"):
            _ = Tag(name).text
    with pytest.raises(ValueError, match="the name x+ is 1 bytes too long"):
        _ = Tag("x" * 57).text
