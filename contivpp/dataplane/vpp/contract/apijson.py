"""VPP's descriptions of its API, as JSON, to and from the contract.

From them: what is named is taken, with what answers it and the types that it needs. To them: so that something can
stand in for a VPP with exactly what the contract says.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from contivpp.dataplane.vpp.contract.check import full_name
from contivpp.dataplane.vpp.contract.model import BASE_TYPES, Contract, ContractError, Exchange, Fields, FieldType, Type

_EVERY_MESSAGE_HAS: Final = frozenset({"_vl_msg_id", "client_index", "context", "retval"})
_GROUPS: Final = {"types": "struct", "unions": "union", "enums": "enum", "enumflags": "enum"}
Keep = Mapping[str, frozenset[str] | None]
"""By message, the fields to take; None: all that are used."""


class Source:
    """The descriptions of one VPP."""

    def __init__(self, modules: Iterable[Mapping[str, Any]]) -> None:
        """Takes them as they are in *.api.json files, or in VPP's answer to get_api_json."""
        self._messages: dict[str, list[Any]] = {}
        self._services: dict[str, Mapping[str, Any]] = {}
        self._types: dict[str, tuple[str, Any]] = {}
        for module in modules:
            self._messages.update({name: definition for name, *definition in module.get("messages", [])})
            self._services.update(module.get("services", {}))
            for group, kind in _GROUPS.items():
                for name, *definition in module.get(group, []):
                    self._types[name] = (kind, definition)
            for name, alias in module.get("aliases", {}).items():
                self._types[name] = ("alias", alias)

    def contract(self, wanted: Keep, used: frozenset[str] | None = None) -> Contract:
        """The contract of the named messages.

        Args:
            wanted: messages, each with the fields to take; replies, details and events may be among them.
            used: where no fields are named, only those with one of these names are taken; None takes all.

        Raises:
            ContractError: there is no such message or field.
        """
        exchanges: dict[str, Exchange] = {}
        events: dict[str, Fields] = {}
        answers = self._answers()
        for name in wanted:
            if name not in self._messages:
                raise ContractError(f"there is no message {name}")
            request = answers.get(name, name)
            service = self._services.get(request)
            if service is None:
                events[name] = self._fields(name, wanted, used)
            elif request not in exchanges:
                exchanges[request] = self._exchange(request, service, wanted, used)
        collected = Contract(exchanges, events)
        return Contract(exchanges, events, self._types_of(collected, used))

    def _answers(self) -> dict[str, str]:
        """Of every reply and details message, the request."""
        found = {}
        for request, service in self._services.items():
            for answer in (service.get("reply", ""), service.get("stream_msg", "")):
                if answer and answer != "null":
                    found[answer] = request
        return found

    def _exchange(self, name: str, service: Mapping[str, Any], wanted: Keep, used: frozenset[str] | None) -> Exchange:
        reply, details = service.get("reply", ""), service.get("stream_msg", "")
        if service.get("stream") and not details:
            reply, details = "", reply
        return Exchange(
            self._fields(name, wanted, used),
            self._fields(reply, wanted, used) if reply else None,
            self._fields(details, wanted, used) if details else None,
            reply,
            details,
        )

    def _fields(self, name: str, wanted: Keep, used: frozenset[str] | None) -> Fields:
        there = {
            item[1]: str(_field_type(item))
            for item in self._messages[name]
            if isinstance(item, list) and item[1] not in _EVERY_MESSAGE_HAS
        }
        named = wanted.get(name)
        if named and (unknown := named - there.keys()):
            raise ContractError(f"{name} has no field {', '.join(sorted(unknown))}")
        keep = there.keys() if used is None and not named else there.keys() & ((named or frozenset()) | (used or set()))
        return _with_lengths(there, keep)

    def _types_of(self, contract: Contract, used: frozenset[str] | None) -> dict[str, Type]:
        found: dict[str, Type] = {}
        waiting = [text for fields in contract.messages().values() for text in fields.values()]
        while waiting:
            base = FieldType.parse(waiting.pop()).base
            if base in found or base in BASE_TYPES:
                continue
            if base not in self._types:
                raise ContractError(f"there is no type {base}")
            found[base] = made = self._type(base, used)
            waiting += made.fields.values()
            waiting += [made.base] if made.kind == "alias" else []
        return found

    def _type(self, name: str, used: frozenset[str] | None) -> Type:
        kind, definition = self._types[name]
        if kind == "alias":
            return Type(kind, str(FieldType(_short(definition["type"]), str(definition.get("length") or ""))))
        if kind == "enum":
            base = next((item["enumtype"] for item in definition if isinstance(item, dict)), "u32")
            values = {item[0]: item[1] for item in definition if isinstance(item, list)}
            return Type(kind, base, values={label: values[label] for label in values if used is None or label in used})
        fields = {item[1]: str(_field_type(item)) for item in definition if isinstance(item, list)}
        whole = used is None or name in _WHOLE  # what vpp_papi converts is taken whole
        return Type(kind, fields=_with_lengths(fields, fields.keys() if whole else fields.keys() & (used or set())))


