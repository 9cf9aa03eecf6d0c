#!/usr/bin/python
"""Ansible module: installs the project from an archive of wheels into a virtual environment."""

DOCUMENTATION = """
---
module: contivpp_package
short_description: Installs the project from an archive of wheels
description:
  - Makes a virtual environment on the node and installs everything from the archive, without any network.
  - The old environment is replaced in one step when the new one is complete. Does nothing when the archive is
    the one that was installed last.
options:
  archive:
    description: The archive, on the node.
    type: path
    required: true
  prefix:
    description: Where C(venv) is made.
    type: path
    required: true
  extras:
    description: Extras of the project to install.
    type: list
    elements: str
    default: []
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Install the project
  contivpp_package:
    archive: /opt/contivpp/wheelhouse.tar
    prefix: /opt/contivpp
    extras: [agent]
"""

RETURN = """
digest:
  description: The digest of what is installed.
  type: str
  returned: always
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule


def read(path):
    """The text of a file, "" when there is none."""
    try:
        with open(path) as content:
            return content.read()
    except OSError:
        return ""


def run(module, command):
    """Runs a command that has to work."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        module.fail_json(msg="%s: %s" % (command[:4], done.stdout.decode(errors="replace")[-2000:]))


def install(module, archive, prefix, digest, extras):
    """Fills a fresh environment, and puts it where the old one was."""
    venv, old = os.path.join(prefix, "venv"), os.path.join(prefix, "venv.old")
    shutil.rmtree(old, ignore_errors=True)
    if os.path.isdir(venv):
        os.rename(venv, old)
    try:
        with tempfile.TemporaryDirectory() as wheels:
            with tarfile.open(archive) as tar:
                tar.extractall(wheels)  # noqa: S202 - made by the controller
            run(module, [sys.executable, "-m", "venv", venv])
            pip = [os.path.join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-index"]
            pip += ["--disable-pip-version-check", "--find-links", wheels]
            run(module, [*pip, "contivpp[%s]" % ",".join(sorted(extras))])
        with open(os.path.join(venv, ".digest"), "w") as content:
            content.write(digest)
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        if os.path.isdir(old):
            os.rename(old, venv)
        raise
    shutil.rmtree(old, ignore_errors=True)


def main():
    module = AnsibleModule(
        argument_spec={
            "archive": {"type": "path", "required": True},
            "prefix": {"type": "path", "required": True},
            "extras": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    archive, prefix, extras = module.params["archive"], module.params["prefix"], module.params["extras"]
    if not os.path.exists(archive):
        if module.check_mode:
            module.exit_json(changed=True, digest="")
        module.fail_json(msg="%s does not exist: copy the wheels there first" % archive)
    digest = hashlib.sha256(" ".join(sorted(extras)).encode())
    with open(archive, "rb") as content:
        for part in iter(lambda: content.read(1 << 20), b""):
            digest.update(part)
    wanted = digest.hexdigest()
    changed = read(os.path.join(prefix, "venv", ".digest")) != wanted
    if changed and not module.check_mode:
        install(module, archive, prefix, wanted, extras)
    module.exit_json(changed=changed, digest=wanted)


if __name__ == "__main__":
    main()
