#!/usr/bin/python
"""Ansible module: what a change of a node may replace, kept before it and put back when it does not work."""

DOCUMENTATION = """
---
module: contivpp_snapshot
short_description: Keeps files before a change, and puts them back
description:
  - A node has one snapshot, in C(/var/lib/contiv-rollout). One of an interrupted run with the same purpose is kept, for
    it is of before that run.
options:
  state:
    description: Whether to take a snapshot, to put it back, or to forget it.
    type: str
    choices: [saved, restored, absent]
    required: true
  purpose:
    description: What the change is, with O(state=saved); a snapshot with another purpose is taken anew.
    type: str
  paths:
    description: What to keep, with O(state=saved); files, links and folders, by name or by pattern.
    type: list
    elements: str
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Keep what is there
  contivpp_snapshot:
    state: saved
    purpose: version 2
    paths: [/etc/contiv, /etc/systemd/system/contiv-*.service]

- name: Put it back
  contivpp_snapshot:
    state: restored
"""

RETURN = """
paths:
  description: What was put back or removed, with O(state=restored).
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import snapshot


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["saved", "restored", "absent"], "required": True},
            "purpose": {"type": "str"},
            "paths": {"type": "list", "elements": "str"},
        },
        required_if=[["state", "saved", ["purpose", "paths"]]],
        supports_check_mode=True,
    )
    state, paths = module.params["state"], []
    known = snapshot.record()
    try:
        if state == "saved":
            changed = known is None or known["purpose"] != module.params["purpose"]
            if changed and not module.check_mode:
                snapshot.save(module.params["purpose"], module.params["paths"])
        elif state == "restored":
            paths = ["/" + path for path in (snapshot.differences() if module.check_mode else snapshot.restore())]
            changed = bool(paths)
        else:
            changed = known is not None if module.check_mode else snapshot.drop()
    except (snapshot.SnapshotError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, paths=paths)


if __name__ == "__main__":
    main()
