"""How does Envoy learn what to do, and how does it notice that nobody tells it any more?

    put(kind, resources) ──▶ wanted ──▶ what differs from what it was sent ──▶ Envoy ──▶ ACK, or NACK with its reason
                                        every third of the TTL: "it shall stay" ──▶ Envoy, which drops it otherwise

Incremental xDS over one stream on a unix socket (envoy.service.discovery.v3). A resource with an end (`until_ns`) gets
a TTL that never goes beyond it. When it is over, we take the resource away; when we are gone, or stand still, Envoy
does. What it may have dropped by then is told again under a new version, so that its ACK says that it is there.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256

import grpc
from google.protobuf.message import Message

from lockgate.drivers.envoy.daemons import Daemons
from lockgate.drivers.envoy.descriptors import PREFIX, message_class
from lockgate.drivers.envoy.topology import CLUSTER, LISTENER, ROUTES
from lockgate.errors import UnavailableError

ORDER = (CLUSTER, LISTENER, ROUTES)  # nothing is routed to what is not there yet

_SERVICE = "envoy.service.discovery.v3"
_BEATS = 3  # in a TTL
_SECOND = 1_000_000_000
_ON_ITS_WAY_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Resource:
    """Something of Envoy's, encoded.

    With an end (CLOCK_BOOTTIME), it stays while we say so, and no longer. With a time that it lasts, we say so once.
    """

    body: bytes
    until_ns: int | None = None
    lasts_ns: int | None = None
    life: int = 0  # how often it was dropped and told again

    @property
    def version(self) -> str:
        """Name it by what it is, and which time."""
        return f"{sha256(self.body).hexdigest()[:24]}.{self.life}"


@dataclass(slots=True)
class Wanted:
    """What Envoy should know of one kind, how often that has changed, what it took of it and what it last refused."""

    resources: Mapping[str, Resource] = field(default_factory=dict)
    taken: Mapping[str, Resource] = field(default_factory=dict)
    generation: int = 0
    acked: int = -1
    refused: str | None = None


@dataclass(slots=True)
class Told:
    """What one stream was told of one kind: versions by name; which answers are awaited, and for which generation."""

    versions: dict[str, str]
    awaited: dict[str, "_Asked"] = field(default_factory=dict)
    is_due: bool = True


class Feed:
    """The resources that Envoy should have. Everything may be called by any thread."""

    def __init__(self, address: str, ttl: float) -> None:
        self._address = address
        self._ttl_ns = int(ttl * _SECOND)
        self._changed = threading.Condition()
        self._wanted = {kind: Wanted() for kind in ORDER}
        self._streams = 0
        self._nonces = 0
        self._beaten_ns = 0
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Listen."""
        self._server = grpc.server(Daemons())
        service = grpc.method_handlers_generic_handler(
            f"{_SERVICE}.AggregatedDiscoveryService",
            {
                "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._stream,
                    request_deserializer=message_class(f"{_SERVICE}.DeltaDiscoveryRequest").FromString,
                    response_serializer=lambda response: response.SerializeToString(),
                )
            },
        )
        self._server.add_generic_rpc_handlers((service,))
        try:
            self._server.add_insecure_port(self._address)
        except RuntimeError as e:
            raise UnavailableError(f"no socket for Envoy: {e}") from e
        self._server.start()

    def stop(self) -> None:
        """Say nothing more."""
        with self._changed:
            self._streams += 1
            self._changed.notify_all()
        if self._server is not None:
            self._server.stop(0).wait()

    def put(self, kind: str, resources: Mapping[str, Resource]) -> int:
        """Want exactly these resources of a kind; return the generation to wait for."""
        with self._changed:
            wanted = self._wanted[kind]
            now_ns = _now()
            resources = {
                name: self._alive(each, wanted.resources.get(name), now_ns) for name, each in resources.items()
            }
            if wanted.refused is not None or _versions(resources) != _versions(wanted.resources):
                wanted.generation += 1
                wanted.refused = None
            wanted.resources = resources
            self._changed.notify_all()
            return wanted.generation

    def _alive(self, each: Resource, before: Resource | None, now_ns: int) -> Resource:
        if before is None or before.until_ns is None:
            return each
        is_over = before.until_ns < now_ns + _ON_ITS_WAY_NS or self._is_late(now_ns)
        return replace(each, life=before.life + is_over)

    def _is_late(self, now_ns: int) -> bool:
        """Ask whether the last beat is so long ago that Envoy may have dropped things."""
        return now_ns > self._beaten_ns + self._ttl_ns // 2

    def taken(self, kind: str) -> Mapping[str, Resource]:
        """Return what Envoy has taken of a kind, with the ends that hold now."""
        with self._changed:
            wanted = self._wanted[kind]
            return {name: wanted.resources.get(name, each) for name, each in wanted.taken.items()}

    def wait(self, goals: Mapping[str, int], seconds: float) -> None:
        """Return when Envoy has acknowledged these generations.

        Raises `UnavailableError` with its own words if it refused one, or if it does not answer in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_settled(goals), seconds):
                raise UnavailableError(f"Envoy has not acknowledged within {seconds:g} s")
            for kind in goals:
                if (words := self._wanted[kind].refused) is not None:
                    raise UnavailableError(f"Envoy refused {kind.rpartition('.')[2]}: {words}")

    def _is_settled(self, goals: Mapping[str, int]) -> bool:
        refused = any(self._wanted[kind].refused is not None for kind in goals)
        return refused or all(self._wanted[kind].acked >= goal for kind, goal in goals.items())

    def _stream(self, requests: Iterator[Message], context: grpc.ServicerContext) -> Iterator[Message]:
        """Speak to one Envoy until it, or a newer one, hangs up."""
        with self._changed:
            self._streams += 1
            stream = _Stream(self._streams)
            for wanted in self._wanted.values():
                wanted.acked = -1
        context.add_callback(lambda: self._hang_up(stream))
        threading.Thread(target=self._listen, args=(requests, stream), name="feed", daemon=True).start()
        while True:
            with self._changed:
                if stream.is_over or stream.number != self._streams:
                    return
                responses = self._due(stream)
                if not responses:
                    self._changed.wait(self._pause(stream))
            yield from responses

    def _hang_up(self, stream: "_Stream") -> None:
        with self._changed:
            stream.is_over = True
            self._changed.notify_all()

    def _listen(self, requests: Iterator[Message], stream: "_Stream") -> None:
        with suppress(grpc.RpcError):
            for request in requests:
                with self._changed:
                    self._hear(stream, request)
                    self._changed.notify_all()
        self._hang_up(stream)

    def _hear(self, stream: "_Stream", request: Message) -> None:
        kind = request.type_url.removeprefix(PREFIX)
        if kind not in self._wanted or stream.number != self._streams:
            return
        told = stream.told.get(kind)
        if told is None:
            stream.told[kind] = Told(dict(request.initial_resource_versions))
            return
        for name in request.resource_names_subscribe:
            told.versions.pop(name, None)
            told.is_due = True
        asked = told.awaited.pop(request.response_nonce, None)
        if asked is not None:
            self._take_answer(told, self._wanted[kind], asked, request.error_detail.message)

    def _take_answer(self, told: Told, wanted: Wanted, asked: "_Asked", refusal: str) -> None:
        if asked.is_beat:
            if refusal:  # it was slower than its TTL: what it dropped is told again
                told.versions.clear()
        elif not refusal:
            wanted.acked, wanted.taken = max(wanted.acked, asked.generation), asked.resources
        elif asked.generation == wanted.generation:
            wanted.refused = refusal
            told.versions.clear()
            told.is_due = False

    def _due(self, stream: "_Stream") -> list[Message]:
        """Say what is to be told now: what has changed, then that the rest shall stay."""
        now_ns = _now()
        if self._is_late(now_ns) and LISTENER in stream.told:
            for name, each in self._wanted[LISTENER].resources.items():
                if each.until_ns is not None:
                    stream.told[LISTENER].versions.pop(name, None)
        told = [(kind, stream.told[kind]) for kind in ORDER if kind in stream.told]
        responses = [self._change(kind, each, now_ns) for kind, each in told]
        responses += [self._beat(stream, now_ns)]
        return [response for response in responses if response is not None]

    def _change(self, kind: str, told: Told, now_ns: int) -> Message | None:
        wanted = self._wanted[kind]
        alive = {
            name: each for name, each in wanted.resources.items() if each.until_ns is None or each.until_ns > now_ns
        }
        fresh = {name: each for name, each in alive.items() if told.versions.get(name) != each.version}
        gone = sorted(told.versions.keys() - alive.keys())
        if not (told.is_due or fresh or gone) or wanted.refused is not None:
            return None
        response = self._response(kind, told, _Asked(wanted.generation, wanted.resources))
        for name, each in fresh.items():
            added = self._add(response, name, each, now_ns)
            added.resource.type_url = PREFIX + kind
            added.resource.value = each.body
        response.removed_resources.extend(gone)
        told.versions = {name: each.version for name, each in alive.items()}
        told.is_due = False
        return response

    def _beat(self, stream: "_Stream", now_ns: int) -> Message | None:
        told = stream.told.get(LISTENER)
        listeners = self._wanted[LISTENER].resources
        ends = {name: each.until_ns for name, each in listeners.items()}
        if told is None or (ends == stream.ends and now_ns < self._beaten_ns + self._ttl_ns // _BEATS):
            return None
        stream.ends, self._beaten_ns = ends, now_ns
        response = self._response(LISTENER, told, _Asked(is_beat=True))
        for name, each in listeners.items():
            if each.until_ns is not None and told.versions.get(name) == each.version:
                self._add(response, name, each, now_ns)
        return response if response.resources else None

    def _response(self, kind: str, told: Told, asked: "_Asked") -> Message:
        self._nonces += 1
        nonce = str(self._nonces)
        told.awaited[nonce] = asked
        return message_class(f"{_SERVICE}.DeltaDiscoveryResponse")(type_url=PREFIX + kind, nonce=nonce)

    def _add(self, response: Message, name: str, each: Resource, now_ns: int) -> Message:
        added = response.resources.add(name=name, version=each.version)
        if each.until_ns is not None:
            added.ttl.FromNanoseconds(max(1_000_000, min(self._ttl_ns, each.until_ns - now_ns)))
        elif each.lasts_ns is not None:
            added.ttl.FromNanoseconds(each.lasts_ns)
        return added

    def _pause(self, stream: "_Stream") -> float | None:
        if LISTENER not in stream.told:
            return None
        return max(0.0, (self._beaten_ns + self._ttl_ns // _BEATS - _now()) / _SECOND)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What an answer is about."""

    generation: int = -1
    resources: Mapping[str, Resource] = field(default_factory=dict)
    is_beat: bool = False


@dataclass(slots=True)
class _Stream:
    """One Envoy on the line."""

    number: int
    told: dict[str, Told] = field(default_factory=dict)
    ends: Mapping[str, int | None] = field(default_factory=dict)
    is_over: bool = False


def _versions(resources: Mapping[str, Resource]) -> dict[str, str]:
    return {name: each.version for name, each in resources.items()}


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
