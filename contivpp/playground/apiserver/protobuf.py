"""Bodies in Kubernetes' protobuf, which kubectl's typed commands send (`kubectl create namespace`).

Only the kinds that kubectl sends this way are read, and only to JSON; answers are always JSON, which every
client takes. Source: the field numbers of Kubernetes' generated.proto files, and the envelope
`runtime.Unknown` behind a magic of four bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from contivpp.playground.apiserver.errors import bad_request

Object = dict[str, Any]
CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
# A field is its JSON name and its type: a word below, or the name of a message; "*" marks a list.
Message = Mapping[int, tuple[str, str]]

_METADATA: Final[Message] = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    5: ("uid", "string"),
    6: ("resourceVersion", "string"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    14: ("finalizers", "*string"),
}
_MESSAGES: Final[Mapping[str, Message]] = {
    "metadata": _METADATA,
    "Namespace": {1: ("metadata", "metadata"), 2: ("spec", "NamespaceSpec")},
    "NamespaceSpec": {1: ("finalizers", "*string")},
    "ConfigMap": {
        1: ("metadata", "metadata"),
        2: ("data", "map"),
        3: ("binaryData", "bytes-map"),
        4: ("immutable", "bool"),
    },
    "Secret": {
        1: ("metadata", "metadata"),
        2: ("data", "bytes-map"),
        3: ("type", "string"),
        4: ("stringData", "map"),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {1: ("metadata", "metadata"), 4: ("automountServiceAccountToken", "bool")},
    "Service": {1: ("metadata", "metadata"), 2: ("spec", "ServiceSpec")},
    "ServiceSpec": {
        1: ("ports", "*ServicePort"),
        2: ("selector", "map"),
        3: ("clusterIP", "string"),
        4: ("type", "string"),
        5: ("externalIPs", "*string"),
        7: ("sessionAffinity", "string"),
        9: ("loadBalancerSourceRanges", "*string"),
        10: ("externalName", "string"),
        11: ("externalTrafficPolicy", "string"),
        13: ("publishNotReadyAddresses", "bool"),
        17: ("ipFamilyPolicy", "string"),
        18: ("clusterIPs", "*string"),
        19: ("ipFamilies", "*string"),
        22: ("internalTrafficPolicy", "string"),
    },
    "ServicePort": {
        1: ("name", "string"),
        2: ("protocol", "string"),
        3: ("port", "int"),
        4: ("targetPort", "int-or-string"),
        5: ("nodePort", "int"),
        6: ("appProtocol", "string"),
    },
    "Eviction": {1: ("metadata", "metadata"), 2: ("deleteOptions", "DeleteOptions")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", "*string"),
    },
}


def decode(body: bytes) -> Object:
    """Reads a body.

    Raises:
        ApiError: it is no such body, or of a kind that is not read here.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the body does not begin as Kubernetes' protobuf does")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        type_meta = dict(_fields(_bytes(envelope[1])))
        api_version, kind = _bytes(type_meta[1]).decode(), _bytes(type_meta[2]).decode()
        message = _MESSAGES.get(kind)
        if message is None:
            raise bad_request(f"the playground does not read {kind} in protobuf: send JSON")
        return {"apiVersion": api_version, "kind": kind, **_message(_bytes(envelope.get(2, b"")), message)}
    except (ValueError, IndexError, KeyError) as error:
        raise bad_request(f"the body cannot be read as protobuf: {error!r}") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case 2:
                length, at = _varint(data, at)
                if at + length > len(data):
                    raise ValueError("a field is longer than its message")
                yield tag >> 3, data[at : at + length]
                at += length
            case wire:
                raise ValueError(f"wire type {wire} is not used by these kinds")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where text is expected")
    return value


def _message(data: bytes, message: Message) -> Object:
    """Reads one message; empty values are left out, as in JSON."""
    found: Object = {}
    for number, raw in _fields(data):
        if number not in message:
            continue
        name, kind = message[number]
        if kind in ("map", "bytes-map"):
            pair = dict(_fields(_bytes(raw)))
            value = _bytes(pair.get(2, b""))
            text = base64.b64encode(value).decode() if kind == "bytes-map" else value.decode()
            found.setdefault(name, {})[_bytes(pair.get(1, b"")).decode()] = text
        elif kind.startswith("*"):
            found.setdefault(name, []).append(_value(raw, kind[1:]))
        elif (value_read := _value(raw, kind)) not in ("", 0, False, None) and value_read != {}:
            found[name] = value_read
    return found


def _value(raw: int | bytes, kind: str) -> Any:
    match kind:
        case "string":
            return _bytes(raw).decode()
        case "int":
            return raw
        case "bool":
            return bool(raw)
        case "int-or-string":
            parts = dict(_fields(_bytes(raw)))
            return _bytes(parts.get(3, b"")).decode() if parts.get(1) else parts.get(2, 0)
    return _message(_bytes(raw), _MESSAGES[kind])
