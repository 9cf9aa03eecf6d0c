#!/usr/bin/python
"""Ansible module: Debian packages that a node needs, and what was there before them."""

DOCUMENTATION = """
---
module: contivpp_packages
short_description: Brings Debian packages, and takes them back
description:
  - Installs what is missing or has another version, from apt or from a folder of C(.deb) files on the node. Does not
    ask apt for anything when all is there.
  - What was there before is noted first, in C(/var/lib/contiv-packages). O(state=absent) removes what came since.
  - Services that the packages bring are masked before they are installed, unless the packages were there already.
options:
  note:
    description: Under which name what was there before is noted.
    type: str
    required: true
  names:
    description: Packages from apt, as C(name) or C(name=version).
    type: list
    elements: str
    default: []
  folder:
    description: A folder on the node with C(.deb) files; all of them are installed, at once.
    type: path
  libraries:
    description: Instead of looking at versions, see whether all these shared libraries can be found.
    type: list
    elements: str
    default: []
  services:
    description: Services that come with the packages and are never to start.
    type: list
    elements: str
    default: []
  expected:
    description: With O(folder) in check mode, versions by package of what will be in it; it may not be there yet.
    type: dict
    default: {}
  state:
    description: Whether they are to be there, or what came since is to go.
    type: str
    choices: [present, absent]
    default: present
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Install etcd
  contivpp_packages:
    note: etcd
    names: [etcd-server, etcd-client]
    services: [etcd]

- name: Install FD.io's packages
  contivpp_packages:
    note: vpp
    folder: /opt/contiv-vpp/packages
    services: [vpp]

- name: Remove what came with them
  contivpp_packages:
    note: vpp
    state: absent
"""

RETURN = """
before:
  description: Versions of what was replaced, by package.
  type: dict
  returned: always
after:
  description: Versions of what was installed, by package; none for what was removed.
  type: dict
  returned: always
"""

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import debian


def missing(libraries):
    """The shared libraries that the loader does not find."""
    if not libraries:
        return []
    done = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, check=True)
    known = {line.split()[0] for line in done.stdout.decode().splitlines() if line.startswith("\t")}
    return [name for name in libraries if name not in known]


def wanted_of(params):
    """Versions and files of what is wanted."""
    folder = params["folder"]
    if not folder:
        return {name.partition("=")[0]: name.partition("=")[2] for name in params["names"]}, {}
    if params["expected"]:
        return dict(params["expected"]), {}
    if not os.path.isdir(folder):
        raise debian.PackagesError("there is no folder %s: copy the packages there first" % folder)
    versions, files = debian.in_folder(folder)
    if not versions:
        raise debian.PackagesError("there are no packages in %s" % folder)
    return versions, files


def main():
    module = AnsibleModule(
        argument_spec={
            "note": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "default": []},
            "folder": {"type": "path"},
            "libraries": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "list", "elements": "str", "default": []},
            "expected": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        mutually_exclusive=[["names", "folder"]],
        supports_check_mode=True,
    )
    params = module.params
    if params["expected"] and not module.check_mode:
        params["expected"] = {}
    planned = debian.Plan((), {}, {})
    try:
        if params["state"] == "absent":
            noted = debian.note_of(params["note"])
            before = debian.read(sorted(noted.get("before", {})))
            gone = debian.removable(noted, before)
            planned = debian.Plan((), {name: before[name] for name in gone}, {})
            changed = bool(noted)
            if changed and not module.check_mode:
                debian.remove(params["note"])
        else:
            versions, files = wanted_of(params)
            planned = debian.plan(versions, files, debian.read(sorted(versions)))
            if params["libraries"] and not missing(params["libraries"]):
                planned = debian.Plan((), {}, {})
            changed = bool(planned.after)
            if changed and not module.check_mode:
                debian.install(params["note"], planned, params["services"], from_files=bool(files))
    except (debian.PackagesError, OSError, subprocess.CalledProcessError) as error:
        # Whoever takes a change back has to know what there was, also where it was cut off.
        module.fail_json(msg=str(error), before=planned.before, after=planned.after)
    result = {"changed": changed, "before": planned.before, "after": planned.after}
    if module._diff:
        result["diff"] = {
            "before_header": "packages",
            "after_header": "packages",
            "before": dict(planned.before),
            "after": dict(planned.after),
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
