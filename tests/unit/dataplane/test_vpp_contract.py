"""The contract with VPP: its files, how they join, the tool that writes them, and what the code uses of them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from contivpp.dataplane.vpp import contract
from contivpp.dataplane.vpp.contract import __main__ as tool
from contivpp.dataplane.vpp.contract.apijson import descriptions
from contivpp.dataplane.vpp.contract.model import ContractError, FieldType, joined, load, parse
from contivpp.dataplane.vpp.contract.writing import rendered
from contivpp.dataplane.vpp.plane import FAMILIES

FOLDER = Path(contract.__file__).parent
FILES = sorted(FOLDER.glob("*.toml"))
DRIVER = FOLDER.parent

API = {
    "aliases": {"interface_index": {"type": "u32"}, "mac_address": {"type": "u8", "length": 6}},
    "enums": [["mode", ["MODE_A", 1], ["MODE_B", 2], {"enumtype": "u8"}]],
    "types": [["part", ["u32", "weight"], ["vl_api_mac_address_t", "mac"]]],
    "unions": [["either", ["u32", "one"], ["vl_api_part_t", "other"]]],
    "messages": [
        [
            "thing_add",
            *(["u16", "_vl_msg_id"], ["u32", "client_index"], ["u32", "context"]),
            *(["vl_api_mode_t", "mode", {"default": 1}], ["u8", "count"], ["vl_api_part_t", "parts", 0, "count"]),
            *(["string", "name", 64], ["string", "text", 0], ["u32", "mtu", 4], ["u8", "rest", 0]),
            {"crc": "0x01"},
        ],
        ["thing_add_reply", ["u16", "_vl_msg_id"], ["u32", "context"], ["i32", "retval"], ["u32", "number"]],
        ["thing_dump", ["u16", "_vl_msg_id"], ["u32", "client_index"], ["u32", "context"]],
        ["thing_details", ["u16", "_vl_msg_id"], ["u32", "context"], ["vl_api_either_t", "either"]],
        ["thing_get", ["u16", "_vl_msg_id"], ["u32", "client_index"], ["u32", "context"], ["u32", "cursor"]],
        ["thing_get_reply", ["u16", "_vl_msg_id"], ["u32", "context"], ["i32", "retval"], ["u32", "cursor"]],
        ["thing_event", ["u16", "_vl_msg_id"], ["u32", "client_index"], ["vl_api_interface_index_t", "number"]],
    ],
    "services": {
        "thing_add": {"reply": "thing_add_reply"},
        "thing_dump": {"reply": "thing_details", "stream": True},
        "thing_get": {"reply": "thing_get_reply", "stream": True, "stream_msg": "thing_details"},
    },
}


@pytest.fixture
def api(tmp_path: Path) -> Path:
    file = tmp_path / "thing.api.json"
    file.write_text(json.dumps(API))
    return file


def add(tmp_path: Path, api: Path, *arguments: str) -> str:
    assert tool.main(["add", "thing", *arguments, "--api", str(api), "--folder", str(tmp_path)]) == 0
    return (tmp_path / "thing.toml").read_text()


# ---- the files


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_in_the_one_form_and_says_what_it_is_about(file: Path) -> None:
    text = file.read_text()
    head = text.splitlines()[0]
    assert head.startswith("# ")
    assert text == rendered(parse(text, file.name), head)


def test_the_files_agree_and_no_type_is_told_without_need() -> None:
    whole = load()
    assert load(*(file.stem for file in FILES)) == whole


def test_every_family_of_descriptors_has_its_part() -> None:
    parts = {family.__name__.rpartition(".")[2] for family in FAMILIES}
    assert parts <= {file.stem for file in FILES}


def words_of(folder: Path) -> set[str]:
    """Names that the code of the driver uses: of attributes, of arguments and in strings."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                    found.add(name)
                case ast.Constant(value=str(text)):
                    found.update(re.findall(r"\w+", text) if " " not in text else ())
    return found


def test_nothing_is_in_the_contract_that_the_driver_does_not_use() -> None:
    used, whole = words_of(DRIVER), load()
    assert set(whole.exchanges) - used == set(), "requests that nobody makes"
    counts = {
        FieldType.parse(text).length
        for fields in (*whole.messages().values(), *(kind.fields for kind in whole.types.values()))
        for text in fields.values()
    }
    unused = {
        (owner, name)
        for owner, fields in (*whole.messages().items(), *((name, kind.fields) for name, kind in whole.types.items()))
        for name in fields
        if name not in used and name not in counts
    }
    assert unused == set()


