#!/usr/bin/python
"""Ansible module: modules and parameters of the kernel."""

DOCUMENTATION = """
---
module: contivpp_kernel
short_description: Loads modules of the kernel and sets its parameters, and gives both back
description:
  - O(modules) and O(sysctl) are all there is to be of ours, now and at every boot. What an earlier run set and is not
    asked for any more gets the value that it had before; a module that was not loaded then is unloaded unless it is in
    use.
options:
  modules:
    description: Names of modules.
    type: list
    elements: str
    default: []
  sysctl:
    description:
      - Values by the names of parameters; with slashes instead of dots where a part of a name has a dot in it.
      - A parameter may come with one of O(modules).
    type: dict
    default: {}
  state:
    description: Whether that is to be so, or everything as it was before.
    type: str
    choices: [present, absent]
    default: present
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Let VPP have many mappings, and TAPs with vhost
  contivpp_kernel:
    modules: [vhost_net]
    sysctl: {vm.max_map_count: 262144}

- name: Give it back
  contivpp_kernel:
    state: absent
"""

RETURN = """
before:
  description: Which of the modules are loaded, and the parameters, before.
  type: dict
  returned: success
  sample: {modules: [], sysctl: {vm.max_map_count: "65530"}}
after:
  description: The same afterwards; in check mode, as it would be.
  type: dict
  returned: success
problems:
  description: One sentence per reason, with its remedy.
  type: list
  elements: str
  returned: failure
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import kernel, report
from ansible.module_utils.contivpp.host.system import HostError, System


def main():
    module = AnsibleModule(
        argument_spec={
            "modules": {"type": "list", "elements": "str", "default": []},
            "sysctl": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    modules = module.params["modules"] if present else []
    parameters = module.params["sysctl"] if present else {}
    system = System()
    try:
        planned = kernel.plan(kernel.read(system, modules, parameters), modules, parameters)
        if planned.changed and not module.check_mode:
            kernel.apply(system, planned)
    except HostError as error:
        module.fail_json(msg=str(error), problems=error.problems)
    module.exit_json(
        **report.result("kernel", planned.before, planned.after, changed=planned.changed, with_diff=module._diff)
    )


if __name__ == "__main__":
    main()
