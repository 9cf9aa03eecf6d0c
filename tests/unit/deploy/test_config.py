from __future__ import annotations

from .conftest import Run


def test_every_mistake_is_named_by_its_option_at_once(run: Run) -> None:
    answer = run(
        "contivpp_config",
        contiv={"ipamConfig": {"podSubnetCDIR": "10.1.0.0/16", "vxlanCIDR": "10.1.0.0/33"}},
        controller={"delayRetry": 5},
    )
    assert answer["failed"]
    text = "\n".join(answer["problems"])
    assert "ipamConfig.podSubnetCDIR" in text
    assert "ipamConfig.vxlanCIDR" in text
    assert "controller.conf: delayRetry" in text


def test_what_this_build_cannot_do_is_refused(run: Run) -> None:
    answer = run("contivpp_config", contiv={"stealFirstNIC": True})
    assert answer["failed"]
    assert "stealFirstNIC" in answer["msg"]


def test_the_subnets_are_those_that_the_agent_takes(run: Run) -> None:
    answer = run("contivpp_config")
    assert not answer["changed"]
    assert answer["subnets"]["ipamConfig.podSubnetCIDR"] == "10.1.0.0/16"
    assert answer["subnets"]["ipamConfig.vxlanCIDR"] == "192.168.30.0/24"
    one = run("contivpp_config", contiv={"ipamConfig": {"contivCIDR": "10.128.0.0/14"}})["subnets"]
    assert one["ipamConfig.podSubnetCIDR"].startswith("10.12")
    both = run("contivpp_config", contiv={"ipamConfig": {"podSubnetCIDR": "10.1.0.0/16,fd00:10:1::/48"}})["subnets"]
    assert both["ipamConfig.podSubnetCIDR"] == "10.1.0.0/16"
    assert both["ipamConfig.podSubnetCIDR (second)"] == "fd00:10:1::/48"


def test_it_says_what_forwards_and_by_which_nic(run: Run) -> None:
    nodes = [{"nodeName": "node1", "mainVPPInterface": {"interfaceName": "eth1"}}, {"nodeName": "node2"}]
    contiv = {"dataplane": "vpp", "ipamConfig": {"nodeInterconnectCIDR": "192.168.16.0/24"}, "nodeConfig": nodes}
    first = run("contivpp_config", contiv=contiv, node_name="node1")
    assert (first["dataplane"], first["uplink"]) == ("vpp", "eth1")
    assert run("contivpp_config", contiv=contiv, node_name="node2")["uplink"] == ""
    assert not first["steals"]
    stealing = {"dataplane": "vpp", "nodeConfig": [{"nodeName": "node1", "stealInterface": "eth0"}]}
    assert run("contivpp_config", contiv=stealing, node_name="node1")["steals"]
    assert not run("contivpp_config", contiv=stealing, node_name="node2")["steals"]
    assert run("contivpp_config")["dataplane"] == "linux"


def test_two_nodes_that_claim_one_address_are_refused(run: Run) -> None:
    nodes = [
        {"nodeName": name, "mainVPPInterface": {"interfaceName": "eth1", "ip": "192.168.16.9/24"}}
        for name in ("node1", "node2")
    ]
    answer = run("contivpp_config", contiv={"dataplane": "vpp", "nodeConfig": nodes})
    assert answer["failed"] and "192.168.16.9 belongs to nodeConfig[0].mainVPPInterface.ip already" in answer["msg"]
