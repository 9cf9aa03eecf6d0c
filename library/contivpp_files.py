#!/usr/bin/python
"""Ansible module: files and folders of a node, all of one purpose at once."""

DOCUMENTATION = """
---
module: contivpp_files
short_description: Makes files and folders as they are to be, several at once
description:
  - Looks at all of them, has new contents accepted where that is asked for, and then writes those that differ, each in
    one step. Folders above a file are made.
  - In check mode nothing is written, and nothing has to be there yet.
options:
  files:
    description: What is to be, in the order in which it is made.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where.
        type: path
        required: true
      state:
        description: A file, a folder, a link, or nothing at all; a folder goes with everything in it.
        type: str
        choices: [file, directory, link, absent]
        default: file
      content:
        description: Of a file, to the letter; of a link, where it leads to.
        type: str
        default: ""
      owner:
        description: Who owns it.
        type: str
        default: root
      group:
        description: The group that owns it.
        type: str
        default: root
      mode:
        description: Its mode in octal; C(0644) for a file and C(0755) for a folder when left out.
        type: str
        default: ""
      secret:
        description: Whether its content stays out of the diff.
        type: bool
        default: false
      validate:
        description:
          - A command that has to accept a new content, with C(%s) for the file that holds it. It is left out while
            the program is not there yet.
        type: str
        default: ""
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Tell the agent what the network is to be
  contivpp_files:
    files:
      - path: /etc/contiv/contiv.conf
        content: "{{ lookup('ansible.builtin.template', 'contiv.conf.j2') }}"
        validate: /opt/contivpp/venv/bin/contiv-agent check --contiv-config %s

- name: Forget an old file
  contivpp_files:
    files:
      - {path: /etc/contiv/old.conf, state: absent}
"""

RETURN = """
changes:
  description: What differed, by path; one of created, changed, removed, and attributes for owner and mode.
  type: dict
  returned: success
  sample: {/etc/contiv/contiv.conf: changed}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import managed_files

FILE = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": list(managed_files.STATES), "default": "file"},
    "content": {"type": "str", "default": ""},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": ""},
    "secret": {"type": "bool", "default": False},
    "validate": {"type": "str", "default": ""},
}


def main():
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": FILE}},
        supports_check_mode=True,
    )
    try:
        changes = managed_files.plan([managed_files.Wanted.of(one) for one in module.params["files"]])
        if module.check_mode:
            for change in changes:
                managed_files.validate(change)
        else:
            managed_files.apply(changes)
    except managed_files.FilesError as error:
        module.fail_json(msg=str(error))
    result = {"changed": bool(changes), "changes": {change.wanted.path: change.kind for change in changes}}
    if module._diff:
        result["diff"] = [change.diff() for change in changes]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
