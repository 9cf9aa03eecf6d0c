"""The words of the service are those of stn.proto, and those of the original among them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from contivpp.daemon.stn import stn_pb2 as _messages

messages: Any = _messages
ORIGINAL = {
    "STNRequest": {"interface_name": 1, "dhcp_enabled": 2},
    "STNReply": {"result": 1, "error": 2, "pci_address": 3, "ip_addresses": 4, "routes": 5, "kernel_driver": 6},
    "STNReply.Route": {"destination_subnet": 1, "next_hop_ip": 2},
}


def described(message: Any) -> str:
    """A message without the names of its fields in JSON, which only one of the two compilers writes down."""
    for one in (message, *message.nested_type):
        for field in one.field:
            field.ClearField("json_name")
    return str(message)


def numbers(message: Any) -> dict[str, int]:
    return {field.name: field.number for field in message.DESCRIPTOR.fields}


def test_the_messages_are_those_of_the_file(tmp_path: Path) -> None:
    proto = Path(messages.__file__).with_name("stn.proto")
    arguments = [f"-I{proto.parent}", f"--descriptor_set_out={tmp_path}/set", str(proto)]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)
    [compiled] = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    ours = descriptor_pb2.FileDescriptorProto()
    messages.DESCRIPTOR.CopyToProto(ours)
    assert [described(one) for one in ours.message_type] == [described(one) for one in compiled.message_type]
    assert str(ours.service) == str(compiled.service)


def test_the_originals_fields_have_their_numbers() -> None:
    ours = {
        "STNRequest": numbers(messages.STNRequest),
        "STNReply": numbers(messages.STNReply),
        "STNReply.Route": numbers(messages.STNReply.Route),
    }
    for name, fields in ORIGINAL.items():
        assert fields.items() <= ours[name].items()
    methods = {method.name for method in messages.DESCRIPTOR.services_by_name["STN"].methods}
    assert {"StealInterface", "ReleaseInterface", "StolenInterfaceInfo"} <= methods
