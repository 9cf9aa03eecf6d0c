"""Unpacking messages, compiled: one `struct` and one expression for all that is of fixed size, and a loop for lists.

The objects are those that vpp_papi makes of the same bytes, in its walk field by field; a test compares the two for
every message of a VPP. What it converts, such as addresses, is remembered by its bytes: a dump has the same ones again.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vpp_papi import vpp_format, vpp_serializer

Unpack = Callable[[bytes], Any]
_Step = Callable[[bytes, int, list[Any]], int]
"""Reads at an offset, appends what it found to the fields before, and returns the offset behind it."""
_Count = Callable[[bytes, int, list[Any]], int]
"""How many elements a list has."""
_REMEMBERED: Final = 65536
_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A type of fixed size.

    Attributes:
        format: of `struct`, for what is read.
        count: how many objects that gives.
        expression: in Python, what makes the value of the objects, which are `f` from a place on.
    """

    format: str
    count: int
    expression: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Variable:
    """A type whose size its contents say; `step` appends one value."""

    step: _Step


_Shape = _Fixed | _Variable


def compiled(definition: Any) -> Unpack:
    """The unpacker of a message: from its bytes to the named tuple that vpp_papi makes; raises what that raises."""
    compiler = _Compiler()
    step = compiler.step_of(compiler.shape(definition, converts=True))

    def unpack(data: bytes) -> Any:
        result: list[Any] = []
        step(data, 0, result)
        return result[0]

    return unpack


class _Compiler:
    def __init__(self) -> None:
        self._known: dict[tuple[int, bool], _Shape] = {}
        self._functions: dict[str, Any] = {}

    def shape(self, packer: Any, *, converts: bool) -> _Shape:
        """The shape of any type, made once; `converts` is False within what is converted as a whole."""
        place = (id(packer), converts)
        if place not in self._known:
            is_type = isinstance(packer, vpp_serializer.VPPType | vpp_serializer.VPPTypeAlias)
            convert = vpp_format.conversion_unpacker_table.get(packer.name) if converts and is_type else None
            inner = self._make(packer, converts=converts and convert is None)
            self._known[place] = inner if convert is None else self._converted(inner, convert)
        return self._known[place]

    def step_of(self, shape: _Shape) -> _Step:
        """Reads one value."""
        return shape.step if isinstance(shape, _Variable) else self._step_of_run([shape])

    def _make(self, packer: Any, *, converts: bool) -> _Shape:
        match packer:
            case vpp_serializer.VPPType():
                return self._struct(packer, converts=converts)
            case vpp_serializer.VPPTypeAlias():
                return self.shape(packer.packer, converts=converts)
            case vpp_serializer.VPPUnionType():
                return self._union(packer, converts=converts)
            case vpp_serializer.VPPEnumType():
                enum = functools.lru_cache(4096)(packer.enum)
                return self._leaf(vpp_serializer.types[packer.enumtype].packer, enum)
            case vpp_serializer.BaseTypes():
                return self._leaf(packer.packer)
            case vpp_serializer.FixedList_u8():
                return self._leaf(packer.packer.packer)
            case vpp_serializer.FixedList():
                return self._fixed_list(packer, converts=converts)
            case vpp_serializer.VLAList():
                return self._list(packer, converts=converts)
            case vpp_serializer.VLAList_legacy():
                return self._rest(packer, converts=converts)
            case _:  # a string
                return self._leaf(struct.Struct(f">{packer.num}s"), _text) if packer.fixed else _Variable(_read_text)

    # ---- of fixed size

    def _leaf(self, packer: struct.Struct, convert: Callable[[Any], Any] | None = None) -> _Fixed:
        order, form = packer.format[0], packer.format[1:]
        if order != ">":  # floating point numbers come in the order of the machine
            return self._called(f"{packer.size}s", lambda raw: packer.unpack(raw)[0])
        return _Fixed(form, 1, lambda at: f"f[{at}]") if convert is None else self._called(form, convert)

    def _called(self, form: str, function: Callable[[Any], Any]) -> _Fixed:
        name = self._named(function)
        return _Fixed(form, 1, lambda at: f"{name}(f[{at}])")

    def _named(self, function: Callable[[Any], Any]) -> str:
        name = f"g{len(self._functions)}"
        self._functions[name] = function
        return name

    def _built(self, shape: _Fixed) -> tuple[struct.Struct, Callable[[tuple[Any, ...]], Any]]:
        """Reads a value, and makes it of what was read; the expression is of this module's own making."""
        build = eval(f"lambda f: {shape.expression(0)}", dict(self._functions))  # noqa: S307
        return struct.Struct(">" + shape.format), build

    def _converted(self, shape: _Shape, convert: Callable[[Any], Any]) -> _Shape:
        if isinstance(shape, _Variable):
            inner = shape.step

            def step(data: bytes, offset: int, result: list[Any]) -> int:
                offset = inner(data, offset, result)
                result[-1] = convert(result[-1])
                return offset

            return _Variable(step)
        reader, build = self._built(shape)
        made = functools.lru_cache(_REMEMBERED)(lambda raw: convert(build(reader.unpack(raw))))
        return self._called(f"{reader.size}s", made)

    def _struct(self, packer: Any, *, converts: bool) -> _Shape:
        fields = [self.shape(field, converts=converts) for field in packer.packers]
        fixed = [field for field in fields if isinstance(field, _Fixed)]
        if len(fixed) == len(fields):
            name = self._named(packer.tuple._make)
            whole = _joined(fixed)
            return _Fixed(whole.format, whole.count, lambda at: f"{name}({whole.expression(at)})")
        steps, make = list(self._steps(fields)), packer.tuple._make

        def step(data: bytes, offset: int, result: list[Any]) -> int:
            own: list[Any] = []
            for one in steps:
                offset = one(data, offset, own)
            result.append(make(own))
            return offset

        return _Variable(step)

    def _union(self, packer: Any, *, converts: bool) -> _Shape:
        steps = [self.step_of(self.shape(arm, converts=converts)) for arm in packer.packers.values()]
        make = packer.tuple._make

        def build(raw: bytes) -> Any:
            values: list[Any] = []
            for step in steps:
                step(raw, 0, values)
            return make(values)

        return self._called(f"{packer.size}s", build)

    def _fixed_list(self, packer: Any, *, converts: bool) -> _Shape:
        element, count = self.shape(packer.packer, converts=converts), int(packer.num)
        if isinstance(element, _Fixed):
            return _joined([element] * count)
        return _Variable(_repeated(element.step, lambda data, offset, fields: count))

    # ---- of any size

    def _steps(self, fields: Sequence[_Shape]) -> Iterator[_Step]:
        """Reads fields one after the other; those of fixed size that follow each other at once."""
        run: list[_Fixed] = []
        for field in fields:
            if isinstance(field, _Fixed):
                run.append(field)
                continue
            if run:
                yield self._step_of_run(run)
                run = []
            yield field.step
        if run:
            yield self._step_of_run(run)

    def _step_of_run(self, run: Sequence[_Fixed]) -> _Step:
        reader, build = self._built(_joined(run))
        size = reader.size

        def step(data: bytes, offset: int, result: list[Any]) -> int:
            result += build(reader.unpack_from(data, offset))
            return offset + size

        return step

    def _list(self, packer: Any, *, converts: bool) -> _Shape:
        length = packer.index
        if packer.size == 1 and packer.field_type == "u8":
            return _Variable(functools.partial(_read_bytes, length))
        return self._repeated_shape(self.shape(packer.packer, converts=converts), lambda _, __, fields: fields[length])

    def _rest(self, packer: Any, *, converts: bool) -> _Shape:
        element, size = self.shape(packer.packer, converts=converts), int(packer.size)

        def count(data: bytes, offset: int, fields: list[Any]) -> int:
            whole, excess = divmod(len(data) - offset, size)
            if excess:
                message = "Legacy Variable Length Array length mismatch."
                raise vpp_serializer.VPPSerializerValueError(message)
            return whole

        return self._repeated_shape(element, count)

    def _repeated_shape(self, element: _Shape, count: _Count) -> _Variable:
        if isinstance(element, _Variable):
            return _Variable(_repeated(element.step, count))
        reader, build = self._built(element)
        size = reader.size

        def step(data: bytes, offset: int, result: list[Any]) -> int:
            end = offset + count(data, offset, result) * size
            _check_end(end, data)
            result.append(list(map(build, reader.iter_unpack(data[offset:end]))))
            return end

        return _Variable(step)


