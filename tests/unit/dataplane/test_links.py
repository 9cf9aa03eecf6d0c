"""What comes with a link, and is there for others to depend on."""

from __future__ import annotations

from typing import Any, cast

import pytest

from contivpp.dataplane.linux.links import LinkDescriptor
from contivpp.dataplane.linux.values import LinkEnd, LinkName, TapEnd, Veth


@pytest.mark.parametrize(
    ("end", "comes"),
    [
        (TapEnd(Veth.peer_link("tap"), "eth0", "/run/netns/a", "vpp/interface/tap"), LinkEnd(Veth.peer_link("tap"))),
        (TapEnd("vpp1", "vpp1", "", "vpp/interface/tap-vpp2"), LinkName("vpp1")),
    ],
    ids=["in a pod", "on the node"],
)
def test_the_end_of_a_tap_brings_what_the_kernel_shows_of_it_after_a_restart(end: TapEnd, comes: Any) -> None:
    links = LinkDescriptor(cast("Any", None))
    assert links.derived(end.key, end) == {comes.key: comes}
