"""How commands read ports and names."""

from __future__ import annotations

import pytest

from contivpp.netctl.arguments import namespaced, port_of
from contivpp.netctl.errors import UsageError

PROTOCOLS = ("tcp", "udp")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("80", ("tcp", 80)), ("80/", ("tcp", 80)), ("53/UDP", ("udp", 53)), ("65535/tcp", ("tcp", 65535))],
)
def test_a_port_is_of_tcp_unless_it_says_otherwise(text: str, expected: tuple[str, int]) -> None:
    assert port_of(text, PROTOCOLS) == expected


@pytest.mark.parametrize("text", ["", "http", "0", "65536", "-1", "80/sctp", "80/tcp/udp", "²"])
def test_what_is_no_port_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(UsageError, match=r"give it as 80/tcp, 80/udp"):
        port_of(text, PROTOCOLS)


def test_a_name_without_a_namespace_is_in_default() -> None:
    assert (namespaced("web"), namespaced("shop/web")) == ("default/web", "shop/web")
