"""Modules and parameters of the kernel that VPP wants: loaded and set, now and at every boot, and given back.

What is wanted is all there is to be of ours. A parameter that nobody wants any more gets the value that it had before
we came, and a module that was not loaded then is unloaded unless somebody uses it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from .state import Memory
from .system import HostError, System

SUBJECT = "kernel"
MODULES_PATH = "/etc/modules-load.d/contiv.conf"
SYSCTL_PATH = "/etc/sysctl.d/90-contiv.conf"
HEADER = "# Written by Ansible: it goes when nobody asks for it any more.\n"
MODULE, PARAMETER = "module ", "sysctl "
"""What names in the memory begin with."""


@dataclass(frozen=True)
class Found:
    """Everything that a plan is made from: what is loaded and set of what is asked for or remembered.

    `modules` tells for each whether it is loaded, None where the kernel has none of that name; `parameters` their
    values, None where the kernel has none.
    """

    modules: Mapping[str, bool | None]
    parameters: Mapping[str, str | None]
    memory: Mapping[str, Any]
    modules_file: str
    parameters_file: str


@dataclass(frozen=True)
class Plan:
    """What has to be done: to load, to unload, to set; how the two files are to be, and what is to be remembered.

    `late` are parameters that are not there yet, and may come with a module that is loaded.
    """

    load: tuple[str, ...]
    unload: tuple[str, ...]
    values: Mapping[str, str]
    late: tuple[str, ...]
    modules_file: str
    parameters_file: str
    remember: Mapping[str, Mapping[str, Any]]
    forget: tuple[str, ...]
    changed: bool
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def read(system: System, modules: Sequence[str], parameters: Mapping[str, str]) -> Found:
    """Reads what is asked for, and what was changed before.

    Raises:
        HostError: what is remembered cannot be read.
    """
    memory = Memory(system, SUBJECT).all()
    known = {*modules, *_names(memory, MODULE)}
    names = {*parameters, *_names(memory, PARAMETER)}
    return Found(
        modules={name: _is_loaded(system, name) for name in sorted(known)},
        parameters={name: _value(system, name) for name in sorted(names)},
        memory=memory,
        modules_file=system.read(MODULES_PATH) or "",
        parameters_file=system.read(SYSCTL_PATH) or "",
    )


def plan(found: Found, modules: Sequence[str], parameters: Mapping[str, str]) -> Plan:
    """Plans; pure.

    Raises:
        HostError: this kernel has no such module or parameter, with all of them.
    """
    problems = [
        "this kernel has no module %s: correct the name, or install a kernel that has it" % name
        for name in sorted(set(modules))
        if found.modules[name] is None
    ]
    coming = any(found.modules[name] is False for name in modules)
    missing = [name for name in sorted(parameters) if found.parameters[name] is None]
    problems += [_no_parameter(name) for name in missing if not coming or not _is_name(name)]
    if problems:
        raise HostError(*problems)
    wanted = {name: _one_line(str(value)) for name, value in sorted(parameters.items())}
    released = {
        name: str(found.memory[PARAMETER + name]["value"])
        for name in _names(found.memory, PARAMETER)
        if name not in wanted and found.parameters[name] is not None
    }
    values = {name: value for name, value in {**released, **wanted}.items() if value != found.parameters[name]}
    same = {_plain(name) for name in modules}
    gone = [name for name in _names(found.memory, MODULE) if _plain(name) not in same]
    modules_file = HEADER + "".join(name + "\n" for name in sorted(set(modules))) if modules else ""
    parameters_file = HEADER + "".join("%s = %s\n" % pair for pair in wanted.items()) if wanted else ""
    load = tuple(name for name in sorted(set(modules)) if not found.modules[name])
    remember: dict[str, dict[str, Any]] = {
        **{MODULE + name: {"loaded": found.modules[name]} for name in modules},
        **{PARAMETER + name: {"value": found.parameters[name]} for name in wanted if name not in missing},
    }
    forget = [MODULE + name for name in gone]
    forget += [PARAMETER + name for name in _names(found.memory, PARAMETER) if name not in wanted]
    files = (modules_file.strip(), parameters_file.strip())
    return Plan(
        load=load,
        unload=tuple(name for name in gone if not found.memory[MODULE + name]["loaded"] and found.modules[name]),
        values=values,
        late=tuple(missing),
        modules_file=modules_file,
        parameters_file=parameters_file,
        remember={name: origin for name, origin in remember.items() if name not in found.memory},
        forget=tuple(sorted(forget)),
        changed=bool(load or values or forget or files != (found.modules_file, found.parameters_file)),
        before={
            "modules": [name for name in sorted({*modules, *gone}) if found.modules[name]],
            "sysctl": {name: found.parameters[name] for name in sorted({**released, **wanted}) if name not in missing},
        },
        after={
            "modules": [
                name for name in sorted({*modules, *gone})
                if name in modules or (found.modules[name] and found.memory[MODULE + name]["loaded"])
            ],
            "sysctl": dict(sorted({**released, **wanted}.items())),
        },
    )  # fmt: skip


def apply(system: System, planned: Plan) -> None:
    """Does what is planned, and verifies it.

    Raises:
        HostError: a module does not load, or the kernel does not take a value.
    """
    memory = Memory(system, SUBJECT)
    for name, origin in sorted(planned.remember.items()):
        memory.remember(name, dict(origin))
    for name in planned.load:
        system.must("modprobe", name)
    for name in planned.late:
        came = _value(system, name)
        if came is None:
            raise HostError(_no_parameter(name))
        memory.remember(PARAMETER + name, {"value": came})
    for name, value in planned.values.items():
        system.command(_path(name), value)
        now = _value(system, name)
        if now != value:
            raise HostError("the kernel made %r of %s = %s: give a value that it takes" % (now, name, value))
    for path, text in ((MODULES_PATH, planned.modules_file), (SYSCTL_PATH, planned.parameters_file)):
        if text:
            system.save(path, text)
        else:
            system.remove(path)
    for name in planned.unload:
        system.run("modprobe", "-r", "-q", name)  # who uses it keeps it
    for name in planned.forget:
        memory.forget(name)


def _names(memory: Mapping[str, Any], prefix: str) -> list[str]:
    return sorted(name[len(prefix) :] for name in memory if name.startswith(prefix))


def _is_loaded(system: System, name: str) -> bool | None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return None
    if system.exists("/sys/module/%s" % _plain(name)):
        return True
    asked = system.run("modprobe", "-n", "-v", name)
    if asked.code != 0:
        return None
    return "insmod" not in asked.output  # else it is built in


def _plain(name: str) -> str:
    """A module's name as the kernel has it: whoever writes it with dashes means the same."""
    return name.replace("-", "_")


def _path(name: str) -> str:
    """A name with dots; or with slashes, where a part has a dot in it."""
    return "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_./@:-]+", name) is not None and ".." not in name


def _no_parameter(name: str) -> str:
    return "this kernel has no parameter %s: correct the name" % name


def _value(system: System, name: str) -> str | None:
    if not _is_name(name):
        return None
    text = system.read(_path(name))
    return None if text is None else _one_line(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
