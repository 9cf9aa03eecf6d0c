#!/usr/bin/python
"""Ansible module: the Debian packages in a folder of the controller."""

DOCUMENTATION = """
---
module: contivpp_deb_folder
short_description: Says which Debian packages are in a folder
description:
  - Runs on the controller and changes nothing.
options:
  folder:
    description: The folder with the C(.deb) files.
    type: path
    required: true
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Look at the packages
  contivpp_deb_folder:
    folder: /srv/vpp
  delegate_to: localhost
"""

RETURN = """
packages:
  description: Versions by package.
  type: dict
  returned: success
files:
  description: Paths of the files, sorted.
  type: list
  elements: str
  returned: success
digest:
  description: Of their names and contents.
  type: str
  returned: success
"""

import hashlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import debian
from ansible.module_utils.contivpp.host.managed_files import digest


def main():
    module = AnsibleModule(argument_spec={"folder": {"type": "path", "required": True}}, supports_check_mode=True)
    folder = module.params["folder"]
    try:
        packages, files = debian.in_folder(folder)
    except (debian.PackagesError, OSError) as error:
        module.fail_json(msg="the packages in %s cannot be read: %s" % (folder, error))
    if not files:
        module.fail_json(msg="there are no packages in %s: name the folder that holds them" % folder)
    paths = sorted(files.values())
    said = "".join("%s %s\n" % (os.path.basename(path), digest(path)) for path in paths)
    module.exit_json(changed=False, packages=packages, files=paths, digest=hashlib.sha256(said.encode()).hexdigest())


if __name__ == "__main__":
    main()
