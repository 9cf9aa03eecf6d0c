"""The packet filter without a kernel: transactions in their order, and what a listing says."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.dataplane.linux.nft import library
from contivpp.dataplane.linux.nft.commands import Commands, carry_out, text_of
from contivpp.dataplane.linux.nft.library import Nftables, NftError
from contivpp.dataplane.linux.nft.reading import parse
from contivpp.dataplane.linux.nft.service_elements import (
    client_sets,
    elements_of,
    frontend_of,
    group_of,
    own_chains,
    owner_of,
    triple_of,
)
from contivpp.dataplane.linux.nft.service_values import Destination, ServiceFrontend
from contivpp.dataplane.linux.nft.values import NftChain, NftSet


class FakeNftables(Nftables):
    """Refuses a transaction that has a word in it, or that uses a set before it is made."""

    def __init__(self, *, refuse: str = "") -> None:
        super().__init__()
        self.refuse = refuse
        self.made: set[str] = set()
        self.texts: list[str] = []

    def run(self, commands: str) -> None:
        if self.refuse and self.refuse in commands:
            raise NftError("refused")
        made = {line.split()[4] for line in commands.splitlines() if line.startswith("add set")}
        for line in commands.splitlines():
            if line.startswith("add rule") and line.rpartition("@")[2] not in self.made | made:
                raise NftError("No such file or directory")
        self.made |= made
        self.texts.append(commands)


def a_set(name: str) -> Commands:
    commands = Commands()
    commands.add_set("set", name, "type ipv4_addr")
    return commands


def a_chain(name: str, uses: str) -> Commands:
    commands = Commands()
    commands.add_chain(name, [f"ip saddr @{uses}"])
    return commands


def test_a_transaction_makes_before_it_uses_and_empties_before_it_takes_away() -> None:
    going = Commands(removed={"s": ["1"]}, added={"s": ["2"]})
    going.delete_chain("old")
    going.delete_set("set", "unused")
    lines = text_of([going, a_chain("c", "s"), a_set("s")]).splitlines()
    kinds = [" ".join(line.split()[:2]) for line in lines]
    assert kinds == [
        *("add table", "delete element", "add set", "add chain", "flush chain", "add rule", "add element"),
        *("flush chain", "delete chain", "delete set"),
    ]


def test_one_that_is_refused_stands_alone_and_who_only_missed_another_is_tried_again() -> None:
    nftables = FakeNftables(refuse="wrong")
    batch = [a_chain("c1", "late"), a_chain("wrong", "late"), a_chain("c2", "never"), a_set("other"), a_set("late")]
    assert carry_out(nftables, batch) == ["", "refused", "No such file or directory", "", ""]


def test_a_listing_is_read_in_the_words_it_was_written_in() -> None:
    chain = {"name": "c", "type": "nat", "hook": "output", "prio": -100, "policy": "accept"}
    listing: list[dict[str, Any]] = [
        {"set": {"name": "s", "type": ["ipv4_addr", "inet_proto", "inet_service"], "comment": "others x", "timeout": 60,
                 "elem": [{"concat": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, 6, {"range": [80, 90]}]},
                          {"elem": {"val": {"concat": ["10.0.0.1", 17, 6]}, "expires": 3}}]}},
        {"map": {"name": "m", "type": "ifname", "map": "verdict",
                 "elem": [["veth1", {"goto": {"target": "c"}}], ["veth2", {"accept": None}]]}},
        {"chain": chain},
        {"rule": {"chain": "c", "comment": "d/0/1"}},
    ]  # fmt: skip
    table = parse(listing)
    assert table.sets["s"].elements == {"10.0.0.0/8 . tcp . 80-90": "", "10.0.0.1 . udp . 6": ""}
    assert table.sets["s"].timeout == 60
    assert table.sets["m"].elements == {"veth1": "goto c", "veth2": "accept"}
    assert table.chains["c"].base == "type nat hook output priority -100; policy accept"
    assert table.chains["c"].comments == ["d/0/1"]


def test_chains_and_sets_are_the_same_when_what_they_are_made_from_is() -> None:
    assert NftChain("c", rules=("drop",)) == NftChain("c", digest=NftChain("c", rules=("drop",)).digest)
    assert NftChain("c", rules=("drop",)) != NftChain("c", rules=("accept",))
    assert NftSet("s", "type ipv4_addr") != NftSet("s", "type ipv6_addr")
    assert NftSet("s", "type ipv4_addr", frozenset("a")) != NftSet("s", "type ipv4_addr", frozenset("b"))


@pytest.mark.parametrize("address", ["10.96.0.1", "fd00:96::1"])
def test_what_a_frontend_is_made_of_says_whose_it_is(address: str) -> None:
    backends = (("10.1.1.1", 80), ("10.1.1.2", 80)) if address.startswith("10") else (("fd00::1", 80), ("fd00::2", 80))
    frontend = ServiceFrontend(address, "tcp", 80, Destination(backends), affinity=60, group="0a1b2c3d4e5f")
    assert frontend_of(triple_of(frontend)) == ServiceFrontend(address, "tcp", 80)
    names = [chain.name for chain in own_chains(frontend)]
    assert len(names) == 3
    assert {owner_of(name) for name in names} == {triple_of(frontend)}
    assert [group_of(name) for name in names] == ["0a1b2c3d4e5f", "0a1b2c3d4e5f", ""]
    assert {group_of(one.name) for one in client_sets(frontend)} == {"0a1b2c3d4e5f"}
    assert sum(map(len, elements_of(frontend).values())) == 1 + 2


def test_a_machine_without_the_library_has_nothing_of_ours_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(library, "_LIBRARY", "libnftables.so.none")
    assert Nftables().list("list tables") == []
    with pytest.raises(NftError, match="install the package nftables"):
        Nftables().run("add table inet contiv")
