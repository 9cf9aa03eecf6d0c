#!/usr/bin/python
"""Ansible module: installs the project from an archive of wheels into a virtual environment."""

DOCUMENTATION = """
---
module: contivpp_package
short_description: Installs the project from an archive of wheels
description:
  - Makes a virtual environment on the node and installs everything from the archive, without any network.
  - Every state of the archive has a folder of its own, named by its digest, and C(venv) is a link to the one in
    use. The link moves in one step when the new environment is complete, so whatever interrupts this, C(venv)
    works. The environment before it stays for the programs that still run from it; older ones go.
  - Does nothing when the archive is the one that was installed last.
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
  digest:
    description: SHA-256 of the archive. With it check mode knows what would be installed before the archive is there.
    type: str
    default: ""
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
  description: The digest of what is installed; empty in check mode when the archive is not there yet.
  type: str
  returned: always
venv:
  description: The folder that C(venv) leads to.
  type: str
  returned: always
changes:
  description: What others use and that has changed, C(venv) or nothing.
  type: list
  elements: str
  returned: success
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule

COMPLETE = ".complete"


class InstallError(Exception):
    """A command that has to work did not; the text is the end of what it said."""


def run(command):
    """Runs a command that has to work."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise InstallError("%s: %s" % (" ".join(command[:4]), done.stdout.decode(errors="replace")[-2000:]))


def digest_of(archive, extras, known=""):
    """A digest of all that decides what the environment holds; `known` is the archive's own, where it is not read."""
    content = hashlib.sha256()
    if not known:
        with open(archive, "rb") as file:
            for part in iter(lambda: file.read(1 << 20), b""):
                content.update(part)
    said = "%s %s %s" % (" ".join(sorted(extras)), sys.version, known or content.hexdigest())
    return hashlib.sha256(said.encode()).hexdigest()


def installed(prefix):
    """The name of the folder that `venv` leads to, or "" when it leads to nothing complete."""
    venv = os.path.join(prefix, "venv")
    if not (os.path.islink(venv) and os.path.exists(os.path.join(venv, COMPLETE))):
        return ""
    return os.path.basename(os.readlink(venv))


def build(archive, venv, extras):
    """Fills a fresh environment; it counts when the last file is in it."""
    shutil.rmtree(venv, ignore_errors=True)
    with tempfile.TemporaryDirectory() as wheels:
        with tarfile.open(archive) as tar:
            tar.extractall(wheels)  # noqa: S202 - made by the controller
        run([sys.executable, "-m", "venv", venv])
        pip = [os.path.join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-index"]
        pip += ["--disable-pip-version-check", "--find-links", wheels]
        run([*pip, "contivpp[%s]" % ",".join(sorted(extras))])
    with open(os.path.join(venv, COMPLETE), "w"):
        pass


def switch(prefix, name):
    """Leads `venv` to another environment, and removes those that nobody can run from any more."""
    venv, link = os.path.join(prefix, "venv"), os.path.join(prefix, "venv.new")
    before = os.path.basename(os.path.realpath(venv))
    if os.path.isdir(venv) and not os.path.islink(venv):
        before = "venv-before"
        shutil.rmtree(os.path.join(prefix, before), ignore_errors=True)
        os.rename(venv, os.path.join(prefix, before))
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(name, link)
    os.rename(link, venv)
    for other in os.listdir(prefix):
        if other.startswith("venv-") and other not in (name, before):
            shutil.rmtree(os.path.join(prefix, other), ignore_errors=True)


def main():
    module = AnsibleModule(
        argument_spec={
            "archive": {"type": "path", "required": True},
            "prefix": {"type": "path", "required": True},
            "extras": {"type": "list", "elements": "str", "default": []},
            "digest": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    archive, prefix, extras = module.params["archive"], module.params["prefix"], module.params["extras"]
    venv = os.path.join(prefix, "venv")
    known = module.params["digest"] if module.check_mode else ""
    if not os.path.exists(archive) and not known:
        if module.check_mode:
            module.exit_json(changed=True, digest="", venv="", changes=[venv])
        module.fail_json(msg="%s does not exist: copy the wheels there first" % archive)
    digest = digest_of(archive, extras, known)
    name = "venv-" + digest[:16]
    before = installed(prefix)
    if before != name and not module.check_mode:
        try:
            with open(os.path.join(prefix, ".lock"), "w") as lock:
                # A run that was interrupted may still be at it.
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not os.path.exists(os.path.join(prefix, name, COMPLETE)):
                    build(archive, os.path.join(prefix, name), extras)
                switch(prefix, name)
        except (InstallError, OSError, tarfile.TarError) as error:
            if not os.path.exists(os.path.join(prefix, name, COMPLETE)):
                shutil.rmtree(os.path.join(prefix, name), ignore_errors=True)
            module.fail_json(msg="%s cannot be installed, what was there stays: %s" % (archive, error))
    result = {"digest": digest, "venv": os.path.join(prefix, name), "changes": [venv] if before != name else []}
    if module._diff:
        headers = {"before_header": venv, "after_header": venv}
        result["diff"] = {"before": before + "\n", "after": name + "\n", **headers}
    module.exit_json(changed=before != name, **result)


if __name__ == "__main__":
    main()
