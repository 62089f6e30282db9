"""How does Envoy learn what to do, and how does it notice that nobody tells it any more?

    put(kind, what changed) ──▶ due ──▶ what differs from what it was sent ──▶ Envoy ──▶ ACK, or NACK with its reason
                                        every third of the TTL: "it shall stay" ──▶ Envoy, which drops it otherwise

Incremental xDS over one stream on a unix socket (envoy.service.discovery.v3): a change costs what it changes, however
much else there is. A resource with an end (`until_ns`) gets a TTL that never goes beyond it. When it is over, we take
the resource away; when we are gone, or stand still, Envoy does. What it may have dropped by then is told again under a
new version, so that its ACK says that it is there.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
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


Goals = Mapping[str, Collection[str]]  # names of each kind


@dataclass(frozen=True, slots=True)
class Resource:
    """Something of Envoy's, encoded.

    With an end (CLOCK_BOOTTIME), it stays while we say so, and no longer. With a time that it lasts, we say so once.
    """

    body: bytes
    until_ns: int | None = None
    lasts_ns: int | None = None
    life: int = 0  # how often it was dropped and told again
    hashed: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "hashed", self.hashed or sha256(self.body).hexdigest()[:24])

    @property
    def version(self) -> str:
        """Name it by what it is, and which time."""
        return f"{self.hashed}.{self.life}"


@dataclass(slots=True)
class Wanted:
    """What Envoy should know of one kind, the names that it has not acknowledged as they are, and why it refused some.

    `moved` are those of which only the end has changed.
    """

    resources: dict[str, Resource] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)

    def version(self, name: str) -> str | None:
        """Say which version of a resource is wanted, if any."""
        found = self.resources.get(name)
        return None if found is None else found.version


@dataclass(slots=True)
class Told:
    """What one stream was told of one kind: versions by name; what may differ from that; which answers are awaited."""

    versions: dict[str, str]
    due: set[str]
    awaited: dict[str, "_Asked"] = field(default_factory=dict)
    is_new: bool = True

    def has(self, name: str, version: str) -> bool:
        """Ask whether it has exactly this, and has said so."""
        asked = (asked for asked in self.awaited.values() if not asked.is_beat)
        return self.versions.get(name) == version and not any(name in each.versions for each in asked)

    def doubt(self, names: Collection[str]) -> None:
        """Take for uncertain what Envoy has of these."""
        self.versions.update(dict.fromkeys(self.versions.keys() & set(names), ""))
        self.due.update(names)


class Feed:
    """The resources that Envoy should have. Everything may be called by any thread."""

    def __init__(self, address: str, ttl: float, *beside: grpc.GenericRpcHandler) -> None:
        self._address, self._beside = address, beside
        self._ttl_ns = int(ttl * _SECOND)
        self._changed = threading.Condition()
        self._wanted = {kind: Wanted() for kind in ORDER}
        self._streams = 0
        self._line: _Stream | None = None  # the stream of now
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
        self._server.add_generic_rpc_handlers((service, *self._beside))
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

    def put(self, kind: str, resources: Mapping[str, Resource], gone: Collection[str] = ()) -> Goals:
        """Want these resources of a kind, and not those that are `gone`; return what to wait for."""
        with self._changed:
            wanted, now_ns = self._wanted[kind], _now()
            changed = [name for name in gone if self._forget(wanted, name)]
            changed += [name for name, each in resources.items() if self._want(wanted, name, each, now_ns)]
            wanted.open.update(changed)
            for told in self._told(kind):
                told.due.update(changed)
            self._changed.notify_all()
            return {kind: [*resources, *gone]}

    def _want(self, wanted: Wanted, name: str, each: Resource, now_ns: int) -> bool:
        before = wanted.resources.get(name)
        if before is not None and before.until_ns is not None:
            is_over = before.until_ns < now_ns + _ON_ITS_WAY_NS or self._is_late(now_ns)
            each = replace(each, life=before.life + is_over)
        wanted.resources[name] = each
        if before is None or before.version != each.version:
            wanted.refused.pop(name, None)
            return True
        if before.until_ns != each.until_ns:
            wanted.moved.add(name)
        return wanted.refused.pop(name, None) is not None

    def _forget(self, wanted: Wanted, name: str) -> bool:
        refused = wanted.refused.pop(name, None)
        return wanted.resources.pop(name, None) is not None or refused is not None

    def _told(self, kind: str) -> list[Told]:
        """Find what the stream of now was told of a kind, if it has asked for any."""
        return [] if self._line is None or kind not in self._line.told else [self._line.told[kind]]

    def is_late(self) -> bool:
        """Ask whether the last beat is so long ago that Envoy may have dropped things."""
        return self._is_late(_now())

    def _is_late(self, now_ns: int) -> bool:
        return now_ns > self._beaten_ns + self._ttl_ns // 2

    def everything(self) -> Goals:
        """Name all that is wanted, or that is still to go."""
        with self._changed:
            return {kind: [*wanted.resources, *wanted.open] for kind, wanted in self._wanted.items()}

    def wait(self, goals: Goals, seconds: float) -> None:
        """Return when Envoy has acknowledged these as they are wanted.

        Raises `UnavailableError` with its own words if it refused one, or if it does not answer in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_settled(goals), seconds):
                raise UnavailableError(f"Envoy has not acknowledged within {seconds:g} s")
            for kind, name, words in self._refusals(goals):
                raise UnavailableError(f"Envoy refused {kind.rpartition('.')[2]} {name}: {words}")

    def _is_settled(self, goals: Goals) -> bool:
        return any(self._refusals(goals)) or all(
            self._wanted[kind].open.isdisjoint(names) for kind, names in goals.items()
        )

    def _refusals(self, goals: Goals) -> Iterator[tuple[str, str, str]]:
        for kind, names in goals.items():
            refused = self._wanted[kind].refused
            yield from ((kind, name, refused[name]) for name in names if refused and name in refused)

    def _stream(self, requests: Iterator[Message], context: grpc.ServicerContext) -> Iterator[Message]:
        """Speak to one Envoy until it, or a newer one, hangs up."""
        with self._changed:
            self._streams += 1
            stream = self._line = _Stream(self._streams)
            for wanted in self._wanted.values():
                wanted.open.update(wanted.resources)
        context.add_callback(lambda: self._hang_up(stream))
        threading.Thread(target=self._listen, args=(requests, stream), name="feed", daemon=True).start()
        while True:
            with self._changed:
                if stream.is_over or stream.number != self._streams:
                    return
                responses = self._due(stream)
                self._changed.notify_all()  # what needs no answer is settled by now
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
            has, wanted = dict(request.initial_resource_versions), self._wanted[kind]
            wanted.open.difference_update(name for name in has if wanted.version(name) == has[name])
            stream.told[kind] = Told(has, {*has, *wanted.resources, *wanted.open})
            return
        told.doubt(request.resource_names_subscribe)
        asked = told.awaited.pop(request.response_nonce, None)
        if asked is not None:
            self._take_answer(told, self._wanted[kind], asked, request.error_detail.message)

    def _take_answer(self, told: Told, wanted: Wanted, asked: "_Asked", refusal: str) -> None:
        if asked.is_beat:
            if refusal:  # it was slower than its TTL: what it dropped is told again
                told.doubt(asked.versions)
            return
        for name, version in asked.versions.items():
            if refusal and told.versions.get(name) == version:
                told.versions[name] = ""
            if wanted.version(name) != version:  # it was changed meanwhile: this is an answer to what counts no more
                continue
            if not refusal:
                wanted.open.discard(name)
            elif version is not None:
                wanted.refused[name] = refusal
            else:
                told.due.add(name)

    def _due(self, stream: "_Stream") -> list[Message]:
        """Say what is to be told now: what has changed, then that the rest shall stay."""
        now_ns = _now()
        if LISTENER in stream.told:
            self._look_at_ends(stream.told[LISTENER], now_ns)
        told = [(kind, stream.told[kind]) for kind in ORDER if kind in stream.told]
        responses = [self._change(kind, each, now_ns) for kind, each in told]
        responses += [self._beat(stream, now_ns)]
        return [response for response in responses if response is not None]

    def _look_at_ends(self, told: Told, now_ns: int) -> None:
        """Find what is over, and what Envoy may have dropped."""
        ends = {name: each.until_ns for name, each in self._wanted[LISTENER].resources.items() if each.until_ns}
        told.due.update(name for name, until_ns in ends.items() if until_ns <= now_ns and name in told.versions)
        if self._is_late(now_ns):
            told.doubt(ends)

    def _change(self, kind: str, told: Told, now_ns: int) -> Message | None:
        wanted = self._wanted[kind]
        alive = {name: each for name in told.due if (each := wanted.resources.get(name)) and _is_alive(each, now_ns)}
        fresh = {
            name: each.version
            for name, each in alive.items()
            if name not in wanted.refused and told.versions.get(name) != each.version
        }
        gone = sorted(name for name in told.due if name in told.versions and name not in alive)
        wanted.open.difference_update(told.due - fresh.keys() - set(gone) - alive.keys())  # never there, so not to go
        wanted.open.difference_update(name for name in told.due & alive.keys() if told.has(name, alive[name].version))
        told.due.clear()
        if not (told.is_new or fresh or gone):
            return None
        response = self._response(kind, told, _Asked({**fresh, **{name: wanted.version(name) for name in gone}}))
        for name in fresh:
            added = self._add(response, name, alive[name], now_ns)
            added.resource.type_url = PREFIX + kind
            added.resource.value = alive[name].body
        response.removed_resources.extend(gone)
        told.versions.update(fresh)
        for name in gone:
            del told.versions[name]
        told.is_new = False
        return response

    def _beat(self, stream: "_Stream", now_ns: int) -> Message | None:
        """Say that everything shall stay, if it is time; else say it of what has another end by now."""
        wanted, told = self._wanted[LISTENER], stream.told.get(LISTENER)
        if told is None:
            return None
        names: Collection[str] = wanted.moved
        if now_ns >= self._beaten_ns + self._ttl_ns // _BEATS:
            names, self._beaten_ns = wanted.resources.keys(), now_ns
        stay = {name: wanted.resources[name] for name in names if name in wanted.resources}
        wanted.moved = set()
        stay = {
            name: each
            for name, each in stay.items()
            if each.until_ns is not None and told.versions.get(name) == each.version
        }
        if not stay:
            return None
        response = self._response(LISTENER, told, _Asked(dict.fromkeys(stay), is_beat=True))
        for name, each in stay.items():
            self._add(response, name, each, now_ns)
        return response

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
    """What an answer is about: versions by name, None for what shall go."""

    versions: Mapping[str, str | None]
    is_beat: bool = False


@dataclass(slots=True)
class _Stream:
    """One Envoy on the line."""

    number: int
    told: dict[str, Told] = field(default_factory=dict)
    is_over: bool = False


def _is_alive(each: Resource, now_ns: int) -> bool:
    return each.until_ns is None or each.until_ns > now_ns


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
