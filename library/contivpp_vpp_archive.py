#!/usr/bin/python
"""Ansible module: an installed VPP as an archive, with what a node needs of it."""

DOCUMENTATION = """
---
module: contivpp_vpp_archive
short_description: Packs an installed VPP, with what a node needs of it
description:
  - Runs on the controller. Takes the programs and the libraries of a prefix, without headers, static libraries,
    test plugins and Python packages. The same files give the same archive, and nothing is packed when none changed.
options:
  prefix:
    description: Where VPP is installed, such as C(/usr/local); C(bin/vpp) must be in it.
    type: path
    required: true
  dest:
    description: The archive. What it was made from is kept beside it.
    type: path
    required: true
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Pack VPP
  contivpp_vpp_archive:
    prefix: /usr/local
    dest: "{{ playbook_dir }}/vpp.tar.gz"
  delegate_to: localhost
"""

RETURN = """
archive:
  description: Path of the archive.
  type: str
  returned: success
digest:
  description: Of all files in it, by name and content.
  type: str
  returned: success
libraries:
  description: Folders of shared libraries in it, relative to its root.
  type: list
  elements: str
  returned: success
needs:
  description: Shared libraries that it needs and does not bring.
  type: list
  elements: str
  returned: success
"""

import gzip
import hashlib
import json
import os
import re
import subprocess
import tarfile

from ansible.module_utils.basic import AnsibleModule

PROGRAMS = ("vpp", "vppctl", "vpp_get_metrics", "vpp_get_stats")
LIBRARY = re.compile(r".+\.so(\.[0-9.]+)?")
NOT_FOR_NODES = ("cmake", "vat2_plugins", "vpp_api_test_plugins")
NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[(.+)\]")
FORMAT = 1
"""Counted up when other files are taken, or they are packed otherwise."""


def files_of(prefix):
    """What a node needs, by paths relative to the prefix."""
    found = [os.path.join("bin", name) for name in PROGRAMS if os.path.exists(os.path.join(prefix, "bin", name))]
    for top in sorted(os.listdir(prefix)):
        if not top.startswith("lib"):
            continue
        for folder, folders, names in os.walk(os.path.join(prefix, top)):
            folders[:] = sorted(name for name in folders if name not in NOT_FOR_NODES and not name.startswith("python"))
            relative = os.path.relpath(folder, prefix)
            found += [os.path.join(relative, name) for name in sorted(names) if LIBRARY.fullmatch(name)]
    return found


def stamp_of(prefix, files):
    """What tells a changed file without reading it."""
    said = [FORMAT, os.path.realpath(prefix)]
    for name in files:
        status = os.lstat(os.path.join(prefix, name))
        said.append([name, status.st_size, status.st_mtime_ns])
    return said


def digest_of(prefix, files):
    """A digest of names and contents."""
    digest = hashlib.sha256(str(FORMAT).encode())
    for name in files:
        path = os.path.join(prefix, name)
        digest.update(b"\0" + name.encode() + b"\0")
        if os.path.islink(path):
            digest.update(os.readlink(path).encode())
            continue
        with open(path, "rb") as content:
            for part in iter(lambda: content.read(1 << 20), b""):
                digest.update(part)
    return digest.hexdigest()


def needs_of(prefix, files):
    """Names of the libraries that the files need and that are none of them."""
    there = {os.path.basename(name) for name in files}
    regular = [os.path.join(prefix, name) for name in files if not os.path.islink(os.path.join(prefix, name))]
    try:
        done = subprocess.run(
            ["readelf", "--dynamic", *regular],  # noqa: S607
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,  # what is no ELF file has no libraries
        )
    except OSError:
        return []
    return sorted(set(NEEDED.findall(done.stdout.decode(errors="replace"))) - there)


def reproducible(info):
    """The same files give the same archive, whoever installed them and when."""
    info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "root", "root"
    return info


def pack(prefix, files, archive):
    """Writes the archive beside its place, and renames it when it is whole."""
    with open(archive + ".new", "wb") as raw, gzip.GzipFile("", "wb", 1, raw, 0) as packed, tarfile.open(
        fileobj=packed, mode="w"
    ) as tar:
        for name in files:
            tar.add(os.path.join(prefix, name), arcname=name, filter=reproducible)
    os.rename(archive + ".new", archive)


def known(path):
    """What was packed last; nothing where that cannot be read."""
    try:
        with open(path) as content:
            return dict(json.load(content))
    except (OSError, ValueError):
        return {}


def main():
    module = AnsibleModule(
        argument_spec={
            "prefix": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    prefix, archive = module.params["prefix"], module.params["dest"]
    if not os.access(os.path.join(prefix, "bin", "vpp"), os.X_OK):
        module.fail_json(
            msg="there is no VPP in %s: bin/vpp is missing; name the prefix that it is installed in" % prefix
        )
    files = files_of(prefix)
    stamp = stamp_of(prefix, files)
    record = archive + ".json"
    before = known(record)
    result = {
        "archive": archive,
        "libraries": sorted({os.path.dirname(name) for name in files if os.path.basename(name).startswith("libv")}),
    }
    if before.get("stamp") == stamp and os.path.exists(archive):
        module.exit_json(changed=False, digest=before["digest"], needs=before["needs"], **result)
    digest, needs = digest_of(prefix, files), needs_of(prefix, files)
    changed = before.get("digest") != digest or not os.path.exists(archive)
    if not module.check_mode:
        try:
            os.makedirs(os.path.dirname(archive), exist_ok=True)
            if changed:
                pack(prefix, files, archive)
            with open(record, "w") as content:
                json.dump({"stamp": stamp, "digest": digest, "needs": needs}, content)
        except OSError as error:
            module.fail_json(msg="VPP cannot be packed into %s: %s" % (archive, error))
    module.exit_json(changed=changed, digest=digest, needs=needs, **result)


if __name__ == "__main__":
    main()
