from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from .conftest import Run

AGENT = {"name": "agent", "common_name": "contiv-agent one", "usage": ["clientAuth"]}
ETCD = {
    "name": "etcd",
    "common_name": "etcd one",
    "usage": ["serverAuth", "clientAuth"],
    "names": ["IP:10.0.0.1", "DNS:localhost"],
    "owner": "etcd",
}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    return {
        "folder": str(tmp_path / "pki"),
        "authority": "Contiv-VPP test",
        "host": "one",
        "certificates": [AGENT, ETCD],
        "destination": "/etc/pki",
    }


def read(given: dict[str, Any], name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((Path(given["folder"]) / name).read_bytes())


def test_an_authority_and_certificates_are_made_once(run: Run, given: dict[str, Any]) -> None:
    first = run("contivpp_pki", **given)
    folder = Path(given["folder"])
    assert first["changed"]
    assert sorted(first["made"]) == [
        "ca.crt",
        "ca.key",
        "one/agent.crt",
        "one/agent.key",
        "one/etcd.crt",
        "one/etcd.key",
    ]
    assert {path.stat().st_mode & 0o077 for path in [folder, *folder.rglob("*.key")]} == {0}
    read(given, "one/etcd.crt").verify_directly_issued_by(read(given, "ca.crt"))
    names = read(given, "one/etcd.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(folder / "one/agent.crt", folder / "one/agent.key")
    again = run("contivpp_pki", **given)
    assert not again["changed"] and again["files"] == first["files"]


def test_the_node_gets_files_with_the_owners_that_read_them(run: Run, given: dict[str, Any]) -> None:
    files = {file["path"]: file for file in run("contivpp_pki", **given)["files"]}
    assert set(files) == {
        "/etc/pki/ca.crt", "/etc/pki/agent.crt", "/etc/pki/agent.key", "/etc/pki/etcd.crt", "/etc/pki/etcd.key",
    }  # fmt: skip
    key = files["/etc/pki/etcd.key"]
    assert (key["owner"], key["mode"], key["secret"]) == ("etcd", "0400", True)
    assert "PRIVATE KEY" in key["content"]


def test_a_check_makes_everything_and_keeps_nothing(run: Run, given: dict[str, Any]) -> None:
    answer = run("contivpp_pki", check=True, **given)
    assert answer["changed"] and len(answer["files"]) == 5
    assert not Path(given["folder"]).exists()


@pytest.mark.parametrize(
    "other",
    [{"common_name": "another"}, {"usage": ["serverAuth"]}, {"names": ["DNS:other"]}],
    ids=["name", "use", "names"],
)
def test_a_certificate_that_does_not_fit_is_made_anew_with_its_key(
    run: Run, given: dict[str, Any], other: dict[str, Any]
) -> None:
    run("contivpp_pki", **given)
    key = (Path(given["folder"]) / "one/etcd.key").read_bytes()
    answer = run("contivpp_pki", **{**given, "certificates": [AGENT, {**ETCD, **other}]})
    assert answer["made"] == ["one/etcd.crt"]
    assert (Path(given["folder"]) / "one/etcd.key").read_bytes() == key


def test_a_certificate_that_is_about_to_end_is_made_anew(run: Run, given: dict[str, Any]) -> None:
    assert run("contivpp_pki", **given, days=29)["changed"]
    made = run("contivpp_pki", **given)["made"]
    assert sorted(made) == ["one/agent.crt", "one/etcd.crt"]
    left = read(given, "one/agent.crt").not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left > datetime.timedelta(days=3649)


def test_certificates_of_an_authority_that_was_lost_are_made_anew(run: Run, given: dict[str, Any]) -> None:
    run("contivpp_pki", **given)
    (Path(given["folder"]) / "ca.key").unlink()
    made = run("contivpp_pki", **given)["made"]
    assert sorted(made) == ["ca.crt", "ca.key", "one/agent.crt", "one/etcd.crt"]


def test_an_authority_whose_key_is_damaged_is_not_replaced_by_one_that_nobody_trusts(
    run: Run, given: dict[str, Any]
) -> None:
    run("contivpp_pki", **given)
    key = Path(given["folder"]) / "ca.key"
    key.chmod(0o600)
    key.write_text("")
    before = {path: path.read_bytes() for path in key.parent.rglob("*") if path.is_file()}
    answer = run("contivpp_pki", **given)
    assert answer["failed"] and "ca.key is damaged" in answer["msg"] and "bring it back" in answer["msg"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_name_that_is_none_is_refused(run: Run, given: dict[str, Any]) -> None:
    answer = run("contivpp_pki", **{**given, "certificates": [{**AGENT, "names": ["node.example"]}]})
    assert answer["failed"] and "'node.example' is no name" in answer["msg"]
