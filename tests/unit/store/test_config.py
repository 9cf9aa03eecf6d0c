from __future__ import annotations

from pathlib import Path

import pytest

from contivpp.store.config import EtcdConfig, EtcdConfigError
from contivpp.store.types import MAX_OPERATIONS, Batch, split
from tests.certificates import Authority


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"endpoint": ["a:1"]}, "endpoint: no such option; did you mean endpoints?"),
        ({"endpoints": "a:1"}, "endpoints: must be a list of host:port"),
        ({"endpoints": ["a"], "insecure-transport": True}, "'a' is not host:port"),
        ({"dial-timeout": 1}, "is in nanoseconds, and 1 of them are too short: for 1 s write 1000000000"),
        ({"insecure-transport": "yes"}, "must be true or false"),
        ({"cert-file": "x.crt"}, "key-file: is missing"),
        ({"ca-file": "/nowhere/ca.crt"}, "ca-file: /nowhere/ca.crt cannot be read"),
        ({"endpoints": ["https://a:1"], "insecure-transport": True}, "asks for TLS"),
        ([1], "must be a mapping of options"),
    ],
)
def test_a_mistake_names_the_option_and_the_remedy(content: object, problem: str) -> None:
    with pytest.raises(EtcdConfigError) as caught:
        EtcdConfig.parse(content)
    assert problem in str(caught.value)


def test_endpoints_come_from_the_environment_when_the_file_says_nothing() -> None:
    config = EtcdConfig.parse({"insecure-transport": True}, environ={"ETCD_ENDPOINTS": "a:1, b:2"})
    assert config.endpoints == ("a:1", "b:2")


def test_a_key_that_belongs_to_another_certificate_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, _ = authority.issue("one")
    _, key = authority.issue("two")
    content = {"cert-file": str(certificate), "key-file": str(key), "ca-file": str(authority.file)}
    with pytest.raises(EtcdConfigError, match="is not the key of the certificate in cert-file"):
        EtcdConfig.parse(content)


def test_any_number_of_operations_is_cut_into_batches_that_etcd_takes() -> None:
    puts = {f"/{number:04}": b"x" * 10 for number in range(300)}
    batches = list(split(puts, [f"/gone/{number}" for number in range(100)]))
    assert [len(batch.puts) + len(batch.deletes) for batch in batches] == [128, 128, 128, 16]
    assert {key: value for batch in batches for key, value in batch.puts.items()} == puts
    with pytest.raises(ValueError, match="at most 128"):
        Batch(puts={f"/{number}": b"" for number in range(MAX_OPERATIONS + 1)})
    assert len(list(split({"/a": b"x" * 700_000, "/b": b"x" * 700_000}))) == 2
