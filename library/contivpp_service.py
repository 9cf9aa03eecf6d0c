#!/usr/bin/python
"""Ansible module: a service that runs with what is there now."""

DOCUMENTATION = """
---
module: contivpp_service
short_description: A service that runs, with what is there now
description:
  - Enables and starts a service of systemd, and restarts it when something that it uses is not what it was started
    with. No handler is needed, and what an interrupted run has left undone is done by the next one.
  - With O(state=absent) the service is stopped, and its unit is removed.
options:
  name:
    description: Name of the unit, without C(.service).
    type: str
    required: true
  state:
    description: Whether it is to run now and after every boot, not to run, or not to be there at all.
    type: str
    choices: [started, stopped, absent]
    default: started
  uses:
    description:
      - Files and links that it reads when it starts; its unit in C(/etc/systemd/system) is always among them.
    type: list
    elements: path
    default: []
  changed:
    description:
      - Paths that were changed in this run, those that it does not use included. Only check mode needs them, where
        nothing on the disk tells of them.
    type: list
    elements: path
    default: []
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Run the agent
  contivpp_service:
    name: contiv-agent
    uses: [/opt/contivpp/venv, /etc/contiv/contiv.conf]
    changed: "{{ agent_files.changes | list }}"

- name: Remove it
  contivpp_service:
    name: contiv-agent
    state: absent
"""

RETURN = """
actions:
  description: What was done, in order; of reload, enable, disable, start, restart, stop, remove.
  type: list
  elements: str
  returned: success
reasons:
  description: What had changed, when it was restarted.
  type: list
  elements: str
  returned: success
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import units


def read(name, check):
    """The service as it is; a check can be made also where systemd does not run, and finds nothing there."""
    if check and not os.path.isdir("/run/systemd/system"):
        return units.Found(known=False, active=False, enabled=False, stale=False, invocation="", since=0.0)
    return units.Found.read(name)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "absent"], "default": "started"},
            "uses": {"type": "list", "elements": "path", "default": []},
            "changed": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    uses = [units.path_of(name), *module.params["uses"]]
    try:
        found = read(name, module.check_mode)
        planned = units.plan(
            found,
            module.params["state"],
            there=os.path.lexists(units.path_of(name)),
            newer=units.newer(found, uses, units.recall(name)),
            changed=set(module.params["changed"]) & set(uses) if module.check_mode else (),
        )
        if not module.check_mode:
            units.apply(name, planned, uses)
    except (units.UnitError, OSError) as error:
        module.fail_json(msg=str(error))
    result = {"changed": bool(planned.actions), "actions": planned.actions, "reasons": planned.reasons}
    if module._diff and planned.actions:
        after = [*planned.actions, *("because of " + reason for reason in planned.reasons)]
        result["diff"] = {
            "before_header": name,
            "after_header": name,
            "before": "%s, %s\n" % ("runs" if found.active else "does not run", "on" if found.enabled else "off"),
            "after": "".join("%s\n" % line for line in after),
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
