"""The HTTP side of the API server: paths, queries, bodies, streams."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
import yaml
from aiohttp import ClientConnectionError, web

from contivpp.playground.apiserver import discovery, errors, patches, protobuf, selectors
from contivpp.playground.apiserver.errors import ApiError
from contivpp.playground.apiserver.lists import Event, ListOptions, Watches, page
from contivpp.playground.apiserver.objects import DeleteOptions, Objects, Target
from contivpp.playground.apiserver.resources import Resource, Resources
from contivpp.playground.apiserver.rules import DEFAULT_SERVICE_CIDR, Rules
from contivpp.playground.apiserver.storage import Storage
from contivpp.playground.apiserver.table import table

Object = dict[str, Any]
VERSION: Final = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4-playground",
    "gitCommit": "0",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none: this is the playground's stand-in for kube-apiserver",
    "compiler": "none",
    "platform": "linux/amd64",
}
_APPLY: Final = "application/apply-patch+yaml"
_PATCHES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    _APPLY,
)
_HEALTH: Final = ("/healthz", "/livez", "/readyz")
_LARGEST_BODY: Final = 16 * 1024 * 1024
_PATH: Final = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?/?$"
)
# Below a namespace's name these are parts of it; anything else is a resource in it.
_OF_NAMESPACE: Final = re.compile(r"^/api/v1/namespaces/(?P<name>[^/]+)/(?P<subresource>status|finalize)/?$")


class ApiServer:
    """Serves a storage; `app()` is what an HTTP server runs."""

    def __init__(
        self, storage: Storage, *, service_cidr: str = DEFAULT_SERVICE_CIDR, bookmark_interval: float = 30.0
    ) -> None:
        self.storage = storage
        self.resources = Resources()
        self.rules = Rules(storage, service_cidr)
        self.objects = Objects(storage, self.resources, self.rules)
        self._watches = Watches(storage, bookmark_interval=bookmark_interval)

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_shutdown.append(self._on_shutdown)
        return app

    async def _on_shutdown(self, _: web.Application) -> None:
        self.close_watches()

    def close_watches(self) -> None:
        """Ends every watch, so that a server can stop without waiting for its clients."""
        self._watches.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except ApiError as error:
            return _json(error.status(), error.code)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path in _HEALTH or path.startswith(tuple(f"{p}/" for p in _HEALTH)):
            return web.Response(text="ok")
        if path == "/version":
            return _json(VERSION)
        if path.startswith(("/api", "/openapi")) and (found := self._document(path)) is not None:
            return _json(found)
        verbs: Mapping[str, Callable[[web.Request, Target], Awaitable[web.StreamResponse]]] = {
            "GET": self._get,
            "POST": self._post,
            "PUT": self._put,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        target = self._target(path)
        if request.method not in verbs:
            raise errors.method_not_allowed(request.method)
        return await verbs[request.method](request, target)

    async def _put(self, request: web.Request, target: Target) -> web.Response:
        _needs_name(target, "PUT")
        return _json(self.objects.update(target, await _body(request), dry_run=_dry_run(request.query)))

    def _document(self, path: str) -> Object | None:
        resources = self.resources
        found: Object | None = None
        match path.strip("/").split("/"):
            case ["api"]:
                found = discovery.versions()
            case ["apis"]:
                found = discovery.groups(resources)
            case ["api", version]:
                found = discovery.resource_list(resources, "", version)
            case ["apis", group]:
                found = discovery.group(resources, group)
            case ["apis", group, version]:
                found = discovery.resource_list(resources, group, version)
            case ["openapi", "v3"]:
                found = discovery.openapi_index(resources)
            case ["openapi", "v3", "api", version]:
                found = discovery.openapi(resources, "", version)
            case ["openapi", "v3", "apis", group, version]:
                found = discovery.openapi(resources, group, version)
        return found

    def _target(self, path: str) -> Target:
        if match := _OF_NAMESPACE.match(path):
            resource = self.resources.find("", "v1", "namespaces")
            assert resource is not None
            return Target(resource, "", match["name"], match["subresource"])
        match = _PATH.match(path)
        if match is None:
            raise errors.no_such_path()
        resource = self.resources.find(match["group"] or "", match["core"] or match["version"], match["plural"])
        if resource is None:
            raise errors.no_such_path()
        namespace, name, subresource = (
            match["namespace"] or "",
            match["name"] or "",
            match["subresource"] or "",
        )
        if subresource and subresource not in resource.subresources:
            raise errors.no_such_path()
        if bool(namespace) != resource.namespaced and (namespace or name):
            raise errors.no_such_path()
        return Target(resource, namespace, name, subresource)

    async def _get(self, request: web.Request, target: Target) -> web.StreamResponse:
        query, resource = request.query, target.resource
        include = _wants_table(request)
        if target.name and not _flag(query, "watch"):
            if target.subresource == "log":
                raise ApiError(501, "NotImplemented", "the playground serves no logs: use contiv-playground logs POD")
            found = self.objects.get(target)
            if include:
                metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
                return _json(table(resource, [found], metadata, include))
            return _json(found)
        options = _list_options(query, target)
        if _flag(query, "watch"):
            return await self._watch(request, resource, options, include)
        found_page = page(self.storage, resource.key, options)
        items = [self.objects.present(resource, item) for item in found_page.items]
        if include:
            return _json(table(resource, items, found_page.metadata, include))
        if resource.strategic:  # a list of a built-in kind says once what its items are
            items = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in items]
        return _json(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": found_page.metadata,
                "items": items,
            }
        )

    async def _watch(
        self, request: web.Request, resource: Resource, options: ListOptions, include: str
    ) -> web.StreamResponse:
        events = self._watches.watch(resource.key, options)
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})
        first = True
        try:
            response.enable_chunked_encoding()
            await response.prepare(request)
            async for event in events:
                await response.write(self._line(resource, event, include, first=first))
                first = False
            await response.write_eof()
        except (ConnectionResetError, ClientConnectionError):
            pass  # the client went away, which is how most watches end
        finally:
            await events.aclose()  # type: ignore[attr-defined]
        return response

    def _line(self, resource: Resource, event: Event, include: str, *, first: bool) -> bytes:
        if event.type == "ERROR":
            return msgspec.json.encode({"type": event.type, "object": event.object}) + b"\n"
        if event.type == "BOOKMARK":
            subject = {"kind": resource.kind, "apiVersion": resource.api_version, **event.object}
            if include:
                subject = table(resource, [], event.object["metadata"], include)
            return msgspec.json.encode({"type": event.type, "object": subject}) + b"\n"
        if include:
            metadata = {"resourceVersion": event.object["metadata"]["resourceVersion"]}
            rows = table(resource, [self.objects.present(resource, event.object)], metadata, include)
            if not first:
                rows["columnDefinitions"] = None
            return msgspec.json.encode({"type": event.type, "object": rows}) + b"\n"
        encoded = event.encoded
        if not encoded or event.object["apiVersion"] != resource.api_version:
            encoded = msgspec.json.encode(self.objects.present(resource, event.object))
        return b'{"type":"%s","object":%s}\n' % (event.type.encode(), encoded)

    async def _post(self, request: web.Request, target: Target) -> web.Response:
        body = await _body(request)
        match target.subresource:
            case "binding":
                self.objects.bind(target, body)
                return _json(_success(), 201)
            case "eviction":
                options = _delete_options({}, (body or {}).get("deleteOptions"))
                self.objects.delete(Target(target.resource, target.namespace, target.name), options)
                return _json(_success(), 201)
            case "":
                if target.name:
                    raise errors.method_not_allowed("POST")
                if target.resource.namespaced and not target.namespace:
                    raise errors.bad_request("an object of this kind is created in a namespace")
                return _json(self.objects.create(target, body, dry_run=_dry_run(request.query)), 201)
        raise errors.method_not_allowed("POST")

    async def _patch(self, request: web.Request, target: Target) -> web.Response:
        _needs_name(target, "PATCH")
        content = request.content_type
        if content not in _PATCHES:
            raise errors.unsupported_media_type(content, _PATCHES)
        body, dry_run = await _body(request), _dry_run(request.query)
        if content == _APPLY:
            manager, force = request.query.get("fieldManager", ""), _flag(request.query, "force")
            found, new = self.objects.apply(target, body, manager=manager, force=force, dry_run=dry_run)
            return _json(found, 201 if new else 200)
        if content == "application/json-patch+json":
            return _json(self.objects.patch(target, lambda o: patches.json_patch(o, body), dry_run=dry_run))
        if not isinstance(body, dict):
            raise errors.bad_request("a merge patch must be an object")
        if content == "application/merge-patch+json":
            return _json(self.objects.patch(target, lambda o: patches.merge(o, body), dry_run=dry_run))
        if not target.resource.strategic:
            raise errors.unsupported_media_type(content, [p for p in _PATCHES if p != content])
        return _json(self.objects.patch(target, lambda o: patches.strategic(o, body), dry_run=dry_run))

    async def _delete(self, request: web.Request, target: Target) -> web.Response:
        options = _delete_options(request.query, await _body(request) if request.can_read_body else None)
        if target.name:
            left, gone = self.objects.delete(target, options)
            if not gone or target.resource.key == "/pods":
                return _json(left)
            details = {
                "name": target.name,
                "group": target.resource.group,
                "kind": target.resource.plural,
                "uid": left["metadata"]["uid"],
            }
            return _json(_success(details))
        if target.resource.namespaced and not target.namespace:
            raise errors.method_not_allowed("DELETE")
        found = page(self.storage, target.resource.key, _list_options(request.query, target))
        for subject in found.items:
            metadata = subject["metadata"]
            one = Target(target.resource, metadata.get("namespace", ""), metadata["name"])
            self.objects.delete(one, options)
        return _json(
            {
                "kind": f"{target.resource.kind}List",
                "apiVersion": target.resource.api_version,
                "metadata": found.metadata,
                "items": found.items,
            }
        )


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def _success(details: Object | None = None) -> Object:
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**status, "details": details} if details else status


def _needs_name(target: Target, method: str) -> None:
    if not target.name or target.subresource in ("log", "binding", "eviction"):
        raise errors.method_not_allowed(method)


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    content = request.content_type
    if content == protobuf.CONTENT_TYPE:
        return protobuf.decode(raw)
    try:
        if "yaml" in content:
            return yaml.safe_load(raw)
        if "json" in content or content in ("application/octet-stream", "text/plain"):
            return msgspec.json.decode(raw)
    except (yaml.YAMLError, msgspec.DecodeError) as error:
        raise errors.bad_request(f"the body of the request cannot be read: {error}") from error
    raise errors.unsupported_media_type(content, ["application/json", "application/yaml"])


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("1", "true")


def _dry_run(query: Mapping[str, str]) -> bool:
    wanted = query.get("dryRun", "")
    if wanted not in ("", "All"):
        raise errors.bad_request(f'dryRun: Unsupported value: "{wanted}": supported values: "All"')
    return bool(wanted)


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise errors.bad_request(f"{name}: {text!r} is not a number") from error


def _wants_table(request: web.Request) -> str:
    """What a table's rows are to carry; "" when no table is wanted."""
    first = request.headers.get("Accept", "").split(",")[0].replace(" ", "")
    if ";as=Table" not in first:
        return ""
    return request.query.get("includeObject", "Metadata")


