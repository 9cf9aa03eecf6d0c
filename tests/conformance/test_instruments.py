"""What the suite measures with: the table of failing cells, SCTP by hand, and the agents' configuration."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from contivpp.model.config import ContivConfig
from tests.conformance.plan import FAMILIES, Family, contiv_conf
from tests.conformance.table import failures
from tests.conformance.world import Endpoint, Probe, Result

pytestmark = pytest.mark.unit


def endpoint(name: str) -> Endpoint:
    return Endpoint(name, "pod", "node1", ("10.1.0.1",), Mock(), "default")


def result(source: Endpoint, protocol: str, answered_by: str = "", error: str = "") -> Result:
    return Result(Probe(source, "10.1.0.1", 7000, protocol), not error, answered_by, "", 0, 0.1, error)


def test_the_table_shows_what_failed_and_nothing_else() -> None:
    a, b, c = endpoint("a"), endpoint("b"), endpoint("c")
    cells = [
        (result(a, "TCP", "b"), b),
        (result(a, "TCP", error="timeout"), c),
        (result(a, "UDP", error="timeout"), c),
        (result(b, "TCP", "c"), a),
        (result(b, "ICMP"), c),
        (result(c, "TCP", "a"), a),
    ]
    table = failures([one for one, _ in cells], [target for _, target in cells])
    assert [re.split(r" {2,}", line.rstrip()) for line in table.splitlines()[1:]] == [
        ["from \\ to", "a", "c"],
        ["a", ".", "TCP/UDP timeout"],
        ["b", "TCP answered by c", "."],
    ]
    assert table.startswith("3 of 6 probes failed\n")
    assert failures([cells[0][0], cells[4][0]], [b, c]) == ""


def test_sctp_is_read_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent / "station")])
    import sctp

    assert sctp.checksum(b"123456789") == int.from_bytes((0xE3069283).to_bytes(4, "little"), "big")
    asked = sctp.read(sctp.init(4000, 80, 77))
    assert asked == sctp.Packet(4000, 80, 0, sctp.INIT, 77, b"")
    assert sctp.read(sctp.answer(asked, b"cookie")) == sctp.Packet(80, 4000, 77, sctp.INIT_ACK, 1, b"cookie")
    assert sctp.read(sctp.answer(asked, None)) == sctp.Packet(80, 4000, 77, sctp.ABORT, 0, b"")
    damaged = bytearray(sctp.init(4000, 80, 77))
    damaged[3] ^= 1
    assert sctp.read(bytes(damaged)) is None


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("dataplane", ["linux", "vpp"])
def test_agents_understand_their_configuration(dataplane: str, family: Family) -> None:
    networks = FAMILIES[family]
    nics = {"node1": 1, "node2": 2} if dataplane == "vpp" else {}
    config = ContivConfig.parse(contiv_conf(dataplane, networks, nics), node_name="node1")
    assert config.unsupported() == []
    assert [plan.version for plan in config.plan.families] == [one.version for one in networks]
    assert [str(plan.pod_subnet(1)) for plan in config.plan.families][0].endswith(f"/{networks[0].pods_of_node}")
