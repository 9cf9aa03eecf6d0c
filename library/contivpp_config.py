#!/usr/bin/python
"""Ansible module: whether the agent can use a configuration, and which subnets it takes."""

DOCUMENTATION = """
---
module: contivpp_config
short_description: Checks the configuration of the network before anything is changed
description:
  - Reads C(contiv.conf) and C(controller.conf) exactly as the agent does, and changes nothing. Fails with all
    mistakes at once, each with the option's name.
  - Needs the project's own Python package. Where the interpreter does not have it, the one of an installed
    node is tried.
options:
  contiv:
    description: The content of C(contiv.conf).
    type: dict
    default: {}
  controller:
    description: The content of C(controller.conf).
    type: dict
    default: {}
  node_name:
    description: The node that it is for, by its name in Kubernetes.
    type: str
    default: ""
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Check what the network is to be
  contivpp_config:
    contiv: {ipamConfig: {podSubnetCIDR: 10.1.0.0/16}}
    node_name: "{{ inventory_hostname }}"
  delegate_to: localhost
"""

RETURN = """
subnets:
  description: The subnets that the network takes for itself, by the option that decides them.
  type: dict
  returned: success
dataplane:
  description: What forwards packets, linux or vpp.
  type: str
  returned: success
uplink:
  description: The NIC that VPP takes on this node; empty for none.
  type: str
  returned: success
steals:
  description: Whether VPP gets the NIC that carries this node's address.
  type: bool
  returned: success
problems:
  description: One sentence per mistake.
  type: list
  elements: str
  returned: always
"""

import json

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

try:
    from contivpp.model.config import ContivConfig
    from contivpp.model.controller_config import ControllerConfig
    from contivpp.model.options import ConfigError

    HAS_CONTIVPP = True
except ImportError:
    HAS_CONTIVPP = False

NODE = "/opt/contivpp/venv/bin/python"
SUBNETS = ("podSubnetCIDR", "vppHostSubnetCIDR", "vxlanCIDR", "serviceCIDR")


def look(contiv, controller, node_name):
    """Mistakes of both files, and what is to be told of the first when it has none."""
    problems, told = [], {}
    try:
        config = ContivConfig.parse(json.dumps(contiv), node_name=node_name)
        problems += ["contiv.conf: " + sentence for sentence in config.unsupported()]
        used = config.ipam_as_used()
        node = config.own_node
        told = {
            "subnets": {
                "ipamConfig." + name + (" (second)" if number else ""): subnet
                for name in SUBNETS
                for number, subnet in enumerate(filter(None, used[name].split(",")))
            },
            "dataplane": config.dataplane,
            "uplink": node.main_vpp_interface.interface_name if node and node.main_vpp_interface else "",
            "steals": config.steals_nic,
        }
    except ConfigError as error:
        problems += str(error).splitlines()
    try:
        ControllerConfig.parse(json.dumps(controller))
    except ConfigError as error:
        problems += str(error).splitlines()
    return problems, told


def main():
    module = AnsibleModule(
        argument_spec={
            "contiv": {"type": "dict", "default": {}},
            "controller": {"type": "dict", "default": {}},
            "node_name": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if not HAS_CONTIVPP:
        interpreter = None if has_respawned() else probe_interpreters_for_module([NODE], "contivpp.model")
        if interpreter:
            respawn_module(interpreter)
        module.fail_json(msg=missing_required_lib("contivpp", reason="to check a configuration; run make venv"))
    problems, told = look(module.params["contiv"], module.params["controller"], module.params["node_name"])
    if problems:
        module.fail_json(msg="\n".join(problems), problems=problems)
    module.exit_json(changed=False, problems=[], **told)


if __name__ == "__main__":
    main()