def _list_options(query: Mapping[str, str], target: Target) -> ListOptions:
    # A watch of one object by its path is a watch of the collection with a selector.
    only = selectors.fields(f"metadata.name={target.name}", ()) if target.name else None
    initial = query.get("sendInitialEvents")
    timeout = _number(query, "timeoutSeconds")
    return ListOptions(
        namespace=target.namespace or None,
        predicate=selectors.both(
            only,
            selectors.labels(query.get("labelSelector", "")),
            selectors.fields(query.get("fieldSelector", ""), target.resource.fields),
        ),
        limit=_number(query, "limit") or 0,
        token=query.get("continue", ""),
        revision=query.get("resourceVersion", ""),
        exact=query.get("resourceVersionMatch") == "Exact",
        # Spread, so that clients that came together do not come back together.
        timeout=timeout or random.uniform(1800, 3600),  # noqa: S311
        bookmarks=_flag(query, "allowWatchBookmarks"),
        initial_events=None if initial is None else initial == "true",
    )


def _delete_options(query: Mapping[str, str], body: Any) -> DeleteOptions:
    given: Object = body if isinstance(body, dict) else {}
    preconditions = given.get("preconditions") or {}
    grace = given.get("gracePeriodSeconds")
    return DeleteOptions(
        grace=_number(query, "gracePeriodSeconds") if grace is None else int(grace),
        uid=preconditions.get("uid") or "",
        revision=preconditions.get("resourceVersion") or "",
        dry_run=_dry_run(query) or bool(given.get("dryRun")),
    )


def tls(certificate: str, key: str, ca: str) -> ssl.SSLContext:
    """A server's TLS that takes only clients with a certificate of the cluster's CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(
    server: ApiServer, address: str, port: int, context: ssl.SSLContext | None
) -> tuple[web.AppRunner, int]:
    """Listens; returns what to clean up, and the port (that was chosen, if `port` is 0)."""
    runner = web.AppRunner(server.app(), handler_cancellation=True, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, address, port, ssl_context=context, reuse_address=True)
    await site.start()
    chosen = runner.addresses[0][1]
    await asyncio.sleep(0)
    return runner, int(chosen)
