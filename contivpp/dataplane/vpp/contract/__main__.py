"""The developer's tool for the contract: `python -m contivpp.dataplane.vpp.contract`; see the package."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from contivpp.dataplane.vpp.api.connection import Connection
from contivpp.dataplane.vpp.api.errors import VppError
from contivpp.dataplane.vpp.contract.apijson import Keep, Source
from contivpp.dataplane.vpp.contract.check import differences
from contivpp.dataplane.vpp.contract.model import ContractError, joined, load, parse
from contivpp.dataplane.vpp.contract.writing import write

FOLDER = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m contivpp.dataplane.vpp.contract", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="write or extend the file of a family")
    adding.add_argument("family", help="the name of the file, without .toml")
    adding.add_argument("messages", nargs="*", metavar="MESSAGE[:FIELD,FIELD]", help="answers may be named, too")
    adding.add_argument("--needs", action="append", default=[], metavar="MODULE", help="with a mapping NEEDS")
    adding.add_argument("--used-in", action="append", default=[], type=Path, metavar="FILE", help="that names fields")
    adding.add_argument("--folder", type=Path, default=FOLDER, help="where the contract is")
    checking = commands.add_parser("check", help="say what a running VPP lacks")
    for command in (adding, checking):
        command.add_argument("--api", required=True, type=Path, help="VPP's socket, an *.api.json file, or a folder")
    options = parser.parse_args(arguments)
    try:
        return _check(options.api) if options.command == "check" else _add(options)
    except (ContractError, VppError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _add(options: argparse.Namespace) -> int:
    wanted: dict[str, frozenset[str] | None] = {}
    texts = [file.read_text(encoding="utf-8") for file in options.used_in]
    for name in options.needs:
        module = importlib.import_module(name)
        wanted.update({message: frozenset(fields) for message, fields in module.NEEDS.items()})
        texts.append(Path(str(module.__file__)).read_text(encoding="utf-8"))
    for text in options.messages:
        message, _, fields = text.partition(":")
        wanted[message] = frozenset(fields.split(",")) if fields else None
    used = frozenset(re.findall(r"\w+", "\n".join(texts))) if texts else None
    contract = Source(_modules(options.api)).contract(_answerable(wanted), used)
    file = options.folder / f"{options.family}.toml"
    others = (other for other in sorted(options.folder.glob("*.toml")) if other != file)
    write(file, contract, joined(parse(other.read_text(encoding="utf-8"), other.name) for other in others))
    print(f"{file}: {len(contract.exchanges)} requests, {len(contract.events)} events, {len(contract.types)} types")
    return 0


def _answerable(wanted: dict[str, frozenset[str] | None]) -> Keep:
    return {name: fields or None for name, fields in wanted.items()}


def _check(api: Path) -> int:
    async def ask() -> list[str]:
        connection = await Connection.open(api, "contract")
        try:
            return differences(load(), connection.definitions)
        finally:
            await connection.close()

    missing = asyncio.run(ask())
    print("\n".join(missing) or "nothing is missing")
    return 1 if missing else 0


def _modules(api: Path) -> Iterable[Any]:
    if api.is_dir():
        return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(api.rglob("*.api.json"))]
    if api.is_socket():
        return asyncio.run(_described(api))
    content = json.loads(api.read_text(encoding="utf-8"))
    return content if isinstance(content, list) else [content]


async def _described(socket: Path) -> list[Any]:
    connection = await Connection.open(socket, "contract")
    try:
        answer: Any = await connection.call("get_api_json")
        found: list[Any] = json.loads(answer.json)
        return found
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
