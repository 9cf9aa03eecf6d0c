#!/usr/bin/python
"""Ansible module: the only NIC of a node goes to VPP, and comes back."""

DOCUMENTATION = """
---
module: contivpp_stn
short_description: Steals a NIC for VPP by way of contiv-stn, confirms that, or gives the NIC back
description:
  - The theft itself runs in contiv-stn, a daemon of the node. O(action=begin) only has it begin, a moment later, so
    that this answer still gets through; then the node is away until VPP forwards. Come back with
    M(ansible.builtin.wait_for_connection) and say O(action=confirm). Without that word in time everything rolls back
    by itself, and so it does when VPP or the agent does not run or the gateway does not answer by way of VPP.
options:
  action:
    description:
      - V(begin) has the NIC stolen; one that is stolen already stays so, and nothing has changed.
      - V(confirm) says that the node is reached, and waits until contiv-stn finds all well.
      - V(release) gives it back, with all addresses and routes that it had.
      - V(state) only tells what is known.
      - V(device) only tells which device the NIC is, for VPP's startup.conf; contiv-stn need not run.
    type: str
    choices: [begin, confirm, release, state, device]
    required: true
  nic:
    description: Name of the NIC; empty is the one that carries the node's address, or the one that is stolen.
    type: str
    default: ""
  driver:
    description: What VPP drives it by; empty chooses C(vfio-pci) for a PCI device and C(af_packet) for another link.
    type: str
    choices: ["", vfio-pci, uio_pci_generic, af_packet]
    default: ""
  dhcp:
    description: Whether VPP is to ask for the address by DHCP; an address with a lifetime says so by itself.
    type: bool
    default: false
  node_ip:
    description: With O(action=device), the node's address, by which the NIC is found that is not named.
    type: str
    default: ""
  confirm_within:
    description: With O(action=begin), seconds for O(action=confirm) to come.
    type: int
    default: 120
  delay:
    description: With O(action=begin), seconds until the theft begins.
    type: float
    default: 2
  force:
    description: Whether a NIC is taken that does not carry the node's address, and without VPP and the agent.
    type: bool
    default: false
  timeout:
    description: With O(action=confirm), seconds to wait until all is well.
    type: int
    default: 90
  program:
    description: The program contiv-stn.
    type: path
    default: /opt/contivpp/venv/bin/contiv-stn
  socket:
    description: Where its daemon listens.
    type: path
    default: /run/contiv/stn.sock
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Give VPP the only NIC of the node
  contivpp_stn:
    action: begin
    nic: eth0
    confirm_within: 120

- name: Come back by way of VPP
  ansible.builtin.wait_for_connection:
    delay: 4

- name: Keep it so
  contivpp_stn:
    action: confirm
    nic: eth0

- name: Give the NIC back to the kernel
  contivpp_stn:
    action: release

- name: See why it went back
  contivpp_stn:
    action: state
  register: stn
"""

RETURN = """
phase:
  description:
    - What the NIC is, V(stealing), V(stolen) (not confirmed yet), V(confirmed), V(releasing) or V(returned); empty when
      contiv-stn knows of none.
  type: str
  returned: always
reason:
  description: Why it is being given back, or was.
  type: str
  returned: always
nic:
  description: All that contiv-stn says of it, such as addresses, routes, driver and problems.
  type: dict
  returned: when there is one
pci:
  description:
    - Address of its PCI device that VPP drives; empty when VPP attaches to the kernel's link.
    - With O(action=device), empty as well for a NIC that VPP takes by itself later (VMware's).
  type: str
  returned: always
delay:
  description: Seconds until the theft begins.
  type: float
  returned: with O(action=begin), when it begins
"""

import json
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import nics
from ansible.module_utils.contivpp.host.system import HostError, System

STOLEN = ("stolen", "confirmed")
JOURNAL = "/var/lib/contiv-stn/journal.json"
TAKEN_LATER = ("vmxnet3",)
"""Drivers of NICs that VPP takes with one of its own when the agent tells it to: DPDK must not have them before."""


class StnError(Exception):
    """contiv-stn refused, or is not there."""


class Stn:
    """The program, asked by its command line."""

    def __init__(self, module):
        self._module = module
        self._program = module.params["program"]

    @property
    def is_there(self):
        """Whether the software is installed."""
        return os.access(self._program, os.X_OK)

    @property
    def runs(self):
        """Whether there is a daemon to ask; a check comes before it is defined."""
        return self.is_there and os.path.exists(self._module.params["socket"])

    def ask(self, command, *words):
        """The answer to a command; raises StnError with what the program says."""
        if not self.is_there:
            raise StnError("%s is not there: install the software first" % self._program)
        nic = [self._module.params["nic"]] if self._module.params["nic"] else []
        code, output, error = self._module.run_command(
            [self._program, command, *nic, "--socket", self._module.params["socket"], *words]
        )
        if code != 0:
            raise StnError((error or output).strip().replace("contiv-stn: ", "", 1) or "%s failed" % command)
        return json.loads(output)


