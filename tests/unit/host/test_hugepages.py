from __future__ import annotations

import contextlib
from typing import Any

import pytest

from contivpp.host import boot, hugepages
from contivpp.host.hugepage_mounts import unit_name
from contivpp.host.hugepages import Plan, Wanted
from contivpp.host.system import HostError
from tests.unit.host.kernel import Kernel, Killed, killed_at

ALL = "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
MEMORY = "var/lib/contiv/host/hugepages.json"


def on(node: int) -> str:
    return f"sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"


@pytest.fixture
def machine(kernel: Kernel) -> Kernel:
    """Two NUMA nodes of 4 GB each; somebody has 8 pages on the first one and uses 6 of them."""
    kernel.add_memory(8192)
    kernel.add_pages("2M", pages=8, free=2, room=4000)
    kernel.add_pages("1G", room=2)
    for node, (pages, free) in enumerate([(8, 2), (0, 0)]):
        kernel.add_memory(4096, node)
        kernel.add_pages("2M", node, pages=pages, free=free, room=2000)
        kernel.add_pages("1G", node, room=1)
    return kernel


def planned(kernel: Kernel, *wanted: Wanted, user_runs: bool = False, **more: Any) -> Plan:
    return hugepages.plan(hugepages.read(kernel.system(), user_runs=user_runs), wanted, **more)


def do(kernel: Kernel, *wanted: Wanted, **more: Any) -> Plan:
    made = planned(kernel, *wanted, **more)
    if made.changed:
        hugepages.apply(kernel.system(), made)
    return made


