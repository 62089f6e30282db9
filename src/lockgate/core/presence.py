"""What runs on a host that has no gateway? Each run of a release that was verified there, and whether it answers.

    node: Presence{incarnation, sequence, runs} signed ──▶ server: Voice, what this speaker said last
                                                             └─ what it names no more is gone since then

An agent speaks for all runs of its host, and the next agent in the place of the one before. A run that holds its own
lease speaks for itself alone. `epoch` is the entry that lets a release serve: what is said of a former one shows it
(spec/presence.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.core.report import MAX_INCARNATION, MIN_INCARNATION
from lockgate.core.trust import Actor
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint, Name

PRESENCE = "application/vnd.lockgate.presence+json"
MAX_RUNS = 256
AGENT = "agent"  # who speaks for all runs of a host
_LIVES = 8  # former lives of an agent that are remembered, so that none of them is heard once more


@dataclass(frozen=True, slots=True)
class Run:
    """A release runs at an endpoint, as what entry `epoch` let serve there; `ready` if its model server answers."""

    endpoint: Endpoint
    release: Digest
    epoch: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Presence:
    """All that runs on a node, or the one run that speaks `alone`. `at` is its own clock, for people."""

    type: ClassVar[str] = "presence/v1"
    node: Name
    incarnation: str
    sequence: int
    at: datetime
    alone: bool
    runs: tuple[Run, ...]

    @property
    def speaker(self) -> str:
        """Who says it: the agent of the node, or one run."""
        return self.incarnation if self.alone else AGENT


@dataclass(frozen=True, slots=True)
class Gone:
    """Since when nothing runs at an endpoint where something did."""

    endpoint: Endpoint
    since: datetime


@dataclass(frozen=True, slots=True)
class Voice:
    """What a speaker of a node said last, and when that was heard; `lives` are its incarnations, the last one last."""

    node: Name
    lives: tuple[str, ...]
    sequence: int
    heard_at: datetime
    runs: tuple[Run, ...]
    gone: tuple[Gone, ...]

    def runs_at(self, endpoint: Endpoint) -> tuple[Run, ...]:
        """List what it said that runs at an endpoint."""
        return tuple(run for run in self.runs if run.endpoint == endpoint)

    def gone_since(self, endpoint: Endpoint) -> datetime | None:
        """Say since when nothing runs there by its word; None if something does, or never did."""
        return next((one.since for one in self.gone if one.endpoint == endpoint), None)

    @property
    def endpoints(self) -> frozenset[Endpoint]:
        """Where something runs, or did."""
        return frozenset({*(run.endpoint for run in self.runs), *(one.endpoint for one in self.gone)})


def sign_presence(presence: Presence, signer: Signer) -> bytes:
    """Sign it with the key of the node."""
    return dsse.sign(plain.encode(presence), PRESENCE, [signer]).encode()


def open_presence(document: bytes, find: Callable[[Name], Actor]) -> tuple[Presence, Actor]:
    """Verify that the node which it names has signed it; `find` says whose keys those are."""
    envelope = dsse.parse(document)
    if envelope.payload_type != PRESENCE:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {PRESENCE}")
    presence = plain.decode(Presence, envelope.payload)
    node = find(presence.node)
    dsse.open_envelope(envelope, PRESENCE, node.keys)
    _check_form(presence)
    return presence, node


def hear(voice: Voice | None, presence: Presence, at: datetime) -> Voice | None:
    """Say what is known of a speaker after it spoke; None if it is no news: older, said before, or of a former life."""
    if voice is None:
        return Voice(presence.node, (presence.incarnation,), presence.sequence, at, presence.runs, ())
    *former, now = voice.lives
    if presence.incarnation in former or (presence.incarnation == now and presence.sequence <= voice.sequence):
        return None
    lives = voice.lives if presence.incarnation == now else (*voice.lives, presence.incarnation)[-_LIVES:]
    here = {run.endpoint for run in presence.runs}
    ended = dict.fromkeys(sorted({run.endpoint for run in voice.runs} - here), at)
    kept = {one.endpoint: one.since for one in voice.gone if one.endpoint not in here}
    gone = tuple(Gone(endpoint, since) for endpoint, since in (kept | ended).items())[-MAX_RUNS:]
    return Voice(presence.node, lives, presence.sequence, at, presence.runs, gone)


def _check_form(presence: Presence) -> None:
    named = presence.incarnation
    if not MIN_INCARNATION <= len(named) <= MAX_INCARNATION or not (named.isalnum() and named.isascii()):
        raise VerificationError(f"an incarnation is {MIN_INCARNATION} to {MAX_INCARNATION} letters and digits")
    if presence.sequence < 0 or len(presence.runs) > MAX_RUNS:
        raise VerificationError(f"a presence has a sequence from 0 on, and at most {MAX_RUNS} runs")
    places = [(run.endpoint, run.release, run.epoch) for run in presence.runs]
    if len(set(places)) != len(places):
        raise VerificationError("a run is named twice")
    if presence.alone and len(presence.runs) > 1:
        raise VerificationError("a run that speaks alone speaks for itself")
