from __future__ import annotations

import json

import pytest

from contivpp.host import links, nics
from contivpp.host.nics import Inventory
from contivpp.host.system import Answer, HostError, System
from tests.unit.host.kernel import Kernel

MAIN, SPARE = "0000:00:03.0", "0000:00:08.0"


@pytest.fixture
def machine(kernel: Kernel) -> Kernel:
    """A machine with the NIC that it is reached by, a spare one, and a disk."""
    kernel.add_nic(MAIN, "eth0", vendor="0x1af4", device="0x1041", mac="52:54:00:AA:00:03", addresses=["10.0.0.5/24"])
    kernel.add_route("4", dst="default", gateway="10.0.0.1", dev="eth0")
    kernel.add_nic(SPARE, "eth1", group="7", numa=1, addresses=["10.9.0.5/24", "fe80::8/64"])
    kernel.add_route("4", dst="172.16.0.0/12", gateway="10.9.0.1", dev="eth1")
    kernel.add_nic("0000:00:09.0", driver="ahci", kind="0x010601", group="8")
    return kernel


def read(kernel: Kernel, **given: object) -> Inventory:
    return nics.read(kernel.system(), **given)  # type: ignore[arg-type]


def test_every_nic_is_told_with_what_it_is_and_what_it_carries(machine: Kernel) -> None:
    found = read(machine, node_ip="10.0.0.5")
    assert [nic.address for nic in found.nics] == [MAIN, SPARE], "a disk is no NIC"
    main, spare = (nic.as_dict() for nic in found.nics)
    assert (
        main["name"] == "eth0"
        and main["driver"] == "virtio-pci"
        and (main["vendor"], main["device"]) == ("1af4", "1041")
    )
    assert main["default_route"] and main["node_ip"] and main["iommu_group"] == "" and main["numa_node"] is None
    assert spare["driver"] == "e1000e" and spare["iommu_group"] == "7" and spare["numa_node"] == 1
    assert spare["state"] == "up" and spare["mac"] == "52:54:00:00:00:08" and spare["mtu"] == 1500
    assert not spare["default_route"] and not spare["node_ip"]
    assert spare["addresses"] == ["10.9.0.5/24", "fe80::8/64"]
    assert [route["destination"] for route in spare["routes"]] == ["10.9.0.0/24", "172.16.0.0/12", "fe80::/64"]
    json.dumps([main, spare])


@pytest.mark.parametrize("word", ["eth1", SPARE, "00:08.0", "52:54:00:00:00:08", " ETH1 "])
def test_a_nic_is_found_by_any_of_its_names(machine: Kernel, word: str) -> None:
    assert read(machine).find(word).address == SPARE


def test_a_nic_that_does_not_exist_is_refused_with_those_that_do(machine: Kernel) -> None:
    with pytest.raises(HostError) as raised:
        read(machine).find("eth7")
    assert str(raised.value) == (
        "there is no NIC eth7 on this host, only eth0 (0000:00:03.0), eth1 (0000:00:08.0): correct the name"
    )


def test_a_mac_that_two_nics_have_names_none_of_them(machine: Kernel) -> None:
    machine.links["eth0"]["address"] = machine.links["eth1"]["address"]
    with pytest.raises(HostError, match="is more than one NIC"):
        read(machine).find("52:54:00:00:00:08")


def test_what_stands_on_a_nic_is_carried_by_it(machine: Kernel) -> None:
    machine.stand("br0", "eth1", addresses=["10.5.0.1/16"])
    machine.links["eth1"]["master"] = "br0"
    machine.stand("br0.5", "br0", addresses=["10.6.0.1/16"])
    machine.add_route("6", dst="default", gateway="fe80::1", dev="br0.5")
    spare = read(machine, node_ip="10.5.0.1").find("eth1")
    assert [link.name for link in spare.carries] == ["eth1", "br0", "br0.5"]
    assert spare.default_route and spare.node_ip


def test_a_vlan_counts_even_where_sysfs_does_not_say_so(machine: Kernel) -> None:
    machine.add_link("eth1.7", mac="52:54:00:00:00:08", link="eth1")
    assert [link.name for link in read(machine).find("eth1").carries] == ["eth1", "eth1.7"]


def test_a_nic_in_user_space_has_the_name_that_is_remembered(machine: Kernel) -> None:
    machine.loaded("vfio-pci")
    machine._unbind(SPARE)
    machine._bind(SPARE, "vfio-pci")
    found = read(machine, known={SPARE: "eth1"})
    nic = found.find("eth1")
    assert nic.driver == "vfio-pci" and nic.links == () and nic.as_dict()["state"] == ""
    assert read(machine).find(SPARE).name == ""


def test_a_group_that_vfio_pretends_is_no_iommu(machine: Kernel) -> None:
    assert read(machine).iommu
    for folder in ("7", "8"):
        (machine.sys / f"kernel/iommu_groups/{folder}").rename(machine.root / f"gone{folder}")
    (machine.sys / f"devices/pci0000:00/{SPARE}/iommu_group").unlink()
    machine.loaded("vfio-pci")
    machine._unbind(SPARE)
    machine._bind(SPARE, "vfio-pci")
    found = read(machine)
    assert not found.iommu and found.find(SPARE).iommu_group == ""


def test_companions_of_a_group_are_told(machine: Kernel) -> None:
    machine.add_nic("0000:00:08.1", driver="snd_hda_intel", kind="0x040300", group="7")
    machine.add_nic("0000:00:1c.0", driver="pcieport", kind="0x060400", group="7")
    found = read(machine).find(SPARE).companions
    assert [(one.pci, one.driver, one.bridge) for one in found] == [
        ("0000:00:08.1", "snd_hda_intel", False),
        ("0000:00:1c.0", "pcieport", True),
    ]


