#!/usr/bin/python
"""Ansible module: the authority of a network and the certificates of a host, kept on the controller."""

DOCUMENTATION = """
---
module: contivpp_pki
short_description: Makes an authority and the certificates of a host, on the controller
description:
  - Makes what is missing or does not fit, and leaves the rest as it is. A certificate fits when the authority has
    signed it for the key, name, names and use that are wanted, and it is valid for another month.
  - In check mode nothing is written; what would be made is returned all the same.
options:
  folder:
    description: Where the authority is, and a folder per host with its certificates; nobody else may read it.
    type: path
    required: true
  authority:
    description: The authority's common name.
    type: str
    required: true
  host:
    description: Whose certificates these are.
    type: str
    required: true
  certificates:
    description: The certificates.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of its files.
        type: str
        required: true
      common_name:
        description: Whom it names.
        type: str
        required: true
      usage:
        description: What it is for.
        type: list
        elements: str
        choices: [serverAuth, clientAuth]
        required: true
      names:
        description: Further names and addresses, as C(DNS:name) and C(IP:address).
        type: list
        elements: str
        default: []
      owner:
        description: Who reads the key on the node.
        type: str
        default: root
  destination:
    description: Where the node gets them.
    type: path
    default: /etc/contiv/pki
  days:
    description: How long what is made is valid.
    type: int
    default: 3650
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Make the agent's certificate
  contivpp_pki:
    folder: .pki/yours
    authority: Contiv-VPP yours
    host: worker1
    certificates:
      - {name: agent, common_name: contiv-agent worker1, usage: [clientAuth]}
  delegate_to: localhost
  no_log: true
"""

RETURN = """
made:
  description: What was missing or did not fit.
  type: list
  elements: str
  returned: success
files:
  description: Every file that the host gets, C(ca.crt) included, as C(contivpp_files) takes them.
  type: list
  elements: dict
  returned: success
"""

import datetime
import fcntl
import ipaddress
import os

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

CERTIFICATE = {
    "name": {"type": "str", "required": True},
    "common_name": {"type": "str", "required": True},
    "usage": {"type": "list", "elements": "str", "choices": ["serverAuth", "clientAuth"], "required": True},
    "names": {"type": "list", "elements": "str", "default": []},
    "owner": {"type": "str", "default": "root"},
}
RENEWED_BEFORE = datetime.timedelta(days=30)


class Folder:
    """The files of an authority; `write` is false in check mode, where all is made and nothing kept."""

    def __init__(self, path, write):
        self.path, self.write, self.made = path, write, []

    def load(self, name, read):
        """What a file holds; None where there is none, or none that can be used."""
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                return read(file.read())
        except (FileNotFoundError, ValueError):
            return None

    def save(self, name, content, mode):
        """Keeps a file, which is whole or not there."""
        self.made.append(name)
        if not self.write:
            return
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)

    def key(self, name):
        """The key of that name, made where there is none."""
        key = self.load(name, read_key)
        if key is None:
            key = ec.generate_private_key(ec.SECP256R1())
            self.save(name, pem_of_key(key), 0o400)
        return key

    def certificate(self, name, fits, make):
        """The certificate of that name, made where there is none that fits."""
        found = self.load(name, x509.load_pem_x509_certificate)
        if found is None or not fits(found):
            found = make()
            self.save(name, text_of(found).encode(), 0o644)
        return found


def read_key(text):
    """A key from what its file holds."""
    return serialization.load_pem_private_key(text, None)


def pem_of_key(key):
    """A key as its file holds it."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def text_of(certificate):
    """A certificate as its file holds it."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def now():
    """The present time, with its zone."""
    return datetime.datetime.now(datetime.timezone.utc)


def name_of(common_name):
    """A name of an authority or of a program."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def same_key(one, other):
    """Whether two public keys are the same."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return one.public_bytes(serialization.Encoding.DER, form) == other.public_bytes(serialization.Encoding.DER, form)


def begin(key, subject, issuer, days):
    """A certificate to be: for whom, from whom, and how long; an hour back, for clocks that are behind."""
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now() - datetime.timedelta(hours=1))
    return builder.not_valid_after(now() + datetime.timedelta(days=days))


