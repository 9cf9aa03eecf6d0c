"""The store and an etcd that trust each other's certificates, or do not."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from contivpp.store.client import Store
from contivpp.store.config import EtcdConfig
from contivpp.store.errors import StoreUnavailable
from tests.certificates import Authority
from tests.integration.conftest import Etcd

pytestmark = pytest.mark.etcd


class Tls:
    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "ca")
        server, server_key = self.authority.issue("etcd")
        self.client, self.client_key = self.authority.issue("client")
        trust = ssl.create_default_context(cafile=self.authority.file)
        trust.load_cert_chain(self.client, self.client_key)
        arguments = ("--client-cert-auth", "--trusted-ca-file", str(self.authority.file))
        arguments += ("--cert-file", str(server), "--key-file", str(server_key))
        self.etcd = Etcd(folder / "etcd", arguments=arguments, trust=trust)

    def config(self, authority: Path, certificate: Path, key: Path) -> EtcdConfig:
        return EtcdConfig(
            endpoints=(self.etcd.endpoint,),
            ca_file=authority,
            cert_file=certificate,
            key_file=key,
            operation_timeout=3.0,
        )


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Tls]:
    made = Tls(tmp_path)
    try:
        made.etcd.start()
        yield made
    finally:
        made.etcd.kill()


async def test_with_the_right_certificates_everything_works(tls: Tls) -> None:
    async with await Store.open(tls.config(tls.authority.file, tls.client, tls.client_key)) as store:
        await store.put("/a", b"1")
        assert (await store.get_prefix("/")).items.keys() == {"/a"}


async def test_a_server_that_another_authority_signed_is_refused_by_name(tls: Tls, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    async with await Store.open(tls.config(other.file, tls.client, tls.client_key)) as store:
        with pytest.raises(StoreUnavailable, match=f"etcd at {tls.etcd.endpoint}.*(?i:certificate|handshake|ssl)"):
            await store.get("/a")


async def test_a_client_that_another_authority_signed_gets_nothing(tls: Tls, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "other").issue("stranger")
    async with await Store.open(tls.config(tls.authority.file, certificate, key)) as store:
        with pytest.raises(StoreUnavailable, match=f"etcd at {tls.etcd.endpoint}"):
            await store.put("/a", b"1")
    async with await Store.open(tls.config(tls.authority.file, tls.client, tls.client_key)) as store:
        assert await store.get("/a") is None
