"""Does the running candidate refuse what no caller should send, stay up, and answer the next good request as before?

    good request ──▶ the answer to compare with
    for each probe:  probe ──▶ 4xx, in time      then: good request ──▶ the same answer

A probe that is answered 5xx, with silence, or as if it were good, is a failed case; so is a good request that is not
answered as before. Who is sent more than they take may hang up instead: an answer need not reach who is still sending.
Once nothing answers any more, every probe that is left has failed too.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from lockgate.evaluator.baseline.intake import Intake, Taken, pointed
from lockgate.evaluator.baseline.misfits import misfits
from lockgate.evaluator.line import Answer, ClosedError, Line, SilentError, written, written_json
from lockgate.evaluator.tried import Tried
from lockgate.formats.canonical import Json

CLIENT_ERRORS = range(400, 500)
NOT_IMPLEMENTED = 501
WHOLE_SECONDS = 60.0
_SLOW_CALLERS = 8
_PIECE = 1 << 16

Act = Callable[[Line], None]


class _WrongError(Exception):
    """The candidate did not do what it should."""


@dataclass(frozen=True, slots=True)
class _Probe:
    name: str
    act: Act


def intake_probes(intake: Intake, line: Line) -> Iterator[Tried]:
    """Try every probe on every kind of request; an intake that takes none gives no case."""
    ends_at = time.monotonic() + WHOLE_SECONDS
    for taken in intake.takes:
        probes = list(_probes(taken))
        yield from _tried(taken, probes, line, ends_at)


def _tried(taken: Taken, probes: Iterable[_Probe], line: Line, ends_at: float) -> Iterator[Tried]:
    lost: str | None = None
    try:
        wanted = _good(taken, line)
    except (_WrongError, SilentError) as e:
        lost = f"the good request is not answered: {e}"
        wanted = ()
    yield Tried(f"{taken.path}: good request", lost)
    for probe in probes:
        case = f"{taken.path}: {probe.name}"
        if lost is None and time.monotonic() > ends_at:
            lost = f"no time was left: all probes together took {WHOLE_SECONDS:g} s"
        if lost is not None:
            yield Tried(case, lost)
            continue
        why = _came_of(probe, line)
        lost = _still_right(taken, wanted, line)
        yield Tried(case, why or lost)


def _came_of(probe: _Probe, line: Line) -> str | None:
    try:
        probe.act(line)
    except (_WrongError, SilentError) as e:
        return str(e)
    return None


def _still_right(taken: Taken, wanted: tuple[object, ...], line: Line) -> str | None:
    """Ask again as before; a second time if it was silent, for who restarts its workers may be slow once."""
    why = ""
    for _ in range(2):
        try:
            found = _good(taken, line)
        except (_WrongError, SilentError) as e:
            why = f"afterwards the good request was not answered: {e}"
            continue
        return None if found == wanted else "afterwards the good request was answered in another way"
    return why


def _good(taken: Taken, line: Line) -> tuple[object, ...]:
    answer = line.ask(_good_request(taken))
    if answer.status != 200:
        raise _WrongError(f"answered {answer.status}, not 200")
    found = [pointed(answer.document, pointer) for pointer in taken.same]
    if missing := [pointer for pointer, value in zip(taken.same, found, strict=True) if value is None]:
        raise _WrongError(f"{missing[0][:80]!a} points at nothing in the answer")
    return tuple(json.dumps(value, sort_keys=True) for value in found)


def _good_request(taken: Taken) -> bytes:
    if taken.content == "bytes":
        return written("POST", taken.path, str(taken.good).encode(), kind="application/octet-stream")
    return written_json(taken.path, _json(taken.good))


def _json(good: object) -> Json:
    found: Json = json.loads(json.dumps(good))
    return found


def _probes(taken: Taken) -> Iterator[_Probe]:
    kind = "application/octet-stream" if taken.content == "bytes" else "application/json"
    good = _good_request(taken)

    def refusing(name: str, request: bytes) -> _Probe:
        return _Probe(name, lambda line: _refused(line.ask(request)))

    def answering(name: str, body: bytes) -> _Probe:
        return _Probe(name, lambda line: _answered(line.ask(written("POST", taken.path, body, kind=kind))))

    yield _Probe("more than it takes", lambda line: _refused_or_closed(line, _oversize(taken, kind)))
    yield refusing(
        "a length beyond all bounds", written("POST", taken.path, kind=kind, more="Content-Length: 9" + "0" * 15)
    )
    yield refusing(
        "a length that is no number", written("POST", taken.path, b"x", kind=kind, more="Content-Length: 1x")
    )
    yield refusing("a negative length", written("POST", taken.path, b"x", kind=kind, more="Content-Length: -1"))
    yield refusing("a path that climbs", written("POST", f"{taken.path}/../../../etc/passwd", b"{}", kind=kind))
    yield refusing("a path that is not there", written("POST", "/lockgate-is-not-here", b"{}", kind=kind))
    yield _Probe(
        "a method that is not there", lambda line: _refused(line.ask(written("BREW", taken.path)), NOT_IMPLEMENTED)
    )
    flood = written("POST", taken.path, kind=kind, more=_flood())
    yield _Probe("a head without end", lambda line: _refused_or_closed(line, flood))
    yield _Probe("no HTTP at all", lambda line: line.drop(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)))
    yield _Probe("a caller who stops half way", lambda line: line.drop(good[: len(good) - max(1, len(good) // 4)]))
    yield _Probe("a caller who does not wait", lambda line: line.drop(good))
    yield _Probe("callers who never finish", lambda line: _slow(line, good, taken))
    if taken.content == "json":
        for name, body in misfits(_json(taken.good), taken.most):
            yield refusing(name, written("POST", taken.path, body, kind=kind))
        yield refusing("nothing", written("POST", taken.path, b"", kind=kind))
    else:
        yield from (answering(name, body) for name, body in _odd_bytes(taken))


def _refused(answer: Answer, also: int = 0) -> None:
    if answer.status not in CLIENT_ERRORS and answer.status != also:
        raise _WrongError(f"answered {answer.status}, not 4xx")


def _refused_or_closed(line: Line, request: bytes | Iterable[bytes]) -> None:
    with suppress(ClosedError):
        _refused(line.ask(request))


def _answered(answer: Answer) -> None:
    if answer.status != 200 and answer.status not in CLIENT_ERRORS:
        raise _WrongError(f"answered {answer.status}, neither 200 nor 4xx")


def _oversize(taken: Taken, kind: str) -> Iterator[bytes]:
    size = taken.most + 1
    yield written("POST", taken.path, kind=kind, more=f"Content-Length: {size}")
    for done in range(0, size, _PIECE):
        yield b" " * min(_PIECE, size - done)


def _flood() -> str:
    return "\r\n".join(f"X-Flood-{number}: {'a' * 500}" for number in range(400))


def _slow(line: Line, good: bytes, taken: Taken) -> None:
    """Keep lines open on which a request began and never ends, and see that others are answered meanwhile."""
    with ExitStack() as held:
        for number in range(_SLOW_CALLERS):
            connection = held.enter_context(line.open())
            with suppress(OSError):
                connection.sendall(good[: 4 + number])
        _good(taken, line)


def _odd_bytes(taken: Taken) -> Iterator[tuple[str, bytes]]:
    """Any bytes are a good request where bytes are wanted: none of these may break anything."""
    yield "nothing", b""
    yield "one byte", b"\0"
    yield "no UTF-8", b"\xff\xfe\xc3\x28" * 64
    yield "control characters", bytes(range(32)) * 64
    yield "every byte", bytes(range(256)) * 16
    yield "deep nesting", b"[" * min(taken.most, 1 << 16)
    yield "a lot", b"A" * min(taken.most, 1 << 18)
