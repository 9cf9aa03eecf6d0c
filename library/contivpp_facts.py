#!/usr/bin/python
"""Ansible module: what of a host matters to VPP."""

DOCUMENTATION = """
---
module: contivpp_facts
short_description: Reads NICs, huge pages and cores of a host
description:
  - Reads what of a host matters to VPP, and changes nothing. The result is the fact C(contivpp).
options:
  node_ip:
    description: The address of the node in Kubernetes, so that the NIC that has it can be told.
    type: str
    default: ""
  workers:
    description: Lays out cores for VPP's main thread and so many workers, within what the kernel isolates.
    type: int
  numa_node:
    description: The NUMA node that the workers are to be on, as a rule that of the NIC.
    type: int
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Read the host
  contivpp_facts:
    node_ip: "{{ ansible_host }}"

- name: Show the NICs that carry nothing
  ansible.builtin.debug:
    msg: "{{ ansible_facts.contivpp.nics | rejectattr('addresses') | map(attribute='address') }}"

- name: Lay out three workers beside the NIC
  contivpp_facts:
    workers: 3
    numa_node: 0
"""

RETURN = """
ansible_facts:
  description: The facts.
  type: dict
  returned: success
  contains:
    contivpp:
      description: What of the host matters to VPP.
      type: dict
      returned: success
      contains:
        nics:
          description:
            - Every NIC with its C(address) on the bus, C(name), C(driver), C(vendor), C(device), C(iommu_group) and the
              C(companions) in it, C(numa_node), C(mac), C(mtu), C(state), C(addresses), C(routes), the links that it
              C(carries), and whether it carries the C(default_route) and the C(node_ip).
          type: list
          elements: dict
          returned: success
        iommu: {description: Whether an IOMMU keeps devices apart., type: bool, returned: success}
        drivers:
          description: Drivers of user space that are there or can be loaded, and whether VFIO goes without an IOMMU.
          type: dict
          returned: success
        taken:
          description: Addresses of NICs that were taken from the kernel, each with all names it may be asked for by.
          type: dict
          returned: success
          sample: {"0000:00:08.0": ["0000:00:08.0", "00:08.0", eth1, "52:54:00:00:00:08"]}
        hugepages: {description: All pools with their pages and those that are free., type: list, returned: success}
        cpus: {description: Cores that are present, online and isolated, by NUMA node., type: dict, returned: success}
        cpu_layout:
          description: The block C(cpu) of C(startup.conf) for O(workers).
          type: dict
          returned: when O(workers) is given
          sample: {main-core: 2, corelist-workers: 3-5}
        cpu_advice:
          description: What that layout will suffer from.
          type: list
          returned: when O(workers) is given
problems:
  description: One sentence per reason, with its remedy.
  type: list
  elements: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import cpus, hugepages, taking
from ansible.module_utils.contivpp.host.system import HostError, System


def main():
    module = AnsibleModule(
        argument_spec={
            "node_ip": {"type": "str", "default": ""},
            "workers": {"type": "int"},
            "numa_node": {"type": "int"},
        },
        required_by={"numa_node": "workers"},
        supports_check_mode=True,
    )
    given = module.params
    system = System()
    try:
        found = taking.read(system, node_ip=given["node_ip"])
        cores = cpus.read(system)
        facts = {
            "nics": [nic.as_dict() for nic in found.inventory.nics],
            "iommu": found.inventory.iommu,
            "drivers": found.kernel.as_dict(),
            "taken": taking.taken(found),
            "hugepages": [pool.as_dict() for pool in hugepages.read(system).pools],
            "cpus": cores.as_dict(),
        }
        if given["workers"] is not None:
            layout = cpus.layout(cores, given["workers"], node=given["numa_node"])
            facts["cpu_layout"] = layout.as_settings()
            facts["cpu_advice"] = cpus.advice(cores, layout, node=given["numa_node"])
    except HostError as error:
        module.fail_json(msg=str(error), problems=error.problems)
    module.exit_json(changed=False, ansible_facts={"contivpp": facts})


if __name__ == "__main__":
    main()
