#!/usr/bin/python
"""Ansible module: huge pages of a host."""

DOCUMENTATION = """
---
module: contivpp_hugepages
short_description: Reserves huge pages, now, at every boot, and mounted
description:
  - O(pages) and O(mounts) are all there is to be of ours. What an earlier run reserved and is not asked for any more
    is given back. A pool keeps at least the pages that it had before this module first changed it.
  - Fewer pages than asked for are a failure, and all pools have as many as before. Pages that cannot be had, because
    there is not the memory or others use them, are refused before anything is changed.
options:
  pages:
    description: The pools.
    type: list
    elements: dict
    default: []
    suboptions:
      size:
        description: The size of a page, such as V(2M) or V(1G).
        type: str
        default: 2M
      count:
        description: How many pages the pool is to have at least.
        type: int
        required: true
      node:
        description: The NUMA node; without one the kernel spreads the pages over all of them.
        type: int
      free:
        description: How many of them must be free. Not looked at while O(user) runs, for it has its share already.
        type: int
        default: 0
  mounts:
    description: File systems of huge pages, for programs that want files of them. VPP by itself does not.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The folder; it is made, and goes with the mount.
        type: str
        required: true
      size:
        description: The size of the pages; empty is the usual one of the host.
        type: str
        default: ""
  state:
    description: Whether that is to be there, or everything as it was before.
    type: str
    choices: [present, absent]
    default: present
  now:
    description: Whether it is to be so at once. V(false) leaves it to the next boot, when memory is in one piece.
    type: bool
    default: true
  boot:
    description: Whether it is to be so after a reboot as well.
    type: bool
    default: true
  user:
    description: The service that the pages are for.
    type: str
    default: contiv-vpp
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Reserve 1 GB on the NUMA node of the NIC, half of it free for VPP
  contivpp_hugepages:
    pages:
      - {size: 2M, count: 512, node: 0, free: 256}

- name: Reserve large pages at the next boot, with a file system of them
  contivpp_hugepages:
    pages:
      - {size: 1G, count: 4}
    mounts:
      - {path: /dev/hugepages-1G, size: 1G}
    now: false

- name: Give all of it back
  contivpp_hugepages:
    state: absent
"""

RETURN = """
before:
  description: Pages of the pools that are concerned, now and at boot, and mounts, before.
  type: dict
  returned: success
  sample: {pages: {2M on NUMA node 0: {now: 0, at_boot: 0}}, mounts: {}}
after:
  description: The same afterwards; in check mode, as it would be.
  type: dict
  returned: success
pools:
  description: All pools of the host with their free pages, as they are now.
  type: list
  elements: dict
  returned: success
  sample: [{size: 2M, node: 0, pages: 512, free: 512}]
problems:
  description: One sentence per reason, with its remedy.
  type: list
  elements: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import hugepages, report
from ansible.module_utils.contivpp.host.system import HostError, System

PAGES = {
    "size": {"type": "str", "default": "2M"},
    "count": {"type": "int", "required": True},
    "node": {"type": "int"},
    "free": {"type": "int", "default": 0},
}
MOUNTS = {"path": {"type": "str", "required": True}, "size": {"type": "str", "default": ""}}


def main():
    module = AnsibleModule(
        argument_spec={
            "pages": {"type": "list", "elements": "dict", "default": [], "options": PAGES},
            "mounts": {"type": "list", "elements": "dict", "default": [], "options": MOUNTS},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "now": {"type": "bool", "default": True},
            "boot": {"type": "bool", "default": True},
            "user": {"type": "str", "default": "contiv-vpp"},
        },
        supports_check_mode=True,
    )
    given = module.params
    present = given["state"] == "present"
    system = System()
    try:
        found = hugepages.read(system, user_runs=hugepages.runs(system, given["user"]))
        planned = hugepages.plan(
            found,
            [
                hugepages.Wanted(one["size"], one["count"], one["node"], one["free"])
                for one in given["pages"]
                if present
            ],
            mounts=[(one["path"], one["size"]) for one in given["mounts"] if present],
            at_boot=given["boot"],
            now=given["now"],
        )
        if planned.changed and not module.check_mode:
            hugepages.apply(system, planned)
            found = hugepages.read(system)
    except HostError as error:
        module.fail_json(msg=str(error), problems=error.problems)
    module.exit_json(
        **report.result(
            "huge pages",
            planned.before,
            planned.after,
            changed=planned.changed,
            with_diff=module._diff,
            pools=[pool.as_dict() for pool in found.pools],
        )
    )


if __name__ == "__main__":
    main()
