#!/usr/bin/python
"""Ansible module: what would break the network on a host."""

DOCUMENTATION = """
---
module: contivpp_preflight
short_description: Finds what would break the network on a host
description:
  - Reads the host and changes nothing. Fails with all problems at once, each a sentence with its remedy.
options:
  subnets:
    description: Subnets that the network takes, by the option that decides them.
    type: dict
    default: {}
  ports:
    description: TCP ports that must be free, as C({port, unit}) by what they are for.
    type: dict
    default: {}
  free_space:
    description: MiB that the installation needs.
    type: int
    default: 1024
  clock_skew:
    description: Seconds that the host's clock may be off.
    type: int
    default: 300
  now:
    description: The controller's time in seconds since the epoch.
    type: float
    required: true
  node_name:
    description: The name of the node in Kubernetes.
    type: str
    required: true
  address:
    description: The address that other nodes reach this host by.
    type: str
    default: ""
  others:
    description: The addresses of the other hosts by their names.
    type: dict
    default: {}
  python:
    description: The Python that the wheels are made for, as version and machine, such as C(3.11 x86_64).
    type: str
    default: ""
  dataplane:
    description: The data plane that the host is to have; not looked at when empty.
    type: str
    default: ""
  vpp:
    description:
      - What VPP needs of the host, as C({uplink, address, alone, memory, program}); empty where it is not to run.
    type: dict
    default: {}
  host:
    description:
      - What the host is to give VPP, as C({nics, hugepages, hugepages_now, mounts, modules, sysctl, startup_conf,
        strict, workers, numa_node, node_ip, uplink}), with the names of C(contivpp_nic), C(contivpp_hugepages),
        C(contivpp_kernel) and C(startup.conf).
    type: dict
    default: {}
  problems:
    description: What was found elsewhere, to be told with the rest.
    type: list
    elements: str
    default: []
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Look for what would break
  contivpp_preflight:
    subnets: {ipamConfig.podSubnetCIDR: 10.1.0.0/16}
    now: "{{ now(utc=true).timestamp() }}"
    node_name: "{{ inventory_hostname }}"
"""

RETURN = """
problems:
  description: The sentences.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import preflight, preflight_host, preflight_vpp, uses
from ansible.module_utils.contivpp.host.system import System


def main():
    module = AnsibleModule(
        argument_spec={
            "subnets": {"type": "dict", "default": {}},
            "ports": {"type": "dict", "default": {}},
            "free_space": {"type": "int", "default": 1024},
            "clock_skew": {"type": "int", "default": 300},
            "now": {"type": "float", "required": True},
            "node_name": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "others": {"type": "dict", "default": {}},
            "python": {"type": "str", "default": ""},
            "dataplane": {"type": "str", "default": ""},
            "vpp": {"type": "dict", "default": {}},
            "host": {"type": "dict", "default": {}},
            "problems": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    system = System()
    problems = (
        wanted["problems"]
        + preflight.host()
        + preflight.python(wanted["python"])
        + preflight.node_name(wanted["node_name"])
        + preflight.address(wanted["address"], wanted["others"])
        + preflight.clock(wanted["now"], wanted["clock_skew"])
        + preflight.free_space(wanted["free_space"])
        + preflight.subnets(wanted["subnets"])
        + preflight.ports(wanted["ports"])
        + preflight.other_networks()
        + preflight.other_services()
        + preflight.dataplane(wanted["dataplane"])
        + (preflight_vpp.problems(wanted["vpp"]) if wanted["vpp"] else [])
        + (preflight_host.problems(wanted["host"], system, session=uses.session(system)) if wanted["host"] else [])
    )
    if problems:
        module.fail_json(msg="\n".join(problems), problems=problems)
    module.exit_json(changed=False, problems=[])


if __name__ == "__main__":
    main()