def authority_of(folder, common_name, days):
    """The authority's key and certificate; raises ValueError where its key is there and cannot be used."""
    if os.path.exists(os.path.join(folder.path, "ca.key")) and folder.load("ca.key", read_key) is None:
        raise ValueError("ca.key is damaged: bring it back, or remove it, and every host needs new certificates")
    key = folder.key("ca.key")
    name = name_of(common_name)

    def make():
        signs = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "encipher_only", "decipher_only"), False)  # fmt: skip
        usage = x509.KeyUsage(key_cert_sign=True, crl_sign=True, **signs)
        builder = begin(key, name, name, days).add_extension(x509.BasicConstraints(True, None), critical=True)
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())

    # Another name is no reason to distrust what it has signed.
    return key, folder.certificate("ca.crt", lambda found: same_key(found.public_key(), key.public_key()), make)


def certificate_of(folder, authority, host, wanted, days):
    """The key and the certificate of one program of a host."""
    ca_key, ca = authority
    key = folder.key("%s/%s.key" % (host, wanted["name"]))
    names = [general_name(text) for text in wanted["names"]]
    usage = [getattr(ExtendedKeyUsageOID, {"serverAuth": "SERVER_AUTH", "clientAuth": "CLIENT_AUTH"}[use])
             for use in wanted["usage"]]  # fmt: skip

    def fits(found):
        try:
            found.verify_directly_issued_by(ca)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return (
            same_key(found.public_key(), key.public_key())
            and found.subject == name_of(wanted["common_name"])
            and set(value_of(found, x509.ExtendedKeyUsage)) == set(usage)
            and set(value_of(found, x509.SubjectAlternativeName)) == set(names)
            and found.not_valid_after_utc - now() > RENEWED_BEFORE
        )

    def make():
        builder = begin(key, name_of(wanted["common_name"]), ca.subject, days)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    return key, folder.certificate("%s/%s.crt" % (host, wanted["name"]), fits, make)


def general_name(text):
    """A name or address of a certificate."""
    kind, _, value = text.partition(":")
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    if kind == "DNS":
        return x509.DNSName(value)
    raise ValueError("%r is no name: write DNS:name or IP:address" % text)


def value_of(certificate, extension):
    """What an extension says; nothing where there is none."""
    try:
        return list(certificate.extensions.get_extension_for_class(extension).value)
    except x509.ExtensionNotFound:
        return []


def main():
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "authority": {"type": "str", "required": True},
            "host": {"type": "str", "required": True},
            "certificates": {"type": "list", "elements": "dict", "required": True, "options": CERTIFICATE},
            "destination": {"type": "path", "default": "/etc/contiv/pki"},
            "days": {"type": "int", "default": 3650},
        },
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography", reason="to make certificates; run make venv"))
    folder = Folder(module.params["folder"], write=not module.check_mode)
    lock = None
    try:
        if folder.write:
            os.makedirs(folder.path, mode=0o700, exist_ok=True)
            os.chmod(folder.path, 0o700)
            # Hosts come here at the same time, and the authority is made once.
            lock = os.open(os.path.join(folder.path, ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        authority = authority_of(folder, module.params["authority"], module.params["days"])
        files = [{"name": "ca.crt", "content": text_of(authority[1])}]
        for wanted in module.params["certificates"]:
            key, made = certificate_of(folder, authority, module.params["host"], wanted, module.params["days"])
            secret = {"owner": wanted["owner"], "mode": "0400", "secret": True}
            files.append({"name": wanted["name"] + ".crt", "content": text_of(made)})
            files.append({"name": wanted["name"] + ".key", "content": pem_of_key(key).decode(), **secret})
    except (OSError, ValueError) as error:
        module.fail_json(msg="certificates cannot be made in %s: %s" % (folder.path, error))
    finally:
        if lock is not None:
            os.close(lock)
    for file in files:
        file["path"] = os.path.join(module.params["destination"], file.pop("name"))
    module.exit_json(changed=bool(folder.made), made=folder.made, files=files)


if __name__ == "__main__":
    main()
