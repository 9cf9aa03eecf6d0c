from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contivpp.agent.cni import request, result
from contivpp.agent.cni.request import CniError
from contivpp.agent.pods.api import Attachment, PodAddress, Sandbox
from contivpp.model.keys import PodID

GOOD = {"cniVersion": "1.0.0", "name": "k8s"}
ATTACHMENT = Attachment(
    sandbox=Sandbox(PodID("web", "default"), "c1", "/run/netns/x", "eth0"),
    mac="02:fe:00:00:00:01",
    host_interface="c1",
    host_mac="02:fe:00:00:00:02",
    addresses=(PodAddress("10.1.1.2/32", "10.1.1.1"),),
    routes=(("0.0.0.0/0", "10.1.1.1"),),
    mtu=1450,
)


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        (b"{", 6, "is not JSON"),
        (b"[]", 7, "is not a JSON object"),
        (json.dumps({"name": "x"}).encode(), 7, "cniVersion is missing"),
        (json.dumps({"cniVersion": "0.2.0", "name": "x"}).encode(), 1, "cniVersion '0.2.0' is not one of"),
        (json.dumps({"cniVersion": "1.0.0"}).encode(), 7, "name is missing"),
        (json.dumps({**GOOD, "prevResult": 5}).encode(), 7, "prevResult is not a JSON object"),
        (json.dumps({**GOOD, "cni.dev/valid-attachments": [{}]}).encode(), 7, "valid-attachments"),
    ],
)
def test_a_malformed_configuration_is_named_with_its_code(text: bytes, code: int, problem: str) -> None:
    with pytest.raises(CniError, match=problem) as caught:
        request.parse_config(text)
    assert caught.value.code == code


@given(
    st.one_of(st.binary(max_size=200), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
)
def test_whatever_is_on_standard_input_the_answer_is_a_cni_error_or_a_configuration(text: bytes | str) -> None:
    raw = text.encode() if isinstance(text, str) else text
    try:
        assert request.parse_config(raw).version in request.VERSIONS
    except CniError as error:
        answer = json.loads(result.render_error(error))
        assert answer["code"] in (1, 6, 7)
        assert answer["msg"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (("ADD", "", "/n", "eth0", "K8S_POD_NAME=a;K8S_POD_NAMESPACE=b"), "CNI_CONTAINERID is not set"),
        (("ADD", "c/1", "/n", "eth0", "K8S_POD_NAME=a;K8S_POD_NAMESPACE=b"), "CNI_CONTAINERID='c/1' is not valid"),
        (("ADD", "c1", "", "eth0", "K8S_POD_NAME=a;K8S_POD_NAMESPACE=b"), "CNI_NETNS is not set"),
        (("ADD", "c1", "/n", "a" * 16, "K8S_POD_NAME=a;K8S_POD_NAMESPACE=b"), "CNI_IFNAME"),
        (("ADD", "c1", "/n", "..", "K8S_POD_NAME=a;K8S_POD_NAMESPACE=b"), "CNI_IFNAME"),
        (("ADD", "c1", "/n", "eth0", "K8S_POD_NAME=a"), "CNI_ARGS must name"),
    ],
)
def test_a_variable_that_is_missing_or_wrong_is_named(values: tuple[str, ...], problem: str) -> None:
    with pytest.raises(CniError, match=problem) as caught:
        request.sandbox_of(*values)
    assert caught.value.code == 4


def test_a_delete_needs_neither_namespace_nor_pod() -> None:
    assert request.sandbox_of("DEL", "c1", "", "eth0", "").container_id == "c1"


@pytest.mark.parametrize("version", request.VERSIONS)
def test_the_result_has_the_form_of_its_version(version: str) -> None:
    answer = json.loads(result.render_result(ATTACHMENT, request.Config(version, "k8s")))
    assert answer["cniVersion"] == version
    [address] = answer["ips"]
    assert answer["interfaces"][address["interface"]]["sandbox"] == "/run/netns/x"
    assert ("version" in address) == (version in ("0.3.1", "0.4.0"))
    assert ("mtu" in answer["interfaces"][0]) == (version == "1.1.0")
    assert answer["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}]


def test_what_plugins_before_this_one_made_stays_in_the_result() -> None:
    before = {
        "interfaces": [{"name": "x"}],
        "ips": [{"address": "10.9.0.1/24", "interface": 0}],
        "dns": {"domain": "d"},
    }
    answer = json.loads(result.render_result(ATTACHMENT, request.Config("1.0.0", "k8s", before)))
    assert [item["name"] for item in answer["interfaces"]] == ["x", "c1", "eth0"]
    assert [(item["address"], item["interface"]) for item in answer["ips"]] == [("10.9.0.1/24", 0), ("10.1.1.2/32", 2)]
    assert answer["dns"] == {"domain": "d"}
