"""The kinds of interfaces, one module each; `ALL` has those that there are.

All share one prefix of keys and one descriptor, so that a name that is given to another kind of interface is an
update like any other: the old interface goes, and the new one comes.
"""

from __future__ import annotations

from typing import Any, Final

from contivpp.dataplane.vpp.descriptors.kinds.af_packet import HostInterfaceKind
from contivpp.dataplane.vpp.descriptors.kinds.kind import Kind
from contivpp.dataplane.vpp.descriptors.kinds.loopback import LoopbackKind
from contivpp.dataplane.vpp.descriptors.kinds.memif import MemifKind
from contivpp.dataplane.vpp.descriptors.kinds.nic import NicKind
from contivpp.dataplane.vpp.descriptors.kinds.pipe import PipeEndKind, PipeKind
from contivpp.dataplane.vpp.descriptors.kinds.subinterface import SubInterfaceKind
from contivpp.dataplane.vpp.descriptors.kinds.tap import TapKind
from contivpp.dataplane.vpp.descriptors.kinds.vmxnet3 import Vmxnet3Kind
from contivpp.dataplane.vpp.descriptors.kinds.vxlan import VxlanKind

ALL: Final[tuple[Kind, ...]] = (
    NicKind(),
    PipeKind(),
    PipeEndKind(),
    SubInterfaceKind(),
    HostInterfaceKind(),
    VxlanKind(),
    TapKind(),
    MemifKind(),
    Vmxnet3Kind(),
    LoopbackKind(),
)
"""In the order in which they are asked whether an interface is theirs."""
_BY_TYPE: Final = {kind.type: kind for kind in ALL}


def kind_of(value: Any) -> Kind:
    """The kind of an interface value."""
    return _BY_TYPE[type(value)]
