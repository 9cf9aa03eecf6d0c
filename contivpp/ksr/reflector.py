"""What etcd should hold of one kind: every object of Kubernetes as a record, by its key.

An object that cannot be understood keeps its last good record: nothing on the nodes changes because of it. When
this instance never saw a good one, etcd may hold one from an earlier run: such a key is held, as etcd has it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from contivpp.ksr import admin, convert, endpoints, metrics
from contivpp.ksr import objects as k8s
from contivpp.ksr.convert import ConversionError
from contivpp.ksr.kubernetes import Changed, Listed
from contivpp.model import codec, keys

log = logging.getLogger(__name__)


class _Who(msgspec.Struct):
    metadata: k8s.Metadata


class Reflector:
    """One kind whose objects are records one by one."""

    def __init__(
        self,
        kind: str,
        path: str,
        shape: type[Any],
        record_of: Callable[[Any], codec.Record],
        *,
        optional: bool = False,
    ) -> None:
        """Takes the kind of record, and what there is to know of it.

        Args:
            kind: as in `contivpp.model.keys`.
            path: where the API server lists it.
            shape: of its objects.
            record_of: their meaning.
            optional: whether it is well when the API server does not have the kind.
        """
        self.kind = kind
        self.path = path
        self.optional = optional
        self.complete = False
        self._decoder = msgspec.json.Decoder(shape)
        self._who = msgspec.json.Decoder(_Who)
        self._record_of = record_of
        self.desired: dict[str, bytes] = {}
        self.held: set[str] = set()

    def take(self, update: Listed | Changed) -> set[str]:
        """Takes news from the API server; returns the keys whose records may differ now."""
        match update:
            case Listed(items=items):
                touched = self._replace(items)
                self.complete = True
            case Changed(item=item, deleted=deleted):
                touched = self._change(item, deleted=deleted)
        metrics.OBJECTS.labels(self.kind).set(len(self.desired))
        return touched

    def _replace(self, items: Iterable[bytes]) -> set[str]:
        before, self.desired, self.held = self.desired, {}, set()
        for item in items:
            key = self._key_of(item)
            if key is None:
                continue
            record = self._record(item, key)
            if record is None:
                record = before.get(key)
            if record is None:
                self.held.add(key)
            else:
                self.desired[key] = record
        return before.keys() | self.desired.keys()

    def _change(self, item: bytes, *, deleted: bool) -> set[str]:
        key = self._key_of(item)
        if key is None:
            return set()
        if deleted:
            self.desired.pop(key, None)
            self.held.discard(key)
        elif (record := self._record(item, key)) is not None:
            self.desired[key] = record
            self.held.discard(key)
        elif key not in self.desired:
            self.held.add(key)
        return {key}

    def _key_of(self, item: bytes) -> str | None:
        try:
            metadata = self._who.decode(item).metadata
            record_id = metadata.name
            if self.kind in keys.NAMESPACED:
                record_id = f"{metadata.namespace}/{metadata.name}"
            return keys.record_key(self.kind, record_id)
        except (msgspec.DecodeError, ValueError) as error:
            self._skipped(item[:80].decode(errors="replace"), error)
            return None

    def _record(self, item: bytes, key: str) -> bytes | None:
        try:
            return codec.encode(self._record_of(self._decoder.decode(item)))
        except (msgspec.DecodeError, ConversionError) as error:
            self._skipped(key, error)
            return None

    def _skipped(self, who: str, error: Exception) -> None:
        metrics.UNDECODABLE.labels(self.kind).inc()
        log.warning("skipped a %s, its last good record stays: %s: %s", self.kind, who, error)


class SliceReflector(Reflector):
    """Endpoints from EndpointSlices: several objects make one record.

    The record of a service is held while any of its slices has never been understood: without that slice it would
    lose endpoints.
    """

    def __init__(self) -> None:
        """Takes nothing: there is one."""
        super().__init__(
            "endpoints", "/apis/discovery.k8s.io/v1/endpointslices", k8s.EndpointSlice, endpoints.from_endpoints
        )
        self._slices: dict[str, k8s.EndpointSlice] = {}
        self._of_service: dict[str, set[str]] = {}
        self._unknown: dict[str, str] = {}

    def _replace(self, items: Iterable[bytes]) -> set[str]:
        before = set(self.desired)
        known, self._slices, self._of_service, self._unknown = self._slices, {}, {}, {}
        self.desired, self.held = {}, set()
        for item in items:
            who = self._identify(item)
            if who is None:
                continue
            name, service = who
            if (found := self._decode(item, name) or known.get(name)) is not None:
                self._put(name, found)
            elif service:
                self._unknown[name] = service
        for service in {*self._of_service, *self._unknown.values()}:
            self._merge(service)
        return before | set(self.desired)

    def _change(self, item: bytes, *, deleted: bool) -> set[str]:
        who = self._identify(item)
        if who is None:
            return set()
        name, service = who
        found = None if deleted else self._decode(item, name)
        if not deleted and found is None:
            if name in self._slices or not service:
                return set()
            self._unknown[name] = service
            return {self._merge(service)}
        services = {self._unknown.pop(name, "")}
        if (before := self._slices.pop(name, None)) is not None:
            service = endpoints.service_of(before.metadata)
            services.add(service)
            self._of_service.get(service, set()).discard(name)
        if found is not None:
            self._put(name, found)
            services.add(endpoints.service_of(found.metadata))
        return {self._merge(service) for service in services if service}

    def _put(self, name: str, found: k8s.EndpointSlice) -> None:
        service = endpoints.service_of(found.metadata)
        if service:
            self._slices[name] = found
            self._of_service.setdefault(service, set()).add(name)

    def _merge(self, service: str) -> str:
        key = keys.record_key("endpoints", service)
        names = self._of_service.get(service)
        (self.held.add if service in self._unknown.values() else self.held.discard)(key)
        if names:
            self.desired[key] = codec.encode(endpoints.from_slices(service, (self._slices[name] for name in names)))
        else:
            self._of_service.pop(service, None)
            self.desired.pop(key, None)
        return key

    def _identify(self, item: bytes) -> tuple[str, str] | None:
        """The "namespace/name" of a slice, and the service it says it belongs to."""
        try:
            metadata = self._who.decode(item).metadata
        except msgspec.DecodeError as error:
            self._skipped(item[:80].decode(errors="replace"), error)
            return None
        return f"{metadata.namespace}/{metadata.name}", endpoints.service_of(metadata)

    def _decode(self, item: bytes, name: str) -> k8s.EndpointSlice | None:
        try:
            return self._decoder.decode(item)  # type: ignore[no-any-return]
        except msgspec.DecodeError as error:
            self._skipped(name, error)
            return None


def reflectors(*, slices: bool = True) -> list[Reflector]:
    """One reflector per kind; without `slices` endpoints come from Endpoints."""
    return [
        Reflector("namespace", "/api/v1/namespaces", k8s.Namespace, convert.namespace),
        Reflector("pod", "/api/v1/pods", k8s.Pod, convert.pod),
        Reflector("policy", "/apis/networking.k8s.io/v1/networkpolicies", k8s.NetworkPolicy, convert.policy),
        Reflector("service", "/api/v1/services", k8s.Service, convert.service),
        SliceReflector()
        if slices
        else Reflector("endpoints", "/api/v1/endpoints", k8s.Endpoints, endpoints.from_endpoints),
        Reflector("node", "/api/v1/nodes", k8s.Node, convert.node),
        *(
            Reflector(kind, path, admin.AdminNetworkPolicy, admin.policy, optional=True)
            for kind, path in admin.PATHS.items()
        ),
    ]