def files(kernel: Kernel) -> dict[str, str]:
    return {
        str(path.relative_to(kernel.root)): path.read_text()
        for path in sorted(kernel.root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_pages_are_reserved_on_a_node_and_told_to_the_next_boot(machine: Kernel) -> None:
    made = do(machine, Wanted("2M", 512, node=1))
    assert made.before["pages"] == {"2M on NUMA node 1": {"now": 0, "at_boot": 0}}
    assert made.after["pages"] == {"2M on NUMA node 1": {"now": 512, "at_boot": 512}}
    assert machine.read(on(1)) == "512\n" and machine.read(ALL) == "520\n" and machine.read(on(0)) == "8\n"
    assert boot.read(machine.system(), "hugepages") == {on(1)[4:]: "512"}
    assert not planned(machine, Wanted("2048K", 512, node=1)).changed


def test_without_a_node_the_kernel_spreads_them(machine: Kernel) -> None:
    do(machine, Wanted("2M", 100))
    assert machine.read(ALL) == "100\n"
    assert boot.read(machine.system(), "hugepages") == {ALL[4:]: "100"}


def test_a_pool_keeps_what_it_had_and_gives_back_what_was_added(machine: Kernel) -> None:
    before = files(machine)
    do(machine, Wanted("2M", 100, node=0))
    do(machine, Wanted("2M", 4, node=0))
    assert machine.read(on(0)) == "8\n", "fewer than there were before are not left"
    do(machine, Wanted("2M", 64, node=0), Wanted("2M", 32, node=1))
    do(machine, Wanted("2M", 32, node=1))
    assert machine.read(on(0)) == "8\n" and machine.read(on(1)) == "32\n", "one that nobody wants any more goes back"
    made = do(machine)
    assert made.changed and files(machine) == before
    assert not planned(machine).changed


def test_a_plan_writes_nothing(machine: Kernel) -> None:
    before = files(machine)
    assert planned(machine, Wanted("2M", 512, node=1), mounts=[("/dev/hugepages2M", "2M")]).changed
    assert files(machine) == before and machine.written == []


def test_pages_that_the_kernel_could_not_reserve_are_an_error_and_all_is_as_before(machine: Kernel) -> None:
    machine.put("proc/sys/vm/compact_memory", "")
    machine.free["node1", 2048] = 120
    before = files(machine)
    with pytest.raises(HostError) as raised:
        do(machine, Wanted("2M", 16, node=0), Wanted("2M", 512, node=1))
    assert str(raised.value).startswith("only 120 of 512 pages of 2M on NUMA node 1 could be had, memory is in pieces")
    assert "set now to false and reboot" in str(raised.value)
    assert {**files(machine), "proc/sys/vm/compact_memory": ""} == before
    assert ("proc/sys/vm/compact_memory", "1") in machine.written, "it was put together first"


def test_for_what_only_a_reboot_can_give_the_next_boot_alone_is_told(machine: Kernel) -> None:
    before = files(machine)
    machine.free["node1", 2048] = 120
    made = do(machine, Wanted("2M", 512, node=1), now=False)
    assert made.after["pages"] == {"2M on NUMA node 1": {"now": 0, "at_boot": 512}}
    assert machine.read(on(1)) == "0\n"
    for file in ("nr_", "free_"):  # the boot
        machine.put(on(1).replace("nr_", file), "512\n")
    assert not planned(machine, Wanted("2M", 512, node=1)).changed
    machine.free["node1", 2048] = 2000
    do(machine)
    assert machine.read(on(1)) == "0\n" and set(files(machine)) == set(before)


def test_without_the_next_boot_nothing_is_told_to_it(machine: Kernel) -> None:
    do(machine, Wanted("2M", 512, node=1), at_boot=False)
    assert boot.read(machine.system(), "hugepages") == {} and machine.read(on(1)) == "512\n"
    do(machine)
    assert machine.read(on(1)) == "0\n"


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ([Wanted("2M", 5000)], "4992 more pages of 2M need 9984 MiB and only 8192 MiB of memory can be had: lower"),
        ([Wanted("2M", 2500, node=1)], "need 5000 MiB and only 4096 MiB of memory can be had there"),
        ([Wanted("2M", 1500, node=1), Wanted("1G", 2, node=1)], "2 more pages of 1G on NUMA node 1 need 2048 MiB and only 1096"),
        ([Wanted("16M", 5)], "this host has no pages of 16M, only 2M, 1G: choose another size"),
        ([Wanted("2M", 5, node=3)], "this host has no NUMA node 3, only 0, 1: correct it"),
        ([Wanted("big", 5)], "'big' is not the size of a page: write it such as 2M or 1G"),
        ([Wanted("2M", -1)], "-1 pages of 2M cannot be"),
        ([Wanted("2M", 10), Wanted("2M", 20, node=1)], "by NUMA node and for all nodes: choose one"),
        ([Wanted("2M", 10, node=1), Wanted("2048k", 20, node=1)], "are asked for twice: add the counts up"),
        ([Wanted("2M", 20, node=0, free=16)], "only 14 of 20 pages of 2M on NUMA node 0 are free and 16 are needed"),
    ],
)  # fmt: skip
def test_too_few_pages_and_wrong_wishes_are_refused(machine: Kernel, wanted: list[Wanted], sentence: str) -> None:
    with pytest.raises(HostError) as raised:
        planned(machine, *wanted)
    assert len(raised.value.problems) == 1 and sentence in str(raised.value)
    assert machine.written == []


def test_what_is_given_back_is_there_for_what_is_taken(machine: Kernel) -> None:
    do(machine, Wanted("2M", 1508, node=0))
    machine.add_memory(8192, free=1000)
    machine.add_memory(4096, 0, free=600)
    machine.add_memory(4096, 1, free=4000)
    made = planned(machine, Wanted("2M", 1500, node=1))
    assert [(one.pool.node, one.after) for one in made.reservations] == [(0, 8), (1, 1500)]
    assert [(one.pool.kilobytes, one.after) for one in planned(machine, Wanted("1G", 3, node=0)).reservations] == [
        (2048, 8),
        (1 << 20, 3),
    ]
    with pytest.raises(HostError, match="5 more pages of 1G on NUMA node 0 need 5120 MiB and only 4000 MiB"):
        planned(machine, Wanted("1G", 5, node=0))


def test_all_that_is_wrong_is_told_at_once(machine: Kernel) -> None:
    with pytest.raises(HostError) as raised:
        planned(machine, Wanted("16M", 1), Wanted("2M", 5000), Wanted("1G", 1, node=9))
    assert len(raised.value.problems) == 3


