"""The playbooks and roles as Ansible reads them, and what of them can run without a node."""

from __future__ import annotations

import datetime
import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.deploy.ansible import REPOSITORY, ansible_playbook

Play = Callable[..., "subprocess.CompletedProcess[str]"]

PKI = """
- hosts: contivpp
  gather_facts: false
  tasks:
    - name: Take what the role keeps on the controller, and what it would carry to a node
      ansible.builtin.import_role:
        name: pki
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
        return ansible_playbook(tmp_path, *words)

    return play


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump(HOSTS))
    return path


@pytest.mark.parametrize("inventory_name", ["playground", "playground-vpp", "example"])
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
    # The "node" is this machine, and gets its files into a folder of the test.
    node = "pki_destination=" + str(tmp_path / "node")
    owners = '{"pki_of_etcd": [{"name": "etcd", "common_name": "etcd one", "usage": ["serverAuth", "clientAuth"], '
    owners += '"names": ["IP:10.0.0.1", "IP:127.0.0.1", "DNS:localhost"], "owner": "root"}]}'
    words = ("-i", str(inventory), "-e", f"pki_folder={folder}", "-e", node, "-e", owners, str(book))
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


VPP = """
- hosts: one
  gather_facts: false
  roles:
    - role: vpp
"""


@pytest.fixture
def vpp(play: Play, inventory: Path, tmp_path: Path) -> Play:
    """Runs role vpp in check mode on this machine, with a prefix that looks like an installed VPP."""
    for name in ("bin/vpp", "bin/vppctl", "lib/libvlib.so"):
        (tmp_path / "prefix" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "prefix" / name).touch(mode=0o755)
    book = tmp_path / "book.yml"
    book.write_text(VPP)

    def run(**variables: object) -> subprocess.CompletedProcess[str]:
        given = {
            "vpp_prefix": str(tmp_path / "prefix"),
            "vpp_folder": str(tmp_path / "node"),
            "vpp_archive": str(tmp_path / "vpp.tar.gz"),
            **variables,
        }
        return play("-i", str(inventory), "--check", "--diff", "-e", json.dumps(given), str(book))

    return run


def test_vpp_gets_the_settings_of_the_variables_and_a_check_shows_each(vpp: Play, tmp_path: Path) -> None:
    settings = {"unix": {"gid": "vpp"}, "plugins": {"plugin": {"nat44_ei_plugin.so": {"disable": True}}}}
    done = vpp(vpp_main_heap_size="300M", vpp_cpu={"main-core": 1}, vpp_poll_sleep=100, vpp_settings=settings)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for setting in (
        '"memory.main-heap-size": "300M"',
        '"cpu.main-core": "1"',
        '"unix.poll-sleep-usec": "100"',
        '"unix.gid": "vpp"',
        '"unix.cli-listen": "/run/vpp/cli.sock"',
        '"plugins.plugin dpdk_plugin.so.disable": "set"',
        '"plugins.plugin nat44_ei_plugin.so.disable": "set"',
    ):
        assert f"+    {setting}" in said, said
    assert f"LD_LIBRARY_PATH={tmp_path}/node/current/lib" in said
    assert not (tmp_path / "node").exists()


def test_a_setting_of_vpp_that_is_not_known_is_refused_by_name(vpp: Play) -> None:
    done = vpp(vpp_settings={"memory": {"main-heap-sise": "1G"}})
    assert done.returncode != 0
    assert (
        "memory.main-heap-sise: is not a setting that is known; did you mean main-heap-size?"
        in done.stdout + done.stderr
    )


def test_a_prefix_without_vpp_is_refused(vpp: Play, tmp_path: Path) -> None:
    done = vpp(vpp_prefix=str(tmp_path))
    assert done.returncode != 0
    assert "there is no VPP in" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["DATAPLANE=vpp", "VPP_PREFIX="], "DATAPLANE=vpp needs VPP_PREFIX"),
        (["DATAPLANE=vpp", "VPP_PREFIX=/nowhere"], "/nowhere has none"),
        (["DATAPLANE=tokenring"], "DATAPLANE is linux or vpp, not tokenring"),
    ],
)
def test_make_refuses_a_data_plane_that_it_cannot_build(words: list[str], said: str) -> None:
    done = subprocess.run(["make", "dataplane", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stderr
