#!/usr/bin/python
"""Ansible module: gathers the project and what it needs as wheels, once per state of the checkout."""

DOCUMENTATION = """
---
module: contivpp_wheelhouse
short_description: Gathers the project and all that it needs as wheels
description:
  - Runs on the controller. Builds a wheel of the checkout and fetches those that it needs, as pinned in
    C(constraints.txt), into one archive. Does nothing when the checkout has not changed since.
options:
  source:
    description: The checkout.
    type: path
    required: true
  dest:
    description: Folder for the wheels; the archive is beside it.
    type: path
    required: true
  extras:
    description: Extras of the project to gather.
    type: list
    elements: str
    default: []
  python:
    description: The Python that fetches; its version must be the nodes'.
    type: path
    required: true
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Gather the packages on the controller
  contivpp_wheelhouse:
    source: "{{ playbook_dir }}/.."
    dest: "{{ playbook_dir }}/../.playground/wheelhouse"
    extras: [agent, ksr, netctl]
    python: "{{ ansible_playbook_python }}"
  delegate_to: localhost
"""

RETURN = """
archive:
  description: The archive that holds all wheels.
  type: str
  returned: always
"""

import hashlib
import os
import shutil
import subprocess
import tarfile

from ansible.module_utils.basic import AnsibleModule


def digest_of(source, extras):
    """A digest of everything that the wheels are made from."""
    digest = hashlib.sha256(" ".join(sorted(extras)).encode())
    files = [os.path.join(source, name) for name in ("pyproject.toml", "constraints.txt", "README.md")]
    for folder, folders, names in os.walk(os.path.join(source, "contivpp")):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        files += [os.path.join(folder, name) for name in sorted(names)]
    for path in files:
        digest.update(os.path.relpath(path, source).encode())
        with open(path, "rb") as content:
            digest.update(content.read())
    return digest.hexdigest()


def reproducible(info):
    """The same files give the same archive."""
    info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "root", "root"
    return info


def gather(module, source, dest, extras, python):
    """Builds and fetches into `dest`; packages that are there already are not fetched again."""
    os.makedirs(dest, exist_ok=True)
    for name in os.listdir(dest):
        if name.startswith("contivpp-"):
            os.unlink(os.path.join(dest, name))
    wanted = "%s[%s]" % (source, ",".join(sorted(extras)))
    command = [python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--wheel-dir", dest]
    command += ["--constraint", os.path.join(source, "constraints.txt"), wanted]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        module.fail_json(msg="pip could not gather the packages: %s" % done.stdout.decode(errors="replace")[-2000:])


def main():
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "extras": {"type": "list", "elements": "str", "default": []},
            "python": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    source, dest = module.params["source"], module.params["dest"]
    digest = digest_of(source, module.params["extras"])
    archive = dest + ".tar"
    stamp = dest + ".digest"
    known = ""
    if os.path.exists(stamp) and os.path.exists(archive):
        with open(stamp) as content:
            known = content.read()
    if known == digest or module.check_mode:
        module.exit_json(changed=known != digest, archive=archive)
    fresh = dest + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    gather(module, source, fresh, module.params["extras"], module.params["python"])
    with tarfile.open(archive + ".new", "w") as tar:
        for name in sorted(os.listdir(fresh)):
            tar.add(os.path.join(fresh, name), arcname=name, filter=reproducible)
    shutil.rmtree(dest, ignore_errors=True)
    os.rename(fresh, dest)
    os.rename(archive + ".new", archive)
    with open(stamp, "w") as content:
        content.write(digest)
    module.exit_json(changed=True, archive=archive)


if __name__ == "__main__":
    main()
