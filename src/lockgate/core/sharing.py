"""Do two releases side by side keep something together? What the programs of each have open, compared.

    release A: files, memory, connections ─┐
                                           ├─ the same one in both, and somebody writes there ──▶ Shared
    release B: files, memory, connections ─┘

Prompt caches, sessions, memories and indexes lie in files, in memory or in other systems. What a binding granted is not
meant: there each release has a login of its own. It is measurement: what was open when nobody looked is not found.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

Medium: TypeAlias = Literal["file", "connection"]
MAX_SHARED, LONGEST = 64, 200


@dataclass(frozen=True, slots=True)
class Open:
    """One thing that a program has open: `identity` is the same for the same thing, `name` is for people."""

    medium: Medium
    identity: str
    name: str
    writes: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What all programs of one release at an endpoint have open on a node.

    `granted` are the addresses that bindings led to. `whole` is false when something could not be looked at.
    """

    endpoint: Endpoint
    release: Digest
    opened: frozenset[Open]
    granted: frozenset[str]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Shared:
    """Two releases keep something together at an endpoint; `unseen` says that nobody could look at one of them."""

    endpoint: Endpoint
    releases: tuple[Digest, ...]
    medium: Literal["file", "connection", "unseen"]
    name: str


def shared(seen: Iterable[Seen]) -> Iterator[Shared]:
    """Say of every two releases at one endpoint what both have open, if one of them writes there.

    Enforces: isolated_parallel_versions
    """
    for one, other in combinations(sorted(seen, key=lambda each: (str(each.endpoint), str(each.release))), 2):
        if one.endpoint != other.endpoint or one.release == other.release:
            continue
        pair = (one.release, other.release)
        for name, medium in sorted(_together(one, other)):
            yield Shared(one.endpoint, pair, medium, name[:LONGEST])
        for each in (one, other):
            if not each.whole:
                yield Shared(each.endpoint, (each.release,), "unseen", "not all of its programs could be looked at")


def _together(one: Seen, other: Seen) -> set[tuple[str, Medium]]:
    mine, theirs = _by_identity(one), _by_identity(other)
    granted = one.granted | other.granted
    return {
        (min(each.name for each in (*mine[identity], *theirs[identity])), mine[identity][0].medium)
        for identity in mine.keys() & theirs.keys()
        if any(each.writes for each in (*mine[identity], *theirs[identity]))
        and not any(each.name in granted for each in mine[identity])
    }


def _by_identity(seen: Seen) -> Mapping[str, list[Open]]:
    found: dict[str, list[Open]] = {}
    for each in seen.opened:
        found.setdefault(each.identity, []).append(each)
    return found
