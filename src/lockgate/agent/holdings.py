"""What runs on this host, and on which lease? One holding for each run, and the way to tell it something."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from queue import SimpleQueue
from typing import Protocol

from lockgate.core.binding import Bound, Holder
from lockgate.core.passport import Admission, Passport
from lockgate.errors import DeniedError
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.loader.control import Access, Leased, Started, Stop, Word
from lockgate.loader.lease_clock import NANOSECONDS, RENEWALS_PER_LIFE, Held, latest, pause_seconds
from lockgate.loader.leasing import Claim, claim_of

_IDLE_SECONDS = 1.0


class Channel(Protocol):
    """The way to one run."""

    pid: int

    def push(self, word: Word) -> None:
        """Tell the run something, without waiting for it: whoever does not listen is hung up on."""


@dataclass(eq=False)
class Holding:
    """One run: what it may serve and why, for how long when nobody answers any more, and what it was told."""

    claim: Claim
    tag: Tag
    grace_seconds: int
    channel: Channel
    since: datetime
    passport: Passport
    judged_at: datetime
    edition: int | None = None  # of the rules that it was judged by last (`node.Node.edition`)
    serving: bool = False
    held: Held | None = None
    port: int | None = None
    answers: bool = False  # its model server does, at that port
    superseded: bool = False  # once and for all: another release took its place, and no lease of it is renewed
    bindings: Mapping[Name, Bound] | None = None  # what it may hold, once it was judged by this agent
    tools: tuple[str, ...] = ()  # of its contract, then
    told: dict[Name, Access] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def holder(self, node: Name) -> Holder:
        """Say as whom it holds its bindings, on this node."""
        return Holder(self.claim.endpoint, node, self.claim.release)

    def is_due(self, now_ns: int) -> bool:
        """Ask whether a lease is to be asked for."""
        return self.held is None or self.held.is_due(now_ns)

    def seconds_left(self, now_ns: int) -> int:
        """Say how long the model server may go on at the most, grace included, if nobody says anything any more."""
        if self.ended.is_set() or self.held is None:
            return 0
        return max(0, -(-(self.until_ns(self.held) - now_ns) // NANOSECONDS))

    def until_ns(self, lease: Held) -> int:
        """Say until when a lease lets it go on, grace included (CLOCK_BOOTTIME)."""
        return lease.deadline_ns + self.grace_seconds * NANOSECONDS


class Holdings:
    """All runs of this host. Safe to use from many threads.

    `changed` is set when something of it did; in `stopped` is what was stopped where, for whoever tells of it.
    """

    def __init__(self) -> None:
        self.changed = threading.Event()
        self.stopped: SimpleQueue[tuple[Endpoint, Sequence[Holding]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._all: list[Holding] = []

    def add(self, holding: Holding) -> None:
        """Take a run in; from now on it hears what is told to its endpoint."""
        with self._lock:
            self._all.append(holding)

    def remove(self, holding: Holding) -> None:
        """Forget a run."""
        with self._lock:
            self._all = [each for each in self._all if each is not holding]
        self.changed.set()

    def started(self, holding: Holding, happened: Started) -> None:
        """Take note that the model server of a run was started, and where it will answer."""
        holding.serving, holding.since, holding.port = True, happened.at, happened.port
        self.changed.set()

    def all(self) -> Sequence[Holding]:
        """List the runs."""
        with self._lock:
            return tuple(self._all)

    def lease(self, claim: Claim, lease: Held) -> None:
        """Hand a lease to every run that claims it, unless it was overtaken by a later one."""
        with self._lock:
            told = [each for each in self._all if each.claim == claim and not each.superseded]
            for holding in told:
                holding.held = latest(holding.held, lease) if holding.held else lease
        self.changed.set()
        for holding in told:
            holding.channel.push(Leased.of(lease))

    def supersede(self, claim: Claim, now_ns: int) -> None:
        """Let the runs of a claim finish what they have begun, on the lease that they hold, which is never renewed.

        Raises `DeniedError` if one of them holds none any more, or does not serve yet: then there is nothing to finish.
        """
        with self._lock:
            told = [each for each in self._all if each.claim == claim]
            for holding in told:
                if holding.held is None or now_ns >= holding.until_ns(holding.held) or not holding.serving:
                    raise DeniedError(f"{holding.tag} holds no lease to finish on")
                third_ns = (holding.held.deadline_ns - holding.held.sent_at_ns) // RENEWALS_PER_LIFE
                holding.held = replace(holding.held, renew_at_ns=now_ns + third_ns)  # to hear of a shutdown
                holding.superseded = True
        self.changed.set()

    def judged(self, holding: Holding, admission: Admission, edition: int) -> None:
        """Take note that a run was judged again, by the rules of `edition`; they may have shortened its leases."""
        with self._lock:
            holding.passport, holding.judged_at, holding.edition = admission.passport, admission.at, edition
            holding.claim, permit = claim_of(admission), admission.permit
            holding.tools, holding.bindings = permit.release.manifest.contract.tools, permit.rules.bindings or {}

    def stop(self, endpoint: Endpoint, stop: Stop, claim: Claim | None = None) -> Sequence[Holding]:
        """Stop every run at an endpoint (or those of one claim), and forget it; say which they were."""
        with self._lock:
            told = [each for each in self._all if each.claim.endpoint == endpoint and claim in (None, each.claim)]
            self._all = [each for each in self._all if each not in told]
        self.changed.set()
        if told:
            self.stopped.put((endpoint, told))
        for holding in told:
            holding.channel.push(stop)
        return told

    def pause(self, now_ns: int) -> float:
        """Say in how many seconds a lease is to be asked for, no more than a moment: a clock may jump meanwhile."""
        pauses = [pause_seconds(each.held, now_ns) if each.held else 0.0 for each in self.all()]
        return min([*pauses, _IDLE_SECONDS])