_WHOLE: Final = frozenset({"address", "address_union", "prefix", "ip4_prefix", "ip6_prefix"})


def _with_lengths(fields: Mapping[str, str], keep: Iterable[str]) -> Fields:
    kept = set(keep)
    kept |= {FieldType.parse(fields[name]).length for name in kept} & fields.keys()
    return {name: text for name, text in fields.items() if name in kept}


def _field_type(item: list[Any]) -> FieldType:
    plain = [part for part in item if not isinstance(part, dict)]
    match plain:
        case [base, _]:
            return FieldType(_short(base))
        case [base, _, 0]:
            return FieldType(_short(base), "*")
        case [base, _, int() as count]:
            return FieldType(_short(base), str(count))
        case [base, _, _, length]:
            return FieldType(_short(base), length)
        case _:
            raise ContractError(f"what is {item}?")


def _short(name: str) -> str:
    return name.removeprefix("vl_api_").removesuffix("_t") if name.startswith("vl_api_") else name


# ---- the other way


def descriptions(contract: Contract) -> list[dict[str, Any]]:
    """What a VPP that has the contract and nothing else would answer to get_api_json, as one module.

    Fields that every message has are there again, and every message has a checksum over all that it consists of.
    """
    answers = {exchange.reply_name for exchange in contract.exchanges.values()}
    details = {exchange.details_name for exchange in contract.exchanges.values()}
    messages = []
    for name, fields in sorted(contract.messages().items()):
        head = [["u16", "_vl_msg_id"]]
        if name in contract.events:
            head += [["u32", "client_index"]]
        elif name in answers:
            head += [["u32", "context"], ["i32", "retval"]]
        elif name in details:
            head += [["u32", "context"]]
        else:
            head += [["u32", "client_index"], ["u32", "context"]]
        body = [*head, *_described(fields)]
        messages.append([name, *body, {"crc": f"0x{_checksum(body, contract):08x}"}])
    kinds = contract.types.items()
    return [
        {
            "module": "contract",
            "messages": messages,
            "services": {name: _service(one) for name, one in sorted(contract.exchanges.items())},
            "types": [[name, *_described(one.fields)] for name, one in kinds if one.kind == "struct"],
            "unions": [[name, *_described(one.fields)] for name, one in kinds if one.kind == "union"],
            "enums": [
                [name, *map(list, one.values.items()), {"enumtype": one.base}]
                for name, one in kinds
                if one.kind == "enum"
            ],
            "aliases": {name: _alias(FieldType.parse(one.base)) for name, one in kinds if one.kind == "alias"},
        }
    ]


def _described(fields: Fields) -> list[list[Any]]:
    found: list[list[Any]] = []
    for name, text in fields.items():
        kind = FieldType.parse(text)
        item: list[Any] = [full_name(kind.base), name]
        if kind.length == "*":
            item.append(0)
        elif kind.length.isdigit():
            item.append(int(kind.length))
        elif kind.length:
            item += [0, kind.length]
        found.append(item)
    return found


def _alias(of: FieldType) -> dict[str, Any]:
    return {"type": full_name(of.base), **({"length": int(of.length)} if of.length else {})}


def _service(exchange: Exchange) -> dict[str, Any]:
    if exchange.details is None:
        return {"reply": exchange.reply_name}
    if exchange.reply is None:
        return {"reply": exchange.details_name, "stream": True}
    return {"reply": exchange.reply_name, "stream": True, "stream_msg": exchange.details_name}


def _checksum(body: list[Any], contract: Contract) -> int:
    parts: dict[str, Any] = {}
    waiting = [item[0] for item in body]
    while waiting:
        name = _short(waiting.pop())
        kind = contract.types.get(name)
        if kind is None or name in parts:
            continue
        parts[name] = [kind.kind, kind.base, dict(kind.fields), dict(kind.values)]
        waiting += [FieldType.parse(text).base for text in (*kind.fields.values(), kind.base) if text]
    return zlib.crc32(json.dumps([body, parts], sort_keys=True).encode())
