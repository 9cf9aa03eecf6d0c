"""Which NIC is meant when none is named."""

from __future__ import annotations

from typing import Any

import pytest

from contivpp.stn import checks
from contivpp.stn.checks import RefusedStealError, Wanted
from contivpp.stn.journal import SavedAddress


class Machine:
    """Two links with an address each; both are gone when one looks closer."""

    def names(self) -> tuple[str, ...]:
        return ("eth0", "eth1")

    def addresses(self, name: str) -> tuple[SavedAddress, ...]:
        return (SavedAddress(text={"eth0": "2001:db8::5/64", "eth1": "10.0.0.5/24"}[name], message=""),)

    def link(self, name: str) -> None:
        return None


@pytest.mark.parametrize(("node_ip", "name"), [("2001:DB8:0::5", "eth0"), ("10.0.0.5", "eth1")])
def test_the_nic_of_the_node_is_found_however_its_address_is_written(node_ip: str, name: str) -> None:
    machine: Any = Machine()
    with pytest.raises(RefusedStealError, match=f"there is no NIC {name} here"):
        checks.saved_nic(Wanted(), machine, None, (), node_ip=node_ip, now=0.0)  # type: ignore[arg-type]
