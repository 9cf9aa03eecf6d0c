"""What the server adds to an object, and what it refuses: defaults, validation, addresses of services.

Only what the programs here and kubectl rely on; it is no copy of Kubernetes' validation.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final

from contivpp.playground.apiserver.errors import bad_request, invalid
from contivpp.playground.apiserver.resources import CRD_GROUP, Resource
from contivpp.playground.apiserver.storage import Storage

Object = dict[str, Any]
Problems = list[tuple[str, str]]
DEFAULT_SERVICE_CIDR: Final = "10.96.0.0/12"
NODE_PORTS: Final = range(30000, 32768)
DEFAULT_GRACE: Final = 30
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_LONGEST = 253


class Rules:
    """Defaults and validation; services get their addresses from `service_cidr`."""

    def __init__(self, storage: Storage, service_cidr: str = DEFAULT_SERVICE_CIDR) -> None:
        self._storage = storage
        self.service_network = ipaddress.ip_network(service_cidr)

    def complete(self, resource: Resource, subject: Object, old: Object | None) -> None:
        """Fills in what the client left out of an object that is to replace `old`.

        Raises:
            ApiError: the object breaks a rule.
        """
        problems: Problems = []
        _metadata(subject["metadata"], problems)
        match resource.key:
            case "/pods":
                _pod(subject, old, problems)
            case "/services":
                self._service(subject, old, problems)
            case "/namespaces":
                subject.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"] if old is None else [])
                subject.setdefault("status", {}).setdefault("phase", "Active")
                if not _LABEL.match(subject["metadata"]["name"]):
                    problems.append(("metadata.name", "Invalid value: must be a DNS label (RFC 1123)"))
            case "/nodes":
                subject.setdefault("spec", {})
                subject.setdefault("status", {})
            case "/secrets":
                subject.setdefault("type", "Opaque")
            case "networking.k8s.io/networkpolicies":
                _policy(subject, problems)
            case "discovery.k8s.io/endpointslices":
                _slice(subject, problems)
            case key if key == f"{CRD_GROUP}/customresourcedefinitions":
                _definition(subject, problems)
        if problems:
            raise invalid(resource.group, resource.kind, subject["metadata"]["name"], problems)

    def _service(self, service: Object, old: Object | None, problems: Problems) -> None:
        spec = service.setdefault("spec", {})
        before = (old or {}).get("spec") or {}
        kind = spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        service.setdefault("status", {}).setdefault("loadBalancer", {})
        if kind == "ExternalName":
            if not spec.get("externalName"):
                problems.append(("spec.externalName", "Required value"))
            return
        if not spec.get("ports") and spec.get("clusterIP") != "None":
            problems.append(("spec.ports", "Required value"))
        for number, port in enumerate(spec.get("ports") or ()):
            _service_port(port, f"spec.ports[{number}]", problems, named=len(spec["ports"]) > 1)
        spec.setdefault("internalTrafficPolicy", "Cluster")
        if spec["sessionAffinity"] == "ClientIP":
            spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}).setdefault("timeoutSeconds", 10800)
        family = "IPv6" if self.service_network.version == 6 else "IPv4"
        spec.setdefault("ipFamilies", [family])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if not problems:
            self._cluster_address(spec, before, problems, new=old is None)
        if problems:
            return
        if kind in ("NodePort", "LoadBalancer"):
            spec.setdefault("externalTrafficPolicy", "Cluster")
            self._node_ports(service, before, problems)
        else:
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)

    def _cluster_address(self, spec: Object, before: Object, problems: Problems, *, new: bool) -> None:
        if before.get("clusterIP") and not spec.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if before.get("clusterIP", spec.get("clusterIP")) != spec.get("clusterIP"):
            problems.append(("spec.clusterIP", f"Invalid value: {spec['clusterIP']!r}: field is immutable"))
            return
        if not spec.get("clusterIP"):
            spec["clusterIP"] = self._free_address()
        elif new and spec["clusterIP"] != "None":
            self._check_address(spec["clusterIP"], problems)
        spec["clusterIPs"] = [spec["clusterIP"], *(spec.get("clusterIPs") or [])[1:]]

    def _services(self) -> list[Object]:
        return list(self._storage.all("/services").values())

    def _free_address(self) -> str:
        used = {service["spec"].get("clusterIP") for service in self._services()}
        # The first address is that of the API itself; low ones are left to those who ask for a fixed one.
        first = min(256, self.service_network.num_addresses // 16 or 2)
        size = self.service_network.num_addresses
        for offset in (*range(first, size - 1), *range(2, first)):
            address = str(self.service_network[offset])
            if address not in used:
                return address
        raise bad_request(f"every address of the service network {self.service_network} is in use")

    def _check_address(self, address: str, problems: Problems) -> None:
        try:
            inside = ipaddress.ip_address(address) in self.service_network
        except ValueError:
            inside = False
        if not inside:
            text = f"Invalid value: {address!r}: must be an address of {self.service_network}"
            problems.append(("spec.clusterIPs", text))
        elif any(service["spec"].get("clusterIP") == address for service in self._services()):
            problems.append(("spec.clusterIPs", f"Invalid value: {address!r}: provided IP is already allocated"))

    def _node_ports(self, service: Object, before: Mapping[str, Any], problems: Problems) -> None:
        name = (service["metadata"].get("namespace"), service["metadata"]["name"])
        used = {
            (port["nodePort"], port.get("protocol", "TCP"))
            for other in self._services()
            if (other["metadata"].get("namespace"), other["metadata"]["name"]) != name
            for port in other["spec"].get("ports") or ()
            if port.get("nodePort")
        }
        kept = {(p["port"], p.get("protocol")): p.get("nodePort") for p in before.get("ports") or ()}
        for number, port in enumerate(service["spec"].get("ports") or ()):
            protocol = port["protocol"]
            wanted = port.get("nodePort") or kept.get((port["port"], protocol))
            if wanted is None:
                wanted = next((free for free in NODE_PORTS if (free, protocol) not in used), None)
            field = f"spec.ports[{number}].nodePort"
            if wanted is None or wanted not in NODE_PORTS:
                problems.append((field, f"Invalid value: {wanted}: provided port is not in the range 30000-32767"))
            elif (wanted, protocol) in used:
                problems.append((field, f"Invalid value: {wanted}: provided port is already allocated"))
            else:
                port["nodePort"] = wanted
                used.add((wanted, protocol))


def _metadata(metadata: Object, problems: Problems) -> None:
    name = metadata["name"]
    if len(name) > _LONGEST or not _SUBDOMAIN.match(name):
        problems.append(("metadata.name", f'Invalid value: "{name}": must be a DNS subdomain (RFC 1123)'))
    labels = metadata.get("labels")
    if labels is not None and not isinstance(labels, dict):
        problems.append(("metadata.labels", "must be a map of strings"))
        return
    for key, value in (labels or {}).items():
        if not isinstance(value, str):
            problems.append((f"metadata.labels[{key}]", f"Invalid value: {value!r}: must be a string"))
        elif len(value) > 63 or not _VALUE.match(value):
            problems.append((f"metadata.labels[{key}]", f"Invalid value: {value!r}: no valid label value"))


def _pod(pod: Object, old: Object | None, problems: Problems) -> None:
    spec = pod.get("spec")
    if not isinstance(spec, dict) or not spec.get("containers"):
        problems.append(("spec.containers", "Required value"))
        return
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE)
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("securityContext", {})
    names = set()
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind) or ()):
            field = f"spec.{kind}[{number}]"
            _container(container, field, problems, host_network=spec.get("hostNetwork", False))
            if container.get("name") in names:
                problems.append((f"{field}.name", f'Duplicate value: "{container["name"]}"'))
            names.add(container.get("name"))
    status = pod.setdefault("status", {})
    status.setdefault("phase", "Pending")
    status.setdefault("qosClass", "BestEffort")
    before = ((old or {}).get("spec") or {}).get("nodeName")
    if before and spec.get("nodeName") != before:
        problems.append(("spec.nodeName", "Forbidden: a pod does not move to another node"))


def _container(container: Object, field: str, problems: Problems, *, host_network: bool) -> None:
    if not _LABEL.match(str(container.get("name", ""))):
        problems.append((f"{field}.name", f"Invalid value: {container.get('name')!r}: must be a DNS label"))
    if not container.get("image"):
        problems.append((f"{field}.image", "Required value"))
        return
    container.setdefault("imagePullPolicy", "IfNotPresent")
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for number, port in enumerate(container.get("ports") or ()):
        port.setdefault("protocol", "TCP")
        _port(port, "containerPort", f"{field}.ports[{number}]", problems)
        if host_network:
            port.setdefault("hostPort", port.get("containerPort"))


def _port(port: Object, name: str, field: str, problems: Problems) -> None:
    number = port.get(name)
    if not isinstance(number, int) or not 0 < number < 65536:
        problems.append((f"{field}.{name}", f"Invalid value: {number!r}: must be between 1 and 65535, inclusive"))
    if port.get("protocol") not in _PROTOCOLS:
        problems.append((f"{field}.protocol", f"Unsupported value: {port.get('protocol')!r}"))


def _service_port(port: Object, field: str, problems: Problems, *, named: bool) -> None:
    port.setdefault("protocol", "TCP")
    _port(port, "port", field, problems)
    if named and not port.get("name"):
        problems.append((f"{field}.name", "Required value"))
    if port.get("targetPort") in (None, "", 0) and isinstance(port.get("port"), int):
        port["targetPort"] = port["port"]


def _policy(policy: Object, problems: Problems) -> None:
    spec = policy.setdefault("spec", {})
    if "podSelector" not in spec:
        spec["podSelector"] = {}
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for direction in ("ingress", "egress"):
        for number, rule in enumerate(spec.get(direction) or ()):
            for place, port in enumerate(rule.get("ports") or ()):
                port.setdefault("protocol", "TCP")
                if port["protocol"] not in _PROTOCOLS:
                    field = f"spec.{direction}[{number}].ports[{place}].protocol"
                    problems.append((field, f"Unsupported value: {port['protocol']!r}"))
            for peer in (*(rule.get("from") or ()), *(rule.get("to") or ())):
                block = peer.get("ipBlock")
                for cidr in (block.get("cidr"), *(block.get("except") or ())) if block else ():
                    if not _is_network(cidr):
                        field = f"spec.{direction}[{number}].ipBlock"
                        problems.append((field, f"Invalid value: {cidr!r}: not a valid CIDR"))


def _is_network(text: Any) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in str(text)


def _slice(subject: Object, problems: Problems) -> None:
    if subject.get("addressType") not in ("IPv4", "IPv6", "FQDN"):
        problems.append(("addressType", f"Unsupported value: {subject.get('addressType')!r}"))
    for port in subject.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _definition(subject: Object, problems: Problems) -> None:
    spec = subject.get("spec") or {}
    names = spec.get("names") or {}
    for field, value in (
        ("spec.group", spec.get("group")),
        ("spec.names.plural", names.get("plural")),
        ("spec.names.kind", names.get("kind")),
        ("spec.versions", spec.get("versions")),
    ):
        if not value:
            problems.append((field, "Required value"))
    if problems:
        return
    if subject["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
        problems.append(("metadata.name", "Invalid value: must be spec.names.plural+'.'+spec.group"))
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    accepted = [
        {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": _created(subject)}
        for kind, reason in (("NamesAccepted", "NoConflicts"), ("Established", "InitialNamesAccepted"))
    ]
    subject["status"] = {
        "conditions": accepted,
        "acceptedNames": names,
        "storedVersions": [v["name"] for v in spec["versions"] if v.get("storage")],
    }


def _created(subject: Object) -> str:
    return str(subject["metadata"]["creationTimestamp"])
