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
digest:
  description: SHA-256 of the archive.
  type: str
  returned: always
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile

from ansible.module_utils.basic import AnsibleModule


def digest_of(source, extras, *, code):
    """A digest of what the wheels are made from: of all, or of what decides which others are needed."""
    digest = hashlib.sha256(" ".join(sorted(extras)).encode())
    files = [os.path.join(source, name) for name in ("pyproject.toml", "constraints.txt")]
    if code:
        files.append(os.path.join(source, "README.md"))
        for folder, folders, names in os.walk(os.path.join(source, "contivpp")):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            files += [os.path.join(folder, name) for name in sorted(names)]
    for path in files:
        digest.update(os.path.relpath(path, source).encode())
        with open(path, "rb") as content:
            digest.update(content.read())
    return digest.hexdigest()


def digest_of_file(path):
    """The SHA-256 of a file; "" where there is none."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as content:
            for part in iter(lambda: content.read(1 << 20), b""):
                digest.update(part)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def reproducible(info):
    """The same files give the same archive."""
    info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "root", "root"
    return info


def gather(module, dest, known):
    """Builds and fetches into `dest`; from the folder `known`, where there is one, all but the project itself."""
    source, extras = module.params["source"], module.params["extras"]
    os.makedirs(dest)
    for name in os.listdir(known) if known else ():
        if not name.startswith("contivpp-"):
            shutil.copy2(os.path.join(known, name), dest)
    command = [module.params["python"], "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--wheel-dir", dest, "--constraint", os.path.join(source, "constraints.txt")]
    command += ["--no-deps", source] if known else ["%s[%s]" % (source, ",".join(sorted(extras)))]
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
    extras = module.params["extras"]
    stamp = {"all": digest_of(source, extras, code=True), "others": digest_of(source, extras, code=False)}
    archive = dest + ".tar"
    os.makedirs(os.path.dirname(dest), exist_ok=True)
    with open(dest + ".lock", "w") as lock:
        # A run that was interrupted may still be gathering.
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = stamp_of(dest) if os.path.exists(archive) else {}
        changed = before.get("all") != stamp["all"]
        if changed and not module.check_mode:
            pack(module, stamp, known=dest if before.get("others") == stamp["others"] and os.path.isdir(dest) else "")
    module.exit_json(changed=changed, archive=archive, digest=digest_of_file(archive))


def stamp_of(dest):
    """What the archive was made from."""
    try:
        with open(dest + ".digest") as content:
            return dict(json.load(content))
    except (OSError, ValueError, TypeError):
        return {}


def pack(module, stamp, known):
    """Gathers into a fresh folder, packs it, and puts both into their places."""
    dest = module.params["dest"]
    fresh, archive = dest + ".new", dest + ".tar"
    shutil.rmtree(fresh, ignore_errors=True)
    gather(module, fresh, known)
    with tarfile.open(archive + ".new", "w") as tar:
        for name in sorted(os.listdir(fresh)):
            tar.add(os.path.join(fresh, name), arcname=name, filter=reproducible)
    if os.path.exists(dest + ".digest"):
        os.unlink(dest + ".digest")  # from here on the three do not belong together until the last is written
    shutil.rmtree(dest, ignore_errors=True)
    os.rename(fresh, dest)
    os.rename(archive + ".new", archive)
    with open(dest + ".digest", "w") as content:
        json.dump(stamp, content)


if __name__ == "__main__":
    main()