def begin(module, stn):
    wanted = module.params
    if module.check_mode and not stn.runs:
        return {"changed": True}, {}
    before = stn.ask("state")
    if before["phase"] in STOLEN:
        return {"changed": False}, before
    words = ["--driver", wanted["driver"]] if wanted["driver"] else []
    words += ["--dhcp"] if wanted["dhcp"] else []
    words += ["--force"] if wanted["force"] else []
    found = stn.ask("steal", "--dry-run", *words)
    result = {"changed": True, "diff": between("kernel", found["kernel_driver"], "stolen", found["driver"], found)}
    if not module.check_mode:
        within = ["--confirm-within", str(wanted["confirm_within"])]
        stn.ask("steal", "--delay", str(wanted["delay"]), *within, *words)
        result["delay"] = wanted["delay"]
    return result, found


def confirm(module, stn):
    if module.check_mode and not stn.runs:
        return {"changed": False}, {}
    state = stn.ask("state")
    if state["phase"] == "confirmed" or (module.check_mode and not state["phase"]):
        return {"changed": False}, state
    if state["phase"] != "stolen":
        raise StnError(gone(state))
    result = {"changed": True, "diff": {"before": {"phase": "stolen"}, "after": {"phase": "confirmed"}}}
    if module.check_mode:
        return result, state
    stn.ask("confirm")
    deadline = time.time() + module.params["timeout"]
    while state["phase"] != "confirmed":
        state = stn.ask("state")
        if state["phase"] not in STOLEN:
            raise StnError(gone(state))
        if state["phase"] == "stolen" and time.time() >= deadline:
            raise StnError(
                "the node is reached, and not all is well within %d s: %s; the NIC goes back unless that ends"
                % (module.params["timeout"], "; ".join(state["problems"]) or "nothing is said to be wrong")
            )
        if state["phase"] == "stolen":
            time.sleep(0.5)
    return result, state


def release(module, stn):
    if not stn.runs:
        if os.path.exists(JOURNAL):
            raise StnError("a NIC may be stolen (%s) and contiv-stn does not run: start contiv-stn.service" % JOURNAL)
        return {"changed": False}, {}
    state = stn.ask("state")
    if not state["phase"]:
        return {"changed": False}, state
    diff = between(state["phase"], state["driver"], "kernel", state["kernel_driver"], state)
    if not module.check_mode:
        stn.ask("release")
        state = stn.ask("state")
    return {"changed": True, "diff": diff}, state


def look(module, stn):
    if not stn.runs:
        return {"changed": False}, {}
    return {"changed": False}, stn.ask("state")


def device(module, stn):
    """Which device the NIC is, from what contiv-stn has written down or from the kernel."""
    wanted = module.params
    if wanted["driver"] == "af_packet":
        return {"changed": False}, {}
    try:
        with open(JOURNAL, encoding="utf-8") as file:
            known = json.load(file)["nic"]
        if wanted["nic"] in ("", known["name"]):
            not_before = known["driver"] == "af_packet" or known.get("kernel_driver") in TAKEN_LATER
            return {"changed": False}, {"pci": "" if not_before else known["pci"]}
    except (OSError, ValueError, KeyError):
        pass
    found = nics.read(System(), node_ip=wanted["node_ip"])
    if wanted["nic"]:
        fitting = [nic for nic in found.nics if wanted["nic"] in [link.name for link in nic.links]]
    else:
        fitting = [nic for nic in found.nics if (nic.node_ip if wanted["node_ip"] else nic.default_route)]
    if not fitting:  # a link without a device
        return {"changed": False}, {}
    not_before = fitting[0].bus != "pci" or fitting[0].driver in TAKEN_LATER
    return {"changed": False}, {"pci": "" if not_before else fitting[0].address}


def between(before, driver_before, after, driver_after, nic):
    """The two states as they are shown."""
    name = nic["name"]
    return {
        "before": {name: {"phase": before, "driver": driver_before}},
        "after": {name: {"phase": after, "driver": driver_after}},
    }


def gone(state):
    if not state["phase"]:
        return "no NIC is stolen: begin first"
    return "%s is not stolen, it is %s: %s" % (state["name"], state["phase"], state["reason"] or "nobody says why")


ACTIONS = {"begin": begin, "confirm": confirm, "release": release, "state": look, "device": device}


def main():
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "required": True, "choices": sorted(ACTIONS)},
            "nic": {"type": "str", "default": ""},
            "driver": {"type": "str", "default": "", "choices": ["", "vfio-pci", "uio_pci_generic", "af_packet"]},
            "dhcp": {"type": "bool", "default": False},
            "node_ip": {"type": "str", "default": ""},
            "confirm_within": {"type": "int", "default": 120},
            "delay": {"type": "float", "default": 2},
            "force": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 90},
            "program": {"type": "path", "default": "/opt/contivpp/venv/bin/contiv-stn"},
            "socket": {"type": "path", "default": "/run/contiv/stn.sock"},
        },
        supports_check_mode=True,
    )
    try:
        result, nic = ACTIONS[module.params["action"]](module, Stn(module))
    except HostError as error:
        module.fail_json(msg="\n".join(error.problems))
    except StnError as error:
        module.fail_json(msg=str(error))
    if not module._diff:
        result.pop("diff", None)
    pci = nic.get("pci", "") if nic.get("driver", "") != "af_packet" else ""
    known = {"nic": nic} if nic.get("name") else {}
    module.exit_json(phase=nic.get("phase", ""), reason=nic.get("reason", ""), pci=pci, **known, **result)


if __name__ == "__main__":
    main()
