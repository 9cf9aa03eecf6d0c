"""contiv-stn as a process, with a NIC that is a veth pair and a driver layer that is pretended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.daemon.stn.client import StnDownError, StnError
from tests.integration.cluster import ip
from tests.integration.stn.world import ADDRESS, GATEWAY, World, world_of

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]


@pytest.fixture(params=["device", "link"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def link(tmp_path: Path) -> Iterator[World]:
    """Where it makes no difference what kind of NIC it is."""
    with world_of(tmp_path, "link") as made:
        yield made


async def test_a_stolen_nic_is_vpps_and_comes_back_exactly_as_it_was(world: World) -> None:
    before = world.settled_picture()
    state = await world.stolen()
    assert not world.nic_is_here()
    assert world.is_deaf() is (world.mode == "link")
    assert state.pci == ("0000:00:03.0" if world.mode == "device" else "")
    assert state.kernel_driver == ("e1000e" if world.mode == "device" else "")
    assert f"{ADDRESS}/24" in state.addresses
    assert ("", GATEWAY) in [(hop.to, hop.via) for hop in state.routes]
    assert "172.17.0.0/16" not in [hop.to for hop in state.routes], "a route of another table is not the node's"
    assert state.probed == f"icmp {GATEWAY}"
    await world.client.release("eth0", timeout=30)
    assert world.settled_picture() == before
    assert not world.is_deaf()
    assert (await world.state()).phase == ""
    assert world.pings()
    assert "systemctl start --no-block vpp agent" in world.commands()


async def test_a_nic_comes_back_with_the_routes_that_networkmanager_added_in_the_kernels_name(link: World) -> None:
    for words in (
        "addr flush dev eth0",
        f"addr add {ADDRESS}/24 broadcast 10.77.0.255 dev eth0 noprefixroute",
        f"route add 10.77.0.0/24 dev eth0 proto kernel scope link src {ADDRESS} metric 100",
        f"route add default via {GATEWAY} dev eth0 proto static metric 100",
    ):
        ip(*words.split(), netns=link.node)
    link.sysctl("disable_ipv6", "1")
    before = link.picture()
    state = await link.stolen()
    assert "10.77.0.0/24" not in [hop.to for hop in state.routes], "the subnet comes with the address"
    await link.client.release("eth0", timeout=30)
    assert link.picture() == before
    assert link.pings()


async def test_a_route_over_another_link_that_has_gone_does_not_keep_the_node_from_coming_back(link: World) -> None:
    await link.stolen()
    ip("link", "delete", "eth9", netns=link.node)
    await link.client.release(timeout=60)
    assert link.pings()
    assert "default via" in ip("route", netns=link.node)
    assert "systemctl start --no-block vpp agent" in link.commands()
    assert not (link.folder / "root/run/systemd/network/00-contiv-stn-eth0.network").exists()
    assert "eth0 lacks route 172.16.0.0/16" in link.log()


async def test_nobody_configures_the_nic_meanwhile(link: World) -> None:
    file = link.folder / "root/run/systemd/network/00-contiv-stn-eth0.network"
    await link.stolen()
    assert "Unmanaged=yes" in file.read_text()
    await link.client.release(timeout=30)
    assert not file.exists()
    assert link.commands().count("networkctl reload") == 2
    assert "networkctl reconfigure eth0" in link.commands()


async def test_a_nic_goes_back_when_vpp_and_the_agent_never_come_up(world: World) -> None:
    before = world.settled_picture()
    world.start()
    await world.state()
    await world.client.steal("eth0", timeout=30, force=True)
    state = await world.until(lambda state: state.phase == "returned")
    assert "VPP does not run and the agent does not answer" in state.reason
    assert world.settled_picture() == before


async def test_a_nic_goes_back_when_the_gateway_is_not_reached_through_vpp(world: World) -> None:
    before = world.settled_picture()
    world.run_vpp()
    world.run_agent()
    world.start()
    await world.state()
    await world.client.steal("eth0", timeout=30)
    state = await world.until(lambda state: state.phase == "returned")
    assert state.reason == "the gateway does not answer by way of VPP in time"
    assert world.settled_picture() == before


@pytest.mark.parametrize("dying", ["vpp", "agent"])
async def test_a_nic_goes_back_when_one_dies_for_good_and_not_when_it_comes_back(link: World, dying: str) -> None:
    before = link.settled_picture()
    await link.stolen()
    end, run = (link.end_vpp, link.run_vpp) if dying == "vpp" else (link.end_agent, link.run_agent)
    end()
    await asyncio.sleep(0.7)
    run()
    await asyncio.sleep(3)
    assert (await link.state()).phase == "confirmed"
    end()
    state = await link.until(lambda state: state.phase == "returned")
    assert ("VPP does not run" if dying == "vpp" else "the agent does not answer") in state.reason
    assert link.settled_picture() == before


@pytest.mark.slow
async def test_a_gateway_that_answers_the_kernel_again_condemns_vpp(link: World) -> None:
    before = link.settled_picture()
    await link.stolen()
    link.disconnect()
    state = await link.until(lambda state: state.phase == "returned")
    assert "the gateway does not answer" in state.reason
    await asyncio.sleep(7)
    assert (await link.state()).phase == "returned"
    assert link.settled_picture() == before


@pytest.mark.slow
async def test_a_gateway_that_answers_nobody_is_not_vpps_fault(link: World) -> None:
    await link.stolen()
    ip("link", "set", "br0", "down", netns=link.gateway)
    await link.until(lambda state: state.phase == "returned")
    ip("link", "set", "br0", "up", netns=link.gateway)
    ip("addr", "add", "fd77::1/64", "dev", "br0", "nodad", netns=link.gateway)
    await link.until(lambda state: state.phase == "stolen", 30)
    link.connect()
    await link.until(lambda state: state.phase == "confirmed")


async def test_without_a_word_in_time_all_rolls_back(world: World) -> None:
    before = world.settled_picture()
    state = await world.stolen(word=4)
    assert state.awaits_confirmation
    assert state.seconds_left <= 4
    state = await world.until(lambda state: state.phase == "returned")
    assert state.reason == "nobody confirmed that the node is reached in time"
    assert world.settled_picture() == before


async def test_a_word_in_time_keeps_the_nic(link: World) -> None:
    await link.stolen(word=20)
    await link.client.confirm("eth0")
    await link.until(lambda state: state.phase == "confirmed")


async def test_a_theft_that_begins_later_answers_at_once(link: World) -> None:
    link.run_vpp()
    link.run_agent()
    link.start()
    await link.state()
    state = await link.client.steal("eth0", timeout=5, delay_milliseconds=1000)
    assert (state.phase, state.name) == ("", "eth0")
    assert link.nic_is_here()
    await link.until(lambda state: state.phase == "stolen")
    assert not link.nic_is_here()


async def test_a_driver_that_does_not_take_the_nic_changes_nothing_in_the_end(tmp_path: Path) -> None:
    with world_of(tmp_path, "device") as world:
        before = world.settled_picture()
        world.options["broken"] = "vfio-pci"
        world.run_vpp()
        world.run_agent()
        world.start()
        await world.state()
        with pytest.raises(StnError, match=r"eth0 could not be taken: vfio-pci did not take 0000:00:03\.0"):
            await world.client.steal("eth0", timeout=30)
        assert (await world.state()).phase == "returned"
        assert world.settled_picture() == before


async def test_what_is_refused_is_refused_with_the_remedy(link: World) -> None:
    link.start()
    await link.state()
    for name, words in (
        ("eth7", "there is no NIC eth7 here, only eth0, eth9, eth9peer: correct the name"),
        ("eth9", "eth9 does not carry the default route, so nothing is gained by stealing it"),
        ("eth9peer", "eth9peer has no address, so there is nothing to take over"),
        ("eth0", "VPP and the agent must run before eth0 is taken"),
    ):
        with pytest.raises(StnError, match=words):
            await link.client.steal(name, timeout=30)
    with pytest.raises(StnError, match="eth0 has no PCI device, and vfio-pci takes nothing else: use af_packet"):
        await link.client.steal("eth0", timeout=30, driver="vfio-pci")
    ip("link", "add", "name", "br7", "type", "bridge", netns=link.node)
    ip("link", "set", "eth0", "master", "br7", netns=link.node)
    with pytest.raises(StnError, match="eth0 belongs to br7, which cannot be put back together"):
        await link.client.steal("eth0", timeout=30)
    with pytest.raises(StnError, match="no NIC is stolen"):
        await link.client.confirm()
    assert not (link.folder / "journal.json").exists()


async def test_an_address_with_a_lifetime_is_asked_for_by_dhcp_and_comes_back(link: World) -> None:
    ip("addr", "change", f"{ADDRESS}/24", "dev", "eth0", "valid_lft", "900", "preferred_lft", "800", netns=link.node)
    state = await link.stolen()
    assert state.dhcp
    await link.client.release(timeout=30)
    shown = ip("addr", "show", "dev", "eth0", netns=link.node)
    left = int(shown.partition(f"{ADDRESS}/24")[2].partition("valid_lft ")[2].partition("sec")[0])
    assert 300 <= left <= 900, "its client renews it"


async def test_a_second_theft_and_a_second_return_change_nothing(link: World) -> None:
    await link.stolen()
    events = len(link.events())
    assert (await link.client.steal("eth0", timeout=30)).phase == "confirmed"
    assert (await link.client.steal("", timeout=30)).name == "eth0"
    assert len(link.events()) == events
    await link.client.release(timeout=30)
    with pytest.raises(StnError, match="no NIC is stolen"):
        await link.client.release(timeout=30)


async def test_stopping_the_daemon_leaves_a_confirmed_nic_and_takes_back_another_one(link: World) -> None:
    before = link.settled_picture()
    await link.stolen()
    assert link.stop() == 0
    assert not link.nic_is_here()
    link.start()
    assert (await link.state()).phase == "confirmed"
    await link.client.release(timeout=30)
    ip("link", "set", "eth0", "up", netns=link.node)
    await link.client.steal("eth0", timeout=30)
    assert link.stop() == 0
    assert link.settled_picture() == before


async def test_a_machine_that_starts_takes_a_confirmed_nic_again_before_anybody_else(world: World) -> None:
    await world.stolen()
    world.reboot()
    world.start("boot")
    assert not world.nic_is_here()
    assert (world.folder / "root/run/systemd/network/00-contiv-stn-eth0.network").exists()
    world.start()
    assert (await world.state()).phase == "stolen"
    world.connect()
    await world.until(lambda state: state.phase == "confirmed")


async def test_a_machine_that_dies_of_the_theft_does_so_once(world: World) -> None:
    before = world.settled_picture()
    await world.stolen()
    world.reboot()
    world.start("boot")
    world.reboot()
    world.start("boot")
    world.start()
    state = await world.until(lambda state: state.phase == "returned")
    assert state.reason == "the machine went down before eth0 was confirmed"
    assert world.settled_picture() == before


async def test_a_full_disk_stops_a_theft_and_not_a_return(link: World) -> None:
    before = link.settled_picture()
    await link.stolen()
    journal = link.folder / ".journal.json.new"
    journal.mkdir()  # nothing can be written there
    link.end_vpp()
    await link.until(lambda state: state.phase == "returned", within=15.0)
    assert link.settled_picture() == before
    link.run_vpp()
    with pytest.raises(StnError, match="cannot be written"):
        await link.client.steal("eth0", timeout=30)
    assert link.nic_is_here()


async def test_a_journal_that_cannot_be_read_is_named_and_nothing_is_guessed(link: World) -> None:
    (link.folder / "journal.json").write_text("{")
    link.start()
    assert link.died()
    assert "journal.json cannot be read" in link.log()
    with pytest.raises(StnDownError, match="is contiv-stn running"):
        await link.client.state()