def test_pages_that_are_promised_are_not_free(machine: Kernel) -> None:
    do(machine, Wanted("2M", 100))
    machine.put(ALL.replace("nr_", "resv_"), "90\n")
    [pool] = [one for one in hugepages.read(machine.system()).pools if one.path == "/" + ALL]
    assert (pool.pages, pool.free) == (100, 4)
    with pytest.raises(
        HostError, match="only 4 of 100 pages of 2M are free and 50 are needed: .* raise the count by 46"
    ):
        planned(machine, Wanted("2M", 100, free=50))
    assert not planned(machine, Wanted("2M", 100, free=50), user_runs=True).changed, "he has his share already"


def test_pages_that_go_with_their_user_do_not_count(machine: Kernel) -> None:
    machine.put(on(1), "40\n")
    machine.put(on(1).replace("nr_", "surplus_"), "40\n")
    assert planned(machine, Wanted("2M", 10, node=1)).before["pages"]["2M on NUMA node 1"]["now"] == 0


def test_a_mount_is_made_and_goes_with_the_wish_for_it(machine: Kernel) -> None:
    before = files(machine)
    made = do(machine, mounts=[("/dev/huge-1G", "1G")])
    assert made.before["mounts"] == {} and made.after["mounts"] == {"/dev/huge-1G": "1G"}
    unit = machine.read("etc/systemd/system/dev-huge\\x2d1G.mount")
    assert "Where=/dev/huge-1G\n" in unit and "pagesize=1G" in unit
    assert not planned(machine, mounts=[("/dev/huge-1G", "1G")]).changed
    do(machine, mounts=[("/dev/huge-1G", "2M")])
    assert "pagesize=2M" in machine.read("proc/self/mountinfo")
    do(machine)
    assert files(machine) == before and not (machine.root / "dev/huge-1G").exists()


def test_a_mount_of_somebody_else_is_left_alone(machine: Kernel) -> None:
    line = "28 24 0:30 / /dev/hugepages rw - hugetlbfs hugetlbfs rw,pagesize=2M\n"
    machine.put("proc/self/mountinfo", machine.read("proc/self/mountinfo") + line)
    assert not planned(machine, mounts=[("/dev/hugepages", "")]).changed
    with pytest.raises(HostError, match="/dev/hugepages has pages of 2M: choose another folder"):
        planned(machine, mounts=[("/dev/hugepages", "1G")])


@pytest.mark.parametrize(("path", "size"), [("relative", "2M"), ("/ends/", "2M"), ("/dev/x", "16M"), ("/a b", "2M")])
def test_a_mount_that_cannot_be_is_refused(machine: Kernel, path: str, size: str) -> None:
    with pytest.raises(HostError):
        planned(machine, mounts=[(path, size)])


def test_a_mount_that_systemd_refuses_is_named_with_its_unit(machine: Kernel) -> None:
    system = machine.system()
    made = planned(machine, mounts=[("/dev/huge", "2M")])
    machine._mount = lambda verb, unit: type(machine.run(["true"]))(1, "", "Job failed.")  # type: ignore[method-assign]
    with pytest.raises(HostError, match="systemctl start dev-huge.mount failed: Job failed"):
        hugepages.apply(system, made)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/dev/hugepages", "dev-hugepages.mount"), ("/mnt/a-b_c.d", "mnt-a\\x2db_c.d.mount"), ("/.x", "\\x2ex.mount")],
)
def test_units_have_the_names_that_systemd_wants(path: str, name: str) -> None:
    assert unit_name(path) == name


@pytest.mark.parametrize("interrupted_at", range(14))
@pytest.mark.parametrize("wished", [True, False])
def test_a_run_that_was_killed_anywhere_ends_right_when_it_is_repeated(
    machine: Kernel, interrupted_at: int, wished: bool
) -> None:
    wanted = [Wanted("2M", 64, node=0), Wanted("1G", 1, node=1)]
    mounts = [("/dev/huge", "1G")]
    before = files(machine)
    if not wished:
        do(machine, *wanted, mounts=mounts)
    system = killed_at(machine.system(), interrupted_at)
    given = (wanted, mounts) if wished else ([], [])
    with contextlib.suppress(Killed):
        hugepages.apply(system, hugepages.plan(hugepages.read(system), given[0], mounts=given[1]))
    do(machine, *given[0], mounts=given[1])
    assert not planned(machine, *given[0], mounts=given[1]).changed
    if wished:
        assert machine.read(on(0)) == "64\n" and "/dev/huge " in machine.read("proc/self/mountinfo")
        do(machine)
    assert files(machine) == before
