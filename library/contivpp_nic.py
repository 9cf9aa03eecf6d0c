#!/usr/bin/python
"""Ansible module: a NIC belongs to VPP, or to the kernel again."""

DOCUMENTATION = """
---
module: contivpp_nic
short_description: Gives a NIC to VPP, and back to the kernel as it was
description:
  - Changes the driver of one PCI device and of no other of its kind (C(driver_override)), now and at every boot.
  - How the NIC was, its addresses and routes included, is remembered in C(/var/lib/contiv/host) before the first
    change. O(state=absent) puts all of it back.
  - Refuses, before anything is changed and with all reasons at once, a NIC that does not exist, one that a mounted
    network file system or an iSCSI disk is reached by, one that is part of a bond or a bridge or has VLANs on it, one
    that carries the default route, the node's address or Ansible's own session, one without an IOMMU unless
    O(noiommu=true), one that shares its IOMMU group with devices in use, and one whose driver VPP uses together with
    the kernel (mlx4, mlx5).
  - A NIC that a program drives from user space is not taken from it; stop the program first.
  - When the driver does not take the NIC, the NIC is given back to the driver that it had, and the module fails.
options:
  nic:
    description: The NIC, by its PCI address, its name, or its MAC address. The name stays valid while VPP has the NIC.
    type: str
    required: true
  driver:
    description:
      - The driver that is to have it.
      - V(kernel) is the kernel's own, with addresses and routes put back when it had that one before.
    type: str
    choices: [vfio-pci, uio_pci_generic, kernel]
    default: vfio-pci
  state:
    description: Whether the NIC has that driver, or everything is as it was before this module first changed it.
    type: str
    choices: [present, absent]
    default: present
  noiommu:
    description:
      - Whether VFIO may have the NIC on a machine without an IOMMU. The NIC, and so VPP, can write to all memory of
        the machine then. The permission is taken back with the last NIC that needs it.
    type: bool
    default: false
  boot:
    description: Whether it is to be so after a reboot as well.
    type: bool
    default: true
  node_ip:
    description: The address of the node in Kubernetes; a NIC that has it is refused.
    type: str
    default: ""
  together:
    description:
      - All NICs that V(vfio-pci) is to have, by any of their names. They may share an IOMMU group, as the ports of one
        card do; VFIO lets VPP have the group when it has all of them.
    type: list
    elements: str
    default: []
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Give the second NIC to VPP
  contivpp_nic:
    nic: eth1
    node_ip: "{{ ansible_host }}"

- name: Give one to VPP on a virtual machine without an IOMMU
  contivpp_nic:
    nic: "0000:00:08.0"
    noiommu: true

- name: Give it back with its addresses and routes
  contivpp_nic:
    nic: eth1
    state: absent
"""

RETURN = """
address:
  description: The address of the NIC on its bus.
  type: str
  returned: success
  sample: "0000:00:08.0"
before:
  description: Its driver, what the next boot does with it, and its links with addresses and routes, before.
  type: dict
  returned: success
after:
  description: The same afterwards; in check mode, as it would be.
  type: dict
  returned: success
steps:
  description: What is done to the kernel for it, in order.
  type: list
  elements: str
  returned: success
  sample: ["modprobe vfio-pci"]
problems:
  description: One sentence per reason, with its remedy.
  type: list
  elements: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import report, taking, uses
from ansible.module_utils.contivpp.host.system import HostError, System


def main():
    module = AnsibleModule(
        argument_spec={
            "nic": {"type": "str", "required": True},
            "driver": {"type": "str", "choices": ["vfio-pci", "uio_pci_generic", "kernel"], "default": "vfio-pci"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "noiommu": {"type": "bool", "default": False},
            "boot": {"type": "bool", "default": True},
            "node_ip": {"type": "str", "default": ""},
            "together": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    system = System()
    try:
        found = taking.read(system, node_ip=given["node_ip"], session=uses.session(system))
        planned = taking.plan(
            found,
            taking.Wanted(
                given["nic"],
                driver=given["driver"],
                present=given["state"] == "present",
                no_iommu=given["noiommu"],
                at_boot=given["boot"],
                together=tuple(given["together"]),
            ),
        )
        if planned.changed and not module.check_mode:
            taking.apply(system, planned)
    except HostError as error:
        module.fail_json(msg=str(error), problems=error.problems)
    module.exit_json(
        **report.result(
            "NIC %s" % planned.address,
            planned.before,
            planned.after,
            changed=planned.changed,
            with_diff=module._diff,
            address=planned.address,
            steps=planned.steps,
        )
    )


if __name__ == "__main__":
    main()
