"""How may the candidate be asked? As its `intake.json` says, a file of a component of kind `config`, signed like all.

    {"type": "intake/v1",
     "ready": "/healthz",
     "takes": [{"path": "/ask", "content": "json", "most": 16384,
                "good": {"session": "probe", "request": "Hello"}, "same": ["/release"]}],
     "guardrail": {"path": "/ask", "send": {"session": "probe", "request": "{text}"}, "refused": "/steps/0/refused"},
     "filter": {"path": "/clean", "send": {"text": "{text}"}, "reads": "/text"}}

`good` is a request that is answered; the members of the answer that `same` points at (RFC 6901) are the same each time.
A release that does not say how it is asked is not asked, so what would have been measured is missing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar, Literal

from lockgate.core.release import Kind
from lockgate.core.tool import Loose
from lockgate.errors import VerificationError
from lockgate.evaluator.candidate import Candidate
from lockgate.formats import plain
from lockgate.formats.canonical import Json

INTAKE = "intake.json"
MOST = 64 << 20
PLACE = "{text}"


@dataclass(frozen=True, slots=True)
class Taken:
    """One kind of request that the candidate takes: where, of what, how large at most, and one that is good.

    `good` is the text itself if the content is bytes.
    """

    path: str
    content: Literal["bytes", "json"]
    most: int
    good: object
    same: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Guarded:
    """How a text comes before the guardrail, and what in the answer says that it was refused."""

    path: str
    send: object
    refused: str


@dataclass(frozen=True, slots=True)
class Filtered:
    """How a text comes through the filter of what goes out, and where in the answer it comes out."""

    path: str
    send: object
    reads: str


@dataclass(frozen=True, slots=True)
class Intake:
    """Everything that a release says of how it is asked."""

    type: ClassVar[str] = "intake/v1"
    ready: str
    takes: tuple[Taken, ...]
    guardrail: Guarded | None = None
    filter: Filtered | None = None


def intake_of(candidate: Candidate) -> Intake | None:
    """Read how a release is asked, None if it does not say; raise `VerificationError` if that makes no sense."""
    found = [where for where in candidate.of_kind(Kind.CONFIG) if PurePosixPath(where).name == INTAKE]
    if not found:
        return None
    if len(found) > 1:
        raise VerificationError(f"there are two intakes: {found[0]} and {found[1]}")
    intake = plain.decode(Intake, candidate.read(found[0]))
    if wrong := next(_wrong_in(intake), None):
        raise VerificationError(f"{found[0]}: {wrong}")
    return intake


def _wrong_in(intake: Intake) -> Iterator[str]:
    """Say what makes no sense, or would let the release choose an easier test than its callers give it."""
    for path in _paths(intake):
        if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
            yield f"not a path: {path[:80]!a}"
    taken_at = [taken.path for taken in intake.takes]
    if len(set(taken_at)) < len(taken_at):
        yield "a path is listed twice in takes, and each is tried once"
    if intake.guardrail is not None and intake.guardrail.path not in taken_at:
        yield f"the guardrail is not where callers come: {intake.guardrail.path[:80]!a}"
    for taken in intake.takes:
        yield from _wrong_with(taken)


def _wrong_with(taken: Taken) -> Iterator[str]:
    if not taken.same:
        yield f"{taken.path} names nothing that is the same in each answer"
    if not 1 <= taken.most <= MOST:
        yield f"{taken.path} takes 1 to {MOST} bytes, not {taken.most}"
    if taken.content == "bytes" and not isinstance(taken.good, str):
        yield f"a good request to {taken.path} is a text"


def filled(send: object, text: str) -> Json:
    """Put a text where `{text}` stands by itself."""
    if send == PLACE:
        return text
    if isinstance(send, Mapping):
        return {str(name): filled(value, text) for name, value in send.items()}
    if isinstance(send, list):
        return [filled(value, text) for value in send]
    assert send is None or isinstance(send, str | int)
    return send


def pointed(document: Loose, pointer: str) -> Loose:
    """Find what a JSON pointer points at (RFC 6901); None if there is nothing."""
    found: Loose = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _paths(intake: Intake) -> Iterator[str]:
    yield intake.ready
    yield from (taken.path for taken in intake.takes)
    yield from (each.path for each in (intake.guardrail, intake.filter) if each is not None)
