"""What does a node count of the traffic that it lets through? Totals since its counters began, and never a rate.

    node: Report{incarnation, sequence, counted} signed ──▶ server: the newest of each incarnation is kept
                                                              │ twice
                                                              ▼
                                        difference ──▶ what happened between two looks, in whole numbers

Totals lose nothing when a report is lost, and a replayed one adds nothing. Counters that begin anew do so under another
`incarnation`: they never go down within one (spec/report.md).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.core.trust import Actor
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint, Name

REPORT = "application/vnd.lockgate.traffic-report+json"
MAX_COUNTED, MAX_OTHER = 256, 16
MAX_ROUNDS = 8  # in which a user is judged
NAMED = Name("named")
MIN_INCARNATION, MAX_INCARNATION = 16, 64
MOST = 1 << 40  # of anything, all latencies of a release together too: sums over all nodes stay below 2^53

# Upper bounds of the latency buckets in milliseconds, about the square root of two apart; one more is above the last.
_BOUNDS_MS = (
    *(1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096),
    *(5793, 8192, 11585, 16384, 23170, 32768, 46341, 65536, 131072, 262144, 524288),
)
BOUNDS = tuple(bound * 1000 for bound in _BOUNDS_MS)  # microseconds
BUCKETS = len(BOUNDS) + 1


@dataclass(frozen=True, slots=True)
class Tally:
    """So many of one sort, and so many of them bad."""

    total: int
    bad: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted: requests, those answered 5xx, how many took how long, and other things by their name.

    Requests that named the release while others were shared out are none of them but `other["named"]`: whoever decides
    which release is asked, decides what is counted of it. `latency[i]` counts what took at most `BOUNDS[i]`
    microseconds and longer than the bound before; the last, the rest.
    """

    requests: int
    failed: int
    latency: tuple[int, ...]
    other: Mapping[Name, Tally]

    @property
    def answers(self) -> Tally:
        """Count all requests, also those that named the release."""
        return _added(Tally(self.requests, self.failed), self.other.get(NAMED, _NONE))

    def __add__(self, more: "Counts") -> "Counts":
        """Count both together."""
        names = sorted({*self.other, *more.other})
        return Counts(
            self.requests + more.requests,
            self.failed + more.failed,
            tuple(one + other for one, other in zip(self.latency, more.latency, strict=True)),
            {name: _added(self.other.get(name, _NONE), more.other.get(name, _NONE)) for name in names},
        )


_NONE = Tally(0, 0)
NOTHING = Counts(0, 0, (0,) * BUCKETS, {})


@dataclass(frozen=True, slots=True)
class Counted:
    """Everything that a node counted of one release at one endpoint; `weight` is its share of new requests now."""

    endpoint: Endpoint
    release: Digest
    counts: Counts
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All counters of a node at one moment. `sequence` grows with each report; `at` is its own clock, for people."""

    type: ClassVar[str] = "traffic-report/v1"
    node: Name
    incarnation: str
    sequence: int
    at: datetime
    counted: tuple[Counted, ...]


def round_name(number: int) -> Name:
    """Name the counter of users who were judged for the first time, the second, …: those for whom a release failed."""
    return Name(f"users-{number}")


def sign_report(report: Report, signer: Signer) -> bytes:
    """Sign a report with the key of the node."""
    return dsse.sign(plain.encode(report), REPORT, [signer]).encode()


def open_report(document: bytes, find: Callable[[Name], Actor]) -> tuple[Report, Actor]:
    """Verify that the node which the report names has signed it; `find` says whose keys those are."""
    envelope = dsse.parse(document)
    if envelope.payload_type != REPORT:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {REPORT}")
    report = plain.decode(Report, envelope.payload)
    node = find(report.node)
    dsse.open_envelope(envelope, REPORT, node.keys)
    _check_form(report)
    return report, node


def check_counted(before: Counts, after: Counts) -> None:
    """Raise `VerificationError` if anything that was counted has become less: those are not the same counters."""
    shrunk = [name for name, was, now in _pairs(before, after) if now < was]
    if shrunk:
        raise VerificationError(f"counters went back within one incarnation: {shrunk[0]}")


def difference(before: Counts, after: Counts) -> Counts:
    """Say what was counted in between; raise `VerificationError` if the counters went back."""
    check_counted(before, after)
    other = {
        name: Tally(tally.total - was.total, tally.bad - was.bad)
        for name, tally in after.other.items()
        for was in [before.other.get(name, _NONE)]
    }
    latency = tuple(now - was for was, now in zip(before.latency, after.latency, strict=True))
    return Counts(after.requests - before.requests, after.failed - before.failed, latency, other)


def _added(one: Tally, other: Tally) -> Tally:
    return Tally(one.total + other.total, one.bad + other.bad)


def _pairs(before: Counts, after: Counts) -> Iterator[tuple[str, int, int]]:
    """Yield everything that both count: its name, what it was, what it is. What is named no more is 0 now."""
    yield "requests", before.requests, after.requests
    yield "failed", before.failed, after.failed
    for was, now in zip(before.latency, after.latency, strict=True):
        yield "latency", was, now
    for name, tally in before.other.items():
        later = after.other.get(name, _NONE)
        yield f"total of {name}", tally.total, later.total
        yield f"bad of {name}", tally.bad, later.bad


def _check_form(report: Report) -> None:
    if not MIN_INCARNATION <= len(report.incarnation) <= MAX_INCARNATION or not report.incarnation.isalnum():
        raise VerificationError(f"an incarnation is {MIN_INCARNATION} to {MAX_INCARNATION} letters and digits")
    if report.sequence < 0 or len(report.counted) > MAX_COUNTED:
        raise VerificationError(f"a report has a sequence from 0 on, and counts at most {MAX_COUNTED} releases")
    named = [(one.endpoint, one.release) for one in report.counted]
    if len(set(named)) != len(named):
        raise VerificationError("a release is counted twice at one endpoint")
    for one in report.counted:
        if one.weight is not None and not 0 <= one.weight <= 100:
            raise VerificationError(f"{one.release} at {one.endpoint} gets {one.weight} % of the requests")
        _check_counts(one.counts, f"{one.release} at {one.endpoint}")


def _check_counts(counts: Counts, of: str) -> None:
    if len(counts.latency) != BUCKETS or len(counts.other) > MAX_OTHER:
        raise VerificationError(f"{of} has not {BUCKETS} latency counts, or more than {MAX_OTHER} other ones")
    if min(counts.latency) < 0 or sum(counts.latency) > MOST:
        raise VerificationError(f"{of} has latency counts outside of 0 to {MOST}")
    for total, bad in (
        (counts.requests, counts.failed),
        *((tally.total, tally.bad) for tally in counts.other.values()),
    ):
        if not 0 <= bad <= total <= MOST:
            raise VerificationError(f"{of} counts {bad} bad ones of {total}")
