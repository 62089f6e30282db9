"""Runs as an agent knows them: `run(STABLE, weight=95)` serves, answers, and holds a lease."""

from dataclasses import dataclass
from datetime import timedelta

from lockgate.agent.holdings import Holding
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag
from lockgate.loader.lease_clock import NANOSECONDS, Held
from lockgate.loader.leasing import Claim
from tests.world import NOW, PROD

NOW_NS = 1000 * NANOSECONDS
OTHER = Endpoint.parse("prod/other")


@dataclass(frozen=True)
class Kind:
    tag: Tag
    release: Digest
    epoch: int
    endpoint: Endpoint = PROD
    port: int = 9001


STABLE = Kind(Tag.parse("magika@1.0.0"), Digest.of(b"stable"), 9)
CANDIDATE = Kind(Tag.parse("magika@1.1.0"), Digest.of(b"candidate"), 12, port=9101)


class Silent:
    """The way to a run that is told nothing."""

    def __init__(self, pid=1):
        self.pid, self.words = pid, []

    def push(self, word):
        self.words.append(word)


def run(kind, *, weight=100, candidate=None, later=0, port=None, since=0, grace=0):
    """Make a run whose lease was asked for a second ago, or `later` by so many tenths."""
    sent = NOW_NS - NANOSECONDS + later * NANOSECONDS // 10
    is_candidate = kind.tag == CANDIDATE.tag if candidate is None else candidate
    lease = Held(sent, sent + 10 * NANOSECONDS, sent + 30 * NANOSECONDS, weight, is_candidate)
    claim, began = Claim(kind.endpoint, kind.release, kind.epoch, 30), NOW + timedelta(seconds=since)
    found = Holding(claim, kind.tag, grace, Silent(), began, None, began, serving=True)
    found.held, found.port, found.answers = lease, port or kind.port, True
    return found
