"""The playbooks and roles as Ansible reads them, and what of them can run without a node."""

from __future__ import annotations

import datetime
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAMS = Path(sys.executable).parent
Play = Callable[..., "subprocess.CompletedProcess[str]"]

PKI = """
- hosts: contivpp
  gather_facts: false
  vars: {package_prepared: true}
  tasks:
    - name: Make what the controller keeps
      ansible.builtin.import_role:
        name: pki
        tasks_from: authority.yml
      delegate_to: localhost
"""
HOSTS = {
    "contivpp": {
        "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        "children": {
            "contivpp_control_plane": {"hosts": {"one": {"ansible_host": "10.0.0.1"}}},
            "contivpp_etcd": {"hosts": {"one": {}}},
            "contivpp_nodes": {"hosts": {"one": {}, "two": {"ansible_host": "10.0.0.2"}}},
        },
    }
}


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def play(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
            "ANSIBLE_NOCOLOR": "1",
        }
        return subprocess.run(
            [str(PROGRAMS / "ansible-playbook"), *words],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )

    return play


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(HOSTS))
    return path


@pytest.mark.parametrize("inventory_name", ["playground", "example"])
def test_every_playbook_can_be_read_with_every_inventory(play: Play, inventory_name: str) -> None:
    playbooks = ["site.yml", *sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob("playbooks/*.yml"))]
    done = play("--syntax-check", "-i", f"inventory/{inventory_name}", *playbooks)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_role_says_what_it_takes_and_takes_what_it_says() -> None:
    for role in sorted(path for path in (REPOSITORY / "roles").iterdir() if path.is_dir()):
        specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
        declared = {name for spec in specs.values() for name in spec.get("options", {})}
        defaults = set(yaml.safe_load((role / "defaults/main.yml").read_text()) or {})
        if role.name == "playground":  # its specification names options that have their default in it
            assert declared, role.name
            continue
        assert declared == defaults, role.name


def test_certificates_are_made_once_for_those_who_need_them(play: Play, inventory: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.yml"
    book.write_text(PKI)
    folder = tmp_path / "pki"
    words = ("-i", str(inventory), "-e", f"pki_folder={folder}", str(book))
    done = play(*words)
    assert done.returncode == 0, done.stdout + done.stderr

    names = {str(path.relative_to(folder)) for path in folder.rglob("*.crt")}
    assert names == {"ca.crt", "one/etcd.crt", "one/ksr.crt", "one/netctl.crt", "one/agent.crt", "two/agent.crt"}
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*.key")} == {0}
    assert folder.stat().st_mode & 0o077 == 0

    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    usage = x509.ExtendedKeyUsage
    for name in names - {"ca.crt"}:
        certificate = x509.load_pem_x509_certificate((folder / name).read_bytes())
        certificate.verify_directly_issued_by(authority)
        key = (folder / name).with_suffix(".key")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(folder / name, key)
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc >= datetime.timedelta(days=3649)
        purposes = set(certificate.extensions.get_extension_for_class(usage).value)
        server = {x509.ExtendedKeyUsageOID.SERVER_AUTH} if name == "one/etcd.crt" else set()
        assert purposes == {x509.ExtendedKeyUsageOID.CLIENT_AUTH} | server
    etcd = x509.load_pem_x509_certificate((folder / "one/etcd.crt").read_bytes())
    reached = etcd.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(address) for address in reached.get_values_for_type(x509.IPAddress)} == {"10.0.0.1", "127.0.0.1"}

    before = {path: path.read_bytes() for path in folder.rglob("*.crt")}
    assert play(*words).returncode == 0
    assert {path: path.read_bytes() for path in folder.rglob("*.crt")} == before


def test_reset_does_nothing_without_an_answer(play: Play, inventory: Path) -> None:
    done = play("-i", str(inventory), "playbooks/reset.yml", "-e", "reset_confirmed=no", "--check")
    assert done.returncode != 0
    assert "Nothing was changed" in done.stdout + done.stderr
    assert "changed=0" in done.stdout
    assert "TASK [Tell the kubelet" not in done.stdout


def test_a_wrong_option_is_named_before_anything_is_changed(play: Play, inventory: Path) -> None:
    # Only the preflight runs, or a fault in it would install the network on this very machine.
    wrong = '{"contivpp_config": {"ipamConfig": {"podSubnetCDIR": "10.1.0.0/16"}}}'
    done = play("-i", str(inventory), "-e", wrong, "--tags", "preflight", "site.yml")
    assert done.returncode != 0
    assert "ipamConfig.podSubnetCDIR: there is no such option" in done.stdout + done.stderr
    assert "changed=0" in done.stdout
    first = yaml.safe_load((REPOSITORY / "playbooks/site.yml").read_text())[0]
    assert first["ansible.builtin.import_playbook"] == "preflight.yml"
    [preflight] = yaml.safe_load((REPOSITORY / "playbooks/preflight.yml").read_text())
    assert preflight["any_errors_fatal"] is True
