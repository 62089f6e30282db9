"""When does a breaker trip? Everything that is known of an endpoint, held against what the policy says.

    alerts since it was let in    ─┐
    what was counted, in a window ─┼─▶ tripped ──▶ endpoint.tripped/v1: suspended, by the breaker of this name
    what was revoked              ─┤                └──▶ only a new approved change resumes it
    what providers show           ─┤
    overrides that are over       ─┘    a breaker that only flags ──▶ endpoint.flagged/v1: goes on serving

Counters are totals: whoever watches takes samples, and each breaker is judged by the difference over its own window.
Each node counts for itself, and one may lie: all are judged together, each by itself, and all but each. So nobody hides
what others count; whoever tells of failures that are none can shut an endpoint down, and no more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from lockgate.core.appearance import Appearance
from lockgate.core.breaker import (
    Breaker,
    OnAlerts,
    OnFailures,
    OnOverrideExpired,
    OnProviderChanged,
    OnRevoked,
    OnUnguarded,
)
from lockgate.core.detection import Raised
from lockgate.core.report import Counts, Tally
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

_NONE = Tally(0, 0)
_GUARDRAIL, _TOOL = Name("guardrail"), Name("tool")


@dataclass(frozen=True, slots=True)
class Sums:
    """What was counted of answers, guardrail verdicts and tool calls: how many, and how many of them bad."""

    answers: Tally
    guardrail: Tally
    tool: Tally

    @classmethod
    def of(cls, counts: Counts) -> "Sums":
        """Take from the counts of a node what breakers are about."""
        other = counts.other
        return cls(counts.answers, other.get(_GUARDRAIL, _NONE), other.get(_TOOL, _NONE))


@dataclass(frozen=True, slots=True)
class Sample:
    """The totals of everything that counts at an endpoint, at one moment, by the name of each counter.

    A counter's name begins with that of its node: `node/incarnation/release`.
    """

    at: datetime
    totals: Mapping[str, Sums]


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of an endpoint: alerts, samples with the newest last, and what was revoked of what serves.

    What was raised before `since`, when the endpoint was let in, counts no more. `appearances` are those of the
    provider models of what serves, `activated` says since when each release does, `expired` which overrides are over
    that let it in.
    """

    alerts: Sequence[Raised]
    samples: Sequence[Sample]
    revoked: tuple[str, ...]
    since: datetime
    appearances: Sequence[Appearance] = ()
    activated: Mapping[Digest, datetime] = field(default_factory=dict)
    expired: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trip:
    """Why a breaker tripped: kept as a document, by its digest in the log (spec/breaker.md)."""

    type: ClassVar[str] = "trip/v1"
    later: ClassVar[tuple[str, ...]] = ("shown", "expired")
    endpoint: Endpoint
    breaker: Breaker
    alerts: tuple[Digest, ...]
    counted: Tally | None
    revoked: tuple[str, ...]
    at: datetime
    shown: tuple[str, ...] | None = None
    expired: tuple[str, ...] | None = None


def tripped(endpoint: Endpoint, breakers: Sequence[Breaker], signs: Signs, now: datetime) -> Trip | None:
    """Return why the first breaker that trips does so; None if none does. Those that only flag come last.

    Enforces: emergency_shutdown, provider_change_reevaluation
    """
    for breaker in sorted(breakers, key=lambda one: one.only_flags):
        trip = _tried(endpoint, breaker, signs, now)
        if trip is not None:
            return trip
    return None


def counted_in(samples: Sequence[Sample], window: timedelta, now: datetime) -> Mapping[str, Sums]:
    """Say what each node counted within the `window` that ends now.

    Each counter is compared with what it was when the window began, or when it was first seen.
    """
    found: dict[str, Sums] = {}
    for name, last in samples[-1].totals.items() if samples else ():
        node, more = name.partition("/")[0], _since(_first(samples, name, now - window), last)
        found[node] = _added(found[node], more) if node in found else more
    return found


