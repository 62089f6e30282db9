"""Is the former release back, on every host? By what hosts report, measured against the window of the policy.

    rolled back ──▶ pending ──every host says that it serves it, and nothing else──▶ restored
                      └──the window is over──▶ overdue, which somebody is told ──▶ restored late, or never

Nobody's word but the hosts' own, given after the rollback: where new requests go at a gateway, and where there is none,
which release runs, and whether it answers (`core.presence`). A host that has served here and is silent now has not
said it, and where no host reports at all, nobody knows: both are overdue when the window ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Literal, TypeAlias, assert_never

from lockgate.core.presence import Run, Voice
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

LOOKED_FOR = timedelta(days=1)  # for so long after a rollback somebody looks whether it is done
HEARD = timedelta(seconds=30)  # a node that said nothing for so long is silent

Word: TypeAlias = Literal["back", "not yet", "silent"]  # of a host: it says so; it says otherwise; it says nothing


@dataclass(frozen=True, slots=True)
class Restored:
    """Every host that reports serves the release that entry `rollback` gave back, and nothing else.

    `milliseconds` is at most how long that took, from the act to the look that found it done.
    """

    type: ClassVar[str] = "rollback.restored/v1"
    endpoint: Endpoint
    release: Digest
    rollback: int
    milliseconds: int
    window_seconds: int
    nodes: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """The window is over, and these hosts have not said that they serve it; no host at all reports if there is none.

    `silent` are those of them that say nothing at all.
    """

    type: ClassVar[str] = "rollback.overdue/v1"
    endpoint: Endpoint
    release: Digest
    rollback: int
    window_seconds: int
    waiting: tuple[Name, ...]
    silent: tuple[Name, ...] | None = None


Event: TypeAlias = Restored | Overdue


@dataclass(frozen=True, slots=True)
class Restoration:
    """How far the last rollback is: done after so many milliseconds, or pending, `overdue` if its window is over."""

    release: Digest
    rollback: int
    ordered_at: datetime
    window_seconds: int | None = None
    milliseconds: int | None = None
    overdue: bool = False
    waiting: tuple[Name, ...] = ()
    silent: tuple[Name, ...] | None = None

    def is_pending(self, now: datetime) -> bool:
        """Ask whether anybody still looks whether it is done."""
        return self.milliseconds is None and now - self.ordered_at < LOOKED_FOR


def settle(
    endpoint: Endpoint, restoration: Restoration, words: Mapping[Name, Word], window_seconds: int, now: datetime
) -> Event | None:
    """Say what is to be written of a rollback: `words` are what each host says of it.

    Enforces: complete_rollback
    """
    if not restoration.is_pending(now):
        return None
    took = now - restoration.ordered_at
    about = endpoint, restoration.release, restoration.rollback
    waiting = tuple(sorted(node for node, word in words.items() if word != "back"))
    if words and not waiting:
        return Restored(*about, took // timedelta(milliseconds=1), window_seconds, tuple(sorted(words)))
    if took >= timedelta(seconds=window_seconds) and not restoration.overdue:
        silent = tuple(node for node in waiting if words[node] == "silent")
        return Overdue(*about, window_seconds, waiting, silent or None)
    return None


def words_of(
    endpoint: Endpoint, voices: Sequence[Voice], restoration: Restoration, lease: timedelta, now: datetime
) -> Mapping[Name, Word]:
    """Say of each host without a gateway whether the release runs there, answers, and is all that runs at the endpoint.

    Hosts are waited for where anything ran when the rollback was ordered, or since. One that was silent then may serve
    what was replaced until its `lease` has surely ended, and is waited for as long.

    Enforces: complete_rollback
    """
    known = [voice for voice in voices if endpoint in voice.endpoints]
    nodes = {voice.node for voice in known if _is_awaited(voice, endpoint, restoration, lease, now)}
    return {
        node: _word_of([voice for voice in known if voice.node == node], endpoint, restoration, lease, now)
        for node in sorted(nodes)
    }


def together(one: Mapping[Name, Word], other: Mapping[Name, Word]) -> Mapping[Name, Word]:
    """Put together what hosts say in two ways: one that says both is back only if it says so twice."""
    return {**one, **{node: word if one.get(node, "back") == "back" else one[node] for node, word in other.items()}}


def _is_awaited(voice: Voice, endpoint: Endpoint, restoration: Restoration, lease: timedelta, now: datetime) -> bool:
    heard_then = restoration.ordered_at - HEARD
    if not voice.runs_at(endpoint):
        gone_since = voice.gone_since(endpoint)
        return gone_since is not None and gone_since > heard_then
    return voice.heard_at >= heard_then or now - restoration.ordered_at <= lease


def _word_of(
    voices: Sequence[Voice], endpoint: Endpoint, restoration: Restoration, lease: timedelta, now: datetime
) -> Word:
    """Weigh what the speakers of one host say: a run that nobody tells of any more is over when its lease is."""
    heard = [voice for voice in voices if now - voice.heard_at <= HEARD]
    if not heard:
        return "silent"
    living = [voice for voice in voices if now - max(voice.heard_at, restoration.ordered_at) <= lease or voice in heard]
    others = [run for voice in living for run in voice.runs_at(endpoint) if not _is_back(run, restoration)]
    runs = [run for voice in heard for run in voice.runs_at(endpoint) if _is_back(run, restoration)]
    return "back" if any(run.ready for run in runs) and not others else "not yet"


def _is_back(run: Run, restoration: Restoration) -> bool:
    """Ask whether a run is of the release, as what the rollback itself let serve: told before, it was of another."""
    return run.release == restoration.release and run.epoch == restoration.rollback


def evolve(restoration: Restoration | None, event: Event) -> Restoration:
    """Say what the log knows of a rollback after `event`."""
    if restoration is None or restoration.rollback != event.rollback or restoration.milliseconds is not None:
        raise VerificationError(f"the log holds {event.type} of entry {event.rollback}, for which nobody waits")
    known = replace(restoration, window_seconds=event.window_seconds)
    match event:
        case Restored():
            return replace(known, milliseconds=event.milliseconds, waiting=(), silent=None)
        case Overdue():
            return replace(known, overdue=True, waiting=event.waiting, silent=event.silent)
        case _:
            assert_never(event)