# ---- what a file may say


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[message.a]\nrequest = { b = 'u32[' }", "'u32[' is no type of a field"),
        ("[message.a]\nasks = {}", "message a has no part asks"),
        ("[type.a]\nstruct = {}\nalias = 'u8'", "type a is not one of struct, union, enum, alias"),
        ("[thing.a]", "there is no section thing"),
        ("[message", "a contract: "),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(ContractError, match=re.escape(said)):
        parse(text)


def test_two_files_that_name_one_message_have_the_fields_of_both() -> None:
    both = joined([parse("[message.a]\nrequest = { b = 'u32' }"), parse("[message.a]\nrequest = { c = 'u8' }")])
    assert both.messages() == {"a": {"b": "u32", "c": "u8"}, "a_reply": {}}


def test_two_files_that_contradict_each_other_are_refused() -> None:
    one, other = parse("[message.a]\nrequest = { b = 'u32' }"), parse("[message.a]\nrequest = { b = 'u8' }")
    with pytest.raises(ContractError, match="b of a is u32 and u8"):
        joined([one, other])
    with pytest.raises(ContractError, match="message a has two answers"):
        joined([one, parse("[message.a]\ndetails = { b = 'u8' }")])


# ---- the tool


def test_the_tool_takes_a_message_with_its_answer_and_types(tmp_path: Path, api: Path) -> None:
    assert add(tmp_path, api, "thing_add", "thing_event") == (
        "[message.thing_add]\n"
        'request.mode = "mode"\n'
        'request.count = "u8"\n'
        'request.parts = "part[count]"\n'
        'request.name = "string[64]"\n'
        'request.text = "string[]"\n'
        'request.mtu = "u32[4]"\n'
        'request.rest = "u8[]"\n'
        'reply = { number = "u32" }\n'
        "\n"
        "[event.thing_event]\n"
        'number = "interface_index"\n'
        "\n"
        "[type.interface_index]\n"
        'alias = "u32"\n'
        "\n"
        "[type.mac_address]\n"
        'alias = "u8[6]"\n'
        "\n"
        "[type.mode]\n"
        'enum = "u8"\n'
        "values = { MODE_A = 1, MODE_B = 2 }\n"
        "\n"
        "[type.part]\n"
        'struct = { weight = "u32", mac = "mac_address" }\n'
    )


def test_the_tool_takes_only_the_fields_that_are_named_or_used(tmp_path: Path, api: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("request('thing_dump'); details.either.other.weight  # MODE_B")
    text = add(tmp_path, api, "thing_add:parts,mode", "thing_dump", "--used-in", str(source))
    assert 'request = { mode = "mode", count = "u8", parts = "part[count]" }' in text, "a list brings its count"
    assert 'details = { either = "either" }' in text
    assert 'union = { other = "part" }' in text
    assert 'struct = { weight = "u32" }' in text
    assert "values = { MODE_B = 2 }" in text


def test_the_tool_extends_a_file_and_leaves_types_to_other_files(tmp_path: Path, api: Path) -> None:
    (tmp_path / "common.toml").write_text('[type.mac_address]\nalias = "u8[6]"\n')
    (tmp_path / "thing.toml").write_text("# Things.\n\n[message.other]\nrequest = {}\n")
    text = add(tmp_path, api, "thing_get")
    assert text.startswith("# Things.\n\n[message.other]\n")
    assert 'reply = { cursor = "u32" }\ndetails = { either = "either" }' in text
    assert "[type.part]" in text
    assert "mac_address]" not in text


def test_the_tool_takes_needs_of_a_module(tmp_path: Path, api: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thing_needs.py").write_text('NEEDS = {"thing_add": ("name",), "thing_add_reply": ()}\nnumber = 1\n')
    monkeypatch.syspath_prepend(tmp_path)
    text = add(tmp_path, api, "--needs", "thing_needs")
    assert text == '[message.thing_add]\nrequest = { name = "string[64]" }\nreply = { number = "u32" }\n'


@pytest.mark.parametrize(
    ("message", "said"), [("nothing", "there is no message nothing"), ("thing_add:x", "thing_add has no field x")]
)
def test_the_tool_says_what_there_is_not(
    tmp_path: Path, api: Path, capsys: pytest.CaptureFixture[str], message: str, said: str
) -> None:
    assert tool.main(["add", "thing", message, "--api", str(api), "--folder", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "thing.toml").exists()


def test_what_the_contract_describes_is_read_as_the_same_contract(tmp_path: Path) -> None:
    whole = load()
    file = tmp_path / "contract.api.json"
    file.write_text(json.dumps(descriptions(whole)))
    names = [*whole.exchanges, *whole.events]
    assert tool.main(["add", "again", *names, "--api", str(file), "--folder", str(tmp_path)]) == 0
    assert parse((tmp_path / "again.toml").read_text()) == whole