def _joined(shapes: Sequence[_Fixed]) -> _Fixed:
    """Several values, one after the other, as a list."""

    def expression(at: int) -> str:
        parts = []
        for shape in shapes:
            parts.append(shape.expression(at))
            at += shape.count
        return f"[{', '.join(parts)}]"

    return _Fixed("".join(shape.format for shape in shapes), sum(shape.count for shape in shapes), expression)


def _repeated(one: _Step, count: _Count) -> _Step:
    def step(data: bytes, offset: int, result: list[Any]) -> int:
        found: list[Any] = []
        for _ in range(count(data, offset, result)):
            offset = one(data, offset, found)
        result.append(found)
        return offset

    return step


def _read_bytes(length: int, data: bytes, offset: int, result: list[Any]) -> int:
    end = offset + int(result[length])
    _check_end(end, data)
    result.append(data[offset:end])
    return end


def _read_text(data: bytes, offset: int, result: list[Any]) -> int:
    length = int(_LENGTH.unpack_from(data, offset)[0])
    if not length:  # vpp_papi takes the length of an empty text for what follows it
        result.append("")
        return offset
    start, end = offset + _LENGTH.size, offset + _LENGTH.size + length
    _check_end(end, data)
    result.append(data[start:end].decode("ascii", errors="replace"))
    return end


def _check_end(end: int, data: bytes) -> None:
    if end > len(data):
        message = f"{len(data)} bytes, where {end} are announced"
        raise struct.error(message)


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("ascii")
