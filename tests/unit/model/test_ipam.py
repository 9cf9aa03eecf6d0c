"""Addresses of pods: the examples of the original's tests, and laws over any history."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from contivpp.model.config import ContivConfig
from contivpp.model.ipam import AddressesExhausted, AddressPool
from contivpp.model.keys import PodID


def addresses(subnet: str = "1.2.128.0/17", prefix: int = 29, *, node_id: int = 1) -> AddressPool:
    host = "172.30.0.0/16" if "." in subnet else "fe30::/64"
    host_prefix, tunnels = (24, "192.168.30.0/24") if "." in subnet else (80, "fe20::/64")
    plan = ContivConfig.parse(
        f"""
        ipamConfig:
          podSubnetCIDR: "{subnet}"
          podSubnetOneNodePrefixLen: {prefix}
          vppHostSubnetCIDR: "{host}"
          vppHostSubnetOneNodePrefixLen: {host_prefix}
          vxlanCIDR: "{tunnels}"
        """
    ).plan
    return AddressPool(plan, node_id)


def pod(number: int) -> PodID:
    return PodID(name=f"pod{number}", namespace="default")


def fill(pods: AddressPool, count: int) -> list[str]:
    return [str(pods.allocate(pod(number))) for number in range(count)]


def test_an_address_is_not_given_again_while_others_are_free():
    pods = addresses()

    assert fill(pods, 2) == ["1.2.128.10", "1.2.128.11"]
    pods.release(pod(1))
    assert [str(pods.allocate(pod(number))) for number in (2, 3, 4)] == [
        "1.2.128.12",
        "1.2.128.13",
        "1.2.128.11",
    ]


@pytest.mark.parametrize(
    ("subnet", "prefix", "count"),
    [("1.2.128.0/17", 29, 4), ("10.1.0.0/16", 24, 252), ("1.4.1.2/14", 22, 1020), ("fe10::/64", 120, 252)],
)
def test_the_capacity_is_exact(subnet, prefix, count):
    pods = addresses(subnet, prefix)

    assert pods.capacity == count
    assert len(set(fill(pods, count))) == count
    with pytest.raises(AddressesExhausted) as caught:
        pods.allocate(PodID(name="one", namespace="too-many"))
    assert str(caught.value).startswith(f"no IP address is free for allocation in the subnet {pods.subnet}: ")
    assert "ipamConfig.podSubnetOneNodePrefixLen" in str(caught.value)
    assert (caught.value.subnet, caught.value.capacity) == (pods.subnet, count)


def test_a_refused_pod_changes_nothing_and_succeeds_after_a_release():
    pods = addresses()
    given_out = fill(pods, 4)
    with pytest.raises(AddressesExhausted):
        pods.allocate(pod(9))

    assert sorted(map(str, pods.allocations().values())) == sorted(given_out)
    pods.release(pod(2))
    assert str(pods.allocate(pod(9))) == given_out[2]


def test_after_releasing_all_the_same_set_is_free():
    pods = addresses()
    first = fill(pods, 4)
    for number in range(4):
        pods.release(pod(number))

    assert pods.allocations() == {}
    assert set(fill(pods, 4)) == set(first)


def test_asking_again_gives_the_same_and_releasing_twice_is_fine():
    pods = addresses()

    assert pods.allocate(pod(1)) == pods.allocate(pod(1))
    pods.release(pod(1))
    pods.release(pod(1))
    assert pods.allocations() == {}


def test_a_wide_ipv6_subnet_needs_no_list_of_its_addresses():
    pods = addresses("fe10::/32", 48)

    assert str(pods.allocate(pod(1))) == "fe10:0:1::1:2"
    assert pods.capacity == (1 << 63) - 4


def test_no_two_pods_of_a_cluster_end_in_the_same_32_bits():
    for prefix, length in (("fe10::/32", 48), ("fe10::/64", 80), ("fe10::/80", 96), ("fe10::/96", 112)):
        pools = [addresses(prefix, length, node_id=node) for node in (1, 2, 300)]
        ends = [int(pool.allocate(pod(number))) & 0xFFFFFFFF for pool in pools for number in range(20)]
        assert len(set(ends)) == len(ends), prefix


def test_addresses_from_before_are_kept_and_their_pods_found():
    pods = addresses("fe10::/32", 48)

    assert pods.adopt(pod(1), "fe10:0:1::2")
    assert str(pods.allocate(pod(1))) == "fe10:0:1::2"
    assert str(pods.allocate(pod(2))) == "fe10:0:1::1:2"


def test_the_node_with_subnet_0_gives_addresses_too():
    pods = addresses("10.1.0.0/16", 24, node_id=256)

    assert str(pods.allocate(pod(1))) == "10.1.0.2"


def test_rebuild_takes_what_is_ours_and_goes_on_after_the_highest():
    pods = addresses("10.1.0.0/16", 24)
    pods.rebuild(
        [
            (pod(1), "10.1.1.9"),
            (pod(2), "10.1.2.3"),  # another node's
            (pod(3), "10.1.1.1"),  # the gateway is no pod's
            (pod(4), "10.1.1.254"),  # nor is the NAT loopback
            (pod(5), "10.20.0.2"),  # a pod on the host's network
            (pod(6), ""),
            (pod(7), "nonsense"),
            (pod(8), "10.1.1.4"),
        ]
    )

    assert {str(key): str(value) for key, value in pods.allocations().items()} == {
        "default/pod1": "10.1.1.9",
        "default/pod8": "10.1.1.4",
    }
    assert str(pods.allocate(pod(10))) == "10.1.1.10"


def test_of_two_claims_the_first_counts():
    pods = addresses("10.1.0.0/16", 24)

    assert pods.adopt(pod(1), "10.1.1.5")
    assert not pods.adopt(pod(2), "10.1.1.5")
    assert pods.owner("10.1.1.5") == pod(1)
    assert pods.adopt(pod(1), "10.1.1.6")
    assert pods.owner("10.1.1.5") is None
    assert pods.adopt(pod(2), "10.1.1.5")
    assert str(pods.allocate(pod(1))) == "10.1.1.6"


def test_adopting_what_a_pod_has_already_changes_nothing():
    pods = addresses("10.1.0.0/16", 24)
    address = str(pods.allocate(pod(1)))

    assert pods.adopt(pod(1), address)
    assert {key: str(value) for key, value in pods.allocations().items()} == {pod(1): address}


class AnyHistory(RuleBasedStateMachine):
    """Whatever is allocated, adopted and released: the laws hold, against a plain model."""

    pods_with_address = Bundle("pods_with_address")

    def __init__(self) -> None:
        super().__init__()
        self.real = addresses("10.1.0.0/16", 28)
        self.model: dict[PodID, str] = {}
        self.last = 1

    def next_free(self) -> str:
        """The first free address after the one given last, round and round: none is used again at once."""
        numbers = [*range(self.last + 1, 14), *range(2, self.last + 1)]
        candidates = (f"10.1.0.{16 + number}" for number in numbers)
        return next(address for address in candidates if address not in self.model.values())

    @rule(target=pods_with_address, number=st.integers(0, 20))
    def allocate(self, number):
        new = pod(number) not in self.model
        if new and len(self.model) == 12:
            with pytest.raises(AddressesExhausted):
                self.real.allocate(pod(number))
            return multiple()
        address = str(self.real.allocate(pod(number)))
        if new:
            assert address == self.next_free()
            self.last = int(address.rpartition(".")[2]) - 16
        else:
            assert address == self.model[pod(number)]
        self.model[pod(number)] = address
        return pod(number)

    @rule(number=st.integers(0, 20), host=st.integers(0, 15))
    def adopt(self, number, host):
        address = f"10.1.0.{16 + host}"
        free = address not in self.model.values() or self.model.get(pod(number)) == address
        accepted = self.real.adopt(pod(number), address)
        assert accepted == (free and 2 <= host <= 13)
        if accepted:
            self.model[pod(number)] = address
            self.last = max(self.last, host)

    @rule(gone=consumes(pods_with_address))
    def release(self, gone):
        self.real.release(gone)
        self.model.pop(gone, None)

    @invariant()
    def the_allocations_are_those_of_the_model(self):
        held = self.real.allocations()
        assert {key: str(value) for key, value in held.items()} == self.model

    @invariant()
    def no_two_pods_share_and_none_has_a_reserved_address(self):
        held = list(self.real.allocations().values())
        subnet = ipaddress.ip_network("10.1.0.16/28")
        reserved = {subnet[0], subnet[1], subnet[-2], subnet[-1]}
        assert len(set(held)) == len(held)
        assert set(held) <= set(subnet) - reserved

    @invariant()
    def rebuilding_from_the_records_gives_the_same(self):
        again = addresses("10.1.0.0/16", 28)
        again.rebuild((key, str(value)) for key, value in self.real.allocations().items())
        assert again.allocations() == self.real.allocations()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)


@given(order=st.permutations(range(12)))
def test_rebuilding_does_not_depend_on_the_order_of_the_records(order):
    pods = addresses("10.1.0.0/16", 28)
    records = [(pod(number), f"10.1.0.{18 + number}") for number in order]
    pods.rebuild(records)

    assert {key: str(value) for key, value in pods.allocations().items()} == dict(records)