def views_of(nodes: Mapping[str, Sums]) -> Iterator[Sums]:
    """Add up what nodes counted: all together, then each by itself, then all but each."""
    every = Sums(_NONE, _NONE, _NONE)
    for one in nodes.values():
        every = _added(every, one)
    yield every
    if len(nodes) > 1:
        yield from nodes.values()
        yield from (_since(one, every) for one in nodes.values())


def _tried(endpoint: Endpoint, breaker: Breaker, signs: Signs, now: datetime) -> Trip | None:
    on = breaker.on
    match on:
        case OnAlerts():
            found = _raised(on, signs, now)
            return Trip(endpoint, breaker, found, None, (), now) if found else None
        case OnRevoked():
            return Trip(endpoint, breaker, (), None, signs.revoked, now) if signs.revoked else None
        case OnProviderChanged():
            shown = tuple(changes_shown(on, signs))
            return Trip(endpoint, breaker, (), None, (), now, shown=shown) if shown else None
        case OnOverrideExpired():
            return Trip(endpoint, breaker, (), None, (), now, expired=signs.expired) if signs.expired else None
        case OnFailures() | OnUnguarded():
            nodes = counted_in(signs.samples, timedelta(seconds=on.seconds), now)
            tally = next((bad for bad in (_bad(on, sums) for sums in views_of(nodes)) if bad is not None), None)
            return Trip(endpoint, breaker, (), tally, (), now) if tally is not None else None


def changes_shown(on: OnProviderChanged, signs: Signs) -> Iterator[str]:
    """Say which pins do not hold, and, if that is asked, what changed since the release was let in."""
    for one in signs.appearances:
        since = signs.activated.get(one.release, signs.since)
        is_new = on.than == "before" and one.changed_at is not None and one.changed_at > since
        for what in dict.fromkeys((*one.unlike, *(one.changed if is_new else ()))):
            yield f"provider-model {one.component} (entry {one.index}): {what}"


def _bad(on: OnFailures | OnUnguarded, sums: Sums) -> Tally | None:
    """Return what is bad in what was counted, if it is enough to trip."""
    if isinstance(on, OnFailures):
        tally = {"errors": sums.answers, "guardrail": sums.guardrail, "tool": sums.tool}[on.of]
        return tally if tally.total >= on.requests and tally.bad * 100 >= on.percent * tally.total else None
    asked, judged = sums.answers.total, min(sums.guardrail.total, sums.answers.total)
    return Tally(asked, asked - judged) if asked >= on.requests and judged * 100 < on.percent * asked else None


def _raised(on: OnAlerts, signs: Signs, now: datetime) -> tuple[Digest, ...]:
    """Name the newest alert of each sort that counts, if enough of them were raised lately."""
    counting = [one for one in signs.alerts if one.danger in on.kinds and one.severity.rank >= on.severity.rank]
    begins = now - timedelta(seconds=on.seconds)
    lately = {one.document: sum(begins < at >= signs.since for at in one.times) for one in counting}
    return tuple(document for document, times in lately.items() if times) if sum(lately.values()) >= on.count else ()


def _first(samples: Sequence[Sample], name: str, begins: datetime) -> Sums:
    """Find the last totals of a counter that are no younger than the window, or else the first that are known."""
    known = [sample for sample in samples if name in sample.totals]
    before = [sample for sample in known if sample.at <= begins]
    return (before[-1] if before else known[0]).totals[name]


def _since(first: Sums, last: Sums) -> Sums:
    return Sums(*map(_more, _tallies(first), _tallies(last)))


def _added(one: Sums, other: Sums) -> Sums:
    pairs = zip(_tallies(one), _tallies(other), strict=True)
    return Sums(*(Tally(a.total + b.total, a.bad + b.bad) for a, b in pairs))


def _tallies(sums: Sums) -> tuple[Tally, Tally, Tally]:
    return sums.answers, sums.guardrail, sums.tool


def _more(first: Tally, last: Tally) -> Tally:
    return Tally(max(0, last.total - first.total), max(0, last.bad - first.bad))
