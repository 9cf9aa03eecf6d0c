#!/usr/bin/python
"""Ansible module: VPP's startup.conf says what is wanted."""

DOCUMENTATION = """
---
module: contivpp_startup_conf
short_description: Makes VPP's startup.conf say what is wanted
description:
  - O(settings) is all there is to be of the settings that are known. Those that are not known, and comments, keep
    their places in the file. A file that says what is wanted already is not touched.
  - What VPP would not start with is refused before anything is written, all of it at once; so are cores and NICs that
    this host has not.
  - How a file was that was there before is remembered in C(/var/lib/contiv/host) before the first change, and
    O(state=absent) puts it back. One that this module made is removed.
options:
  path:
    description: The file. Its folder must exist.
    type: path
    default: /etc/vpp/startup.conf
  settings:
    description:
      - The content, by the names of startup.conf. A setting without a value is V(true), several blocks of one kind
        are an object by their names, a setting that may stand there several times is a list.
      - Required unless O(state=absent).
    type: dict
  state:
    description: Whether the file says what is wanted, or is as it was before this module first changed it.
    type: str
    choices: [present, absent]
    default: present
  check_host:
    description: Whether cores and NICs in O(settings) that this host has not are refused.
    type: bool
    default: true
  strict:
    description: Whether a setting in O(settings) that is not known is refused, with the nearest one that is.
    type: bool
    default: true
  backup:
    description: Whether the old file is kept beside the new one, under its name with date and time.
    type: bool
    default: false
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Give VPP two workers and one NIC
  contivpp_startup_conf:
    settings:
      unix: {nodaemon: true, cli-listen: /run/vpp/cli.sock}
      cpu: {main-core: 1, corelist-workers: 2-3}
      dpdk:
        dev:
          default: {num-rx-queues: 2}
          "0000:00:08.0": {name: uplink}
      plugins:
        plugin:
          default: {disable: true}
          dpdk_plugin.so: {enable: true}

- name: Set what this release does not know yet
  contivpp_startup_conf:
    settings:
      unix: {nodaemon: true}
      new-block: {new-setting: 5}
    strict: false
    backup: true

- name: Put back the file that was there before
  contivpp_startup_conf:
    state: absent
"""

RETURN = """
changes:
  description: Each setting that differs, by its path, with its value before and after; null where it is not there.
  type: dict
  returned: always
  sample: {unix.poll-sleep-usec: {before: null, after: "100"}}
kept:
  description: The paths of settings in the file that nobody asked for and that are not known.
  type: list
  elements: str
  returned: always
backup_file:
  description: Where the old file is.
  type: str
  returned: when there is one
problems:
  description: One sentence per mistake.
  type: list
  elements: str
  returned: failure
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import report, startup_conf_host
from ansible.module_utils.contivpp.host.startup_conf import HEADER, StartupConfError, changes, from_yaml, plan
from ansible.module_utils.contivpp.host.state import Memory
from ansible.module_utils.contivpp.host.system import HostError, System


def read(path):
    """The text of the file; None where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write(module, path, text):
    """Puts the new file into the place of the old one in one step."""
    part = os.path.join(module.tmpdir, "startup.conf")
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
    if not os.path.exists(path):
        os.chmod(part, 0o644)
    module.atomic_move(part, path)


def put_back(module, path, existing, memory):
    """Makes the file what it was before the first change: gone where it was made here, untouched where it was not."""
    before = memory.all().get(path)
    ours = before is not None or (existing or "").startswith("#" + HEADER)
    wanted = before["text"] if before is not None else None if ours else existing
    result = {
        "changed": ours,
        "changes": shown(changes(existing, wanted)),
        "kept": [],
    }
    if module._diff:
        result["diff"] = difference(path, changes(existing, wanted))
    if ours and not module.check_mode:
        if wanted is None:
            if existing is not None:
                os.unlink(path)
        elif wanted != existing:
            write(module, path, wanted)
        memory.forget(path)
    module.exit_json(**result)


def shown(differences):
    return {change.path: {"before": change.before, "after": change.after} for change in differences}


def difference(path, differences):
    return report.difference(
        path,
        {change.path: change.before for change in differences if change.before is not None},
        {change.path: change.after for change in differences if change.after is not None},
    )


def main():
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/vpp/startup.conf"},
            "settings": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "check_host": {"type": "bool", "default": True},
            "strict": {"type": "bool", "default": True},
            "backup": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ("settings",))],
        supports_check_mode=True,
    )
    path = module.params["path"]
    system = System()
    memory = Memory(system, "startup_conf")
    try:
        existing = read(path)
        if module.params["state"] == "absent":
            put_back(module, path, existing, memory)
        wanted = from_yaml(module.params["settings"], strict=module.params["strict"])
        planned = plan(existing, wanted)
        if module.params["check_host"]:
            refused = startup_conf_host.problems(system, wanted)
            if refused:
                raise StartupConfError(refused)
    except HostError as error:
        module.fail_json(msg=str(error), problems=error.problems)
    except StartupConfError as error:
        module.fail_json(msg="%s: %s" % (path, error), problems=error.problems)
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg="%s cannot be read: %s" % (path, error), problems=[str(error)])
    result = {
        "changed": planned.text != existing,
        "changes": shown(planned.changes),
        "kept": list(planned.kept),
    }
    if module._diff:
        result["diff"] = difference(path, planned.changes)
    if result["changed"] and not module.check_mode:
        if not os.path.isdir(os.path.dirname(path)):
            module.fail_json(msg="%s cannot be written: make the folder first" % path, problems=[])
        if module.params["backup"] and existing is not None:
            result["backup_file"] = module.backup_local(path)
        try:
            if existing is not None and not existing.startswith("#" + HEADER):
                memory.remember(path, {"text": existing})
        except HostError as error:
            module.fail_json(msg=str(error), problems=error.problems)
        write(module, path, planned.text)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
