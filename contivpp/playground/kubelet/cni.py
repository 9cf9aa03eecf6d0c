"""The runtime's side of the CNI protocol: configuration lists, and running plugins.

Source: the CNI specification 1.1.0, sections 2 to 4. A list is run in order for ADD and CHECK, in reverse
for DEL; each plugin gets the result of the one before it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

Object = dict[str, Any]
TRY_AGAIN: Final = 11
UNAVAILABLE: Final = (50, 51)
_TIMEOUT: Final = 120.0
_SUFFIXES: Final = (".conf", ".conflist", ".json")


class CniError(Exception):
    """A plugin failed. `code` is that of the CNI specification, or 0 when it did not say."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class NoConfigurationError(Exception):
    """There is no network configuration (yet), or none that can be used."""


@dataclass(frozen=True, slots=True)
class Network:
    """One configuration list, as it was read."""

    name: str
    version: str
    plugins: tuple[Object, ...]
    disable_gc: bool = False

    @classmethod
    def parse(cls, content: Object, source: str) -> Network:
        """Reads a list, or a single plugin's configuration, which is a list of one.

        Raises:
            NoConfigurationError: something that is needed is missing.
        """
        plugins = content.get("plugins", [content])
        name = content.get("name")
        if not name or not isinstance(plugins, list) or not plugins:
            raise NoConfigurationError(f"{source}: a network needs a name and plugins")
        if not all(isinstance(p, dict) and p.get("type") for p in plugins):
            raise NoConfigurationError(f"{source}: every plugin needs a type")
        versions = [content.get("cniVersion", "0.1.0"), *content.get("cniVersions", ())]
        newest = max(versions, key=_numbers)
        return cls(str(name), str(newest), tuple(plugins), bool(content.get("disableGC")))

    def supports(self, version: str) -> bool:
        """Tells whether the list speaks at least a version of the specification."""
        return _numbers(self.version) >= _numbers(version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in str(version).split("."))


def load(folder: Path) -> Network:
    """The first usable configuration by name, as a container runtime chooses it.

    Raises:
        NoConfigurationError: there is none; the message says what is wrong with what is there.
    """
    problems = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix in _SUFFIXES:
            try:
                return Network.parse(msgspec.json.decode(file.read_bytes(), type=dict), str(file))
            except (NoConfigurationError, msgspec.DecodeError, OSError) as error:
                problems.append(f"{file}: {error}")
    raise NoConfigurationError("; ".join(problems) or f"no networks found in {folder}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A container's interface, as every call names it."""

    container_id: str
    netns: str
    interface: str
    arguments: Mapping[str, str]
    capabilities: Mapping[str, Any]


class Plugins:
    """Runs the plugins of a list from the folders of `path`."""

    def __init__(self, path: Sequence[Path]) -> None:
        self._path = tuple(path)

    async def add(self, network: Network, attachment: Attachment) -> Object:
        """Attaches; returns the last plugin's result.

        Raises:
            CniError: a plugin failed; what came before it is not undone.
        """
        result: Object = {}
        for plugin in network.plugins:
            found = await self._call("ADD", network, plugin, attachment, previous=result)
            result = found or result
        return result

    async def delete(self, network: Network, attachment: Attachment, result: Object) -> None:
        """Detaches.

        Raises:
            CniError: a plugin failed.
        """
        for plugin in reversed(network.plugins):
            await self._call("DEL", network, plugin, attachment, previous=result)

    async def check(self, network: Network, attachment: Attachment, result: Object) -> None:
        """Asks whether everything is as ADD left it.

        Raises:
            CniError: it is not.
        """
        if network.supports("0.4.0"):
            for plugin in network.plugins:
                await self._call("CHECK", network, plugin, attachment, previous=result)

    async def status(self, network: Network) -> None:
        """Asks whether an ADD could be served now.

        Raises:
            CniError: it could not.
        """
        if network.supports("1.1.0"):
            for plugin in network.plugins:
                await self._call("STATUS", network, plugin, None)

    async def collect_garbage(self, network: Network, valid: Collection[tuple[str, str]]) -> None:
        """Tells the plugins which attachments are still in use.

        Raises:
            CniError: a plugin failed.
        """
        if network.supports("1.1.0") and not network.disable_gc:
            named = [{"containerID": c, "ifname": i} for c, i in sorted(valid)]
            for plugin in network.plugins:
                await self._call("GC", network, {**plugin, "cni.dev/valid-attachments": named}, None)

    async def _call(
        self,
        verb: str,
        network: Network,
        plugin: Object,
        attachment: Attachment | None,
        *,
        previous: Object | None = None,
    ) -> Object:
        config = {k: v for k, v in plugin.items() if k not in ("capabilities", "cniVersions", "plugins")}
        config |= {"cniVersion": network.version, "name": network.name}
        if previous:
            config["prevResult"] = previous
        environment = {"CNI_COMMAND": verb, "CNI_PATH": ":".join(map(str, self._path))}
        if attachment is not None:
            wanted = plugin.get("capabilities") or {}
            runtime = {k: v for k, v in attachment.capabilities.items() if wanted.get(k)}
            if runtime:
                config["runtimeConfig"] = runtime
            environment |= {
                "CNI_CONTAINERID": attachment.container_id,
                "CNI_NETNS": attachment.netns,
                "CNI_IFNAME": attachment.interface,
                "CNI_ARGS": ";".join(f"{k}={v}" for k, v in attachment.arguments.items()),
            }
        return await self._run(str(plugin["type"]), verb, msgspec.json.encode(config), environment)

    async def _run(self, kind: str, verb: str, config: bytes, environment: Mapping[str, str]) -> Object:
        program = next((p for p in (folder / kind for folder in self._path) if os.access(p, os.X_OK)), None)
        if program is None:
            raise CniError(0, f"there is no plugin {kind!r} in {', '.join(map(str, self._path))}")
        process = await asyncio.create_subprocess_exec(
            program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), **environment},
        )
        try:
            async with asyncio.timeout(_TIMEOUT):
                out, said = await process.communicate(config)
        except TimeoutError:
            raise CniError(TRY_AGAIN, f"plugin {kind!r} did not end {verb} in {_TIMEOUT:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        try:
            found = msgspec.json.decode(out, type=dict) if out.strip() else {}
        except msgspec.DecodeError:
            found = {"msg": out.decode(errors="replace")}
            if not process.returncode:
                raise CniError(6, f"plugin {kind!r} answered {verb} with what is no JSON object") from None
        if process.returncode:
            text = ": ".join(str(found[k]) for k in ("msg", "details") if found.get(k))
            text = text or said.decode(errors="replace").strip() or f"exit code {process.returncode}"
            raise CniError(int(found.get("code") or 0), f"plugin type={kind!r} name={verb} failed: {text}")
        return found