def test_virtio_without_pci_is_a_nic_as_well(kernel: Kernel) -> None:
    kernel.put("sys/devices/platform/a0003e00.virtio/virtio1/vendor", "0x554d4551\n")
    kernel.put("sys/devices/platform/a0003e00.virtio/virtio1/device", "0x0001\n")
    device = kernel.sys / "devices/platform/a0003e00.virtio/virtio1"
    (device / "driver").symlink_to("../../../../bus/virtio/drivers/virtio_net")
    (device / "net/eth0").mkdir(parents=True)
    (device / "net/eth0/device").symlink_to("../..")
    (kernel.sys / "class/net/eth0").symlink_to("../../devices/platform/a0003e00.virtio/virtio1/net/eth0")
    kernel.add_link("eth0", mac="52:54:00:00:00:01")
    [nic] = read(kernel).nics
    assert (nic.address, nic.bus, nic.driver, nic.name, nic.device) == (
        "virtio1",
        "virtio",
        "virtio_net",
        "eth0",
        "0001",
    )


def test_a_link_and_its_routes_survive_json() -> None:
    """What iproute2 says of a link with everything on it, recorded."""
    address = [
        {
            "ifindex": 3, "ifname": "va", "flags": ["UP", "LOWER_UP"], "mtu": 1500, "operstate": "UP",
            "address": "5a:07:29:6a:c9:ff",
            "addr_info": [
                {"family": "inet", "local": "10.7.0.1", "prefixlen": 24, "scope": "global", "label": "va:1"},
                {"family": "inet", "local": "10.7.1.1", "address": "10.7.1.2", "prefixlen": 32, "scope": "global"},
                {"family": "inet", "local": "10.7.2.1", "prefixlen": 24, "scope": "global", "dynamic": True,
                 "noprefixroute": True, "valid_life_time": 3000, "preferred_life_time": 2000},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        }
    ]  # fmt: skip
    routes = {
        "-4": [
            {"dst": "10.9.0.0/16", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "va", "table": "77", "flags": ["onlink"]},
            {"dst": "default", "gateway": "10.7.0.254", "dev": "va", "protocol": "dhcp", "prefsrc": "10.7.0.1",
             "metric": 100, "flags": [], "metrics": [{"mtu": 1400}]},
            {"dst": "10.7.0.0/24", "dev": "va", "protocol": "kernel", "scope": "link", "flags": []},
            {"dst": "10.8.0.0/16", "flags": [], "nexthops": [
                {"gateway": "10.7.0.3", "dev": "va", "weight": 2, "flags": []},
                {"gateway": "10.7.0.4", "dev": "vb", "weight": 1, "flags": []}]},
            {"type": "local", "dst": "10.7.0.1", "dev": "va", "table": "local", "protocol": "kernel"},
        ],
        "-6": [{"dst": "default", "gateway": "fd07::fe", "dev": "va", "metric": 1024, "flags": [], "pref": "high"}],
    }  # fmt: skip

    def run(words: object) -> Answer:
        assert isinstance(words, tuple)
        return Answer(0, json.dumps(address if words[2] == "address" else routes[words[2]]))

    link = links.read(System("/", run=run))["va"]
    assert links.Link.from_dict(json.loads(json.dumps(link.as_dict()))) == link
    bare = links.Link(name="ens9", index=9, mac=link.mac, mtu=9000, state="DOWN", up=False, carrier=False)
    assert [" ".join(words) for words in links.restoring(link, bare)] == [
        "ip link set dev ens9 mtu 1500",
        "ip link set dev ens9 up",
        "ip address add 10.7.0.1/24 dev ens9 label ens9:1",
        "ip address add 10.7.1.1 peer 10.7.1.2/32 dev ens9",
        "ip address add 10.7.2.1/24 dev ens9 noprefixroute valid_lft 3000 preferred_lft 2000",
        "ip -4 route add 10.9.0.0/16 table 77 via inet6 fe80::1 dev ens9 onlink",
        "ip -4 route add 10.8.0.0/16 nexthop via 10.7.0.3 dev ens9 weight 2 nexthop via 10.7.0.4 dev vb weight 1",
        "ip -4 route add default proto dhcp src 10.7.0.1 metric 100 mtu 1400 via 10.7.0.254 dev ens9",
        "ip -6 route add default metric 1024 pref high via fd07::fe dev ens9",
    ]
    assert links.restoring(link, link) == []


def test_a_machine_without_iproute2_is_an_error_that_names_it(kernel: Kernel) -> None:
    with pytest.raises(HostError, match="ip -json -4 route show table all failed: ip: No such file"):
        nics.read(System(str(kernel.root), run=lambda words: Answer(127, "", "ip: No such file or directory")))


def test_the_address_of_the_node_is_recognised_however_it_is_written(machine: Kernel) -> None:
    machine.add_nic("0000:00:0a.0", "eth2", addresses=["2001:db8::5/64"])
    [nic] = [nic for nic in read(machine, node_ip="2001:DB8:0::5").nics if nic.node_ip]
    assert nic.name == "eth2"


def test_a_nic_that_is_not_named_is_not_one_without_a_name(machine: Kernel) -> None:
    machine.add_nic("0000:00:0a.0", driver="vfio-pci")
    with pytest.raises(HostError, match="no NIC is named"):
        read(machine).find(" ")


@pytest.mark.parametrize("word", ["8.0", "180.0", "41135040008"])
def test_a_pci_address_without_quotes_in_yaml_is_recognised_as_such(machine: Kernel, word: str) -> None:
    with pytest.raises(HostError, match="write PCI and MAC addresses in quotes, or YAML takes them for numbers"):
        read(machine).find(word)
