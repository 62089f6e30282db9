"""Which tests may a policy ask for? Suites: versioned directories, known by their content.

A suite is a directory with a `suite.toml`; its identity is the dirHash of it, by the same function as that of a
component, and it comes from a Git commit. `NAME@X.Y.Z` is bound to one digest in the log, once, and never recycled. The
suites that come with Lockgate have reserved names; a result of `scan/NAME` is of a second scanner.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Version

SCAN = "scan"
RESERVED = frozenset({SCAN, "baseline", "reward-hacking"})
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_SECOND = re.compile(rf"scan/{NAME.pattern}")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_COMPARISON = re.compile(r"(>=|<=|>|<|=)([0-9.]{5,29})")


@dataclass(frozen=True, slots=True)
class Added:
    """A suite became known under its name and version, for good."""

    type: ClassVar[str] = "suite.added/v1"
    name: Name
    version: Version
    digest: Digest
    commit: str
    by: Name


@dataclass(frozen=True, slots=True)
class Suite:
    """What the log says of a version of a suite."""

    kind: ClassVar[str] = "suite"
    name: Name
    version: Version
    digest: Digest
    commit: str
    by: Name
    added_at: datetime
    index: int


def is_reserved(suite: str) -> bool:
    """Tell whether a suite comes with Lockgate, or is a second scanner."""
    return suite in RESERVED or _SECOND.fullmatch(suite) is not None


def check_suite(added: Added) -> None:
    """Raise `DeniedError` for a reserved name, `VerificationError` for what is no Git commit."""
    if is_reserved(str(added.name)):
        raise DeniedError(f"{added.name} is a suite of Lockgate itself: it is known without being added")
    if not _COMMIT.fullmatch(added.commit):
        raise VerificationError(f"not a Git commit (40 or 64 hexadecimal digits): {added.commit[:80]!a}")


def check_bound(known: Suite | None, digest: Digest) -> None:
    """Raise `DeniedError` for another content than the one that a suite was bound to; one that nobody added is free."""
    if known is not None and known.digest != digest:
        raise DeniedError(f"{known.name}@{known.version} is {known.digest}, not {digest}")


def is_within(version: Version, wanted: str) -> bool:
    """Tell whether a version keeps every comparison of a range like `>=1.2.0 <2.0.0`."""
    return all(_keeps(version, sign, limit) for sign, limit in _comparisons(wanted))


def check_range(wanted: str) -> None:
    """Raise `VerificationError` for what is no range of versions."""
    _comparisons(wanted)


def evolve(event: Added, index: int, at: datetime) -> Suite:
    """Say what the log knows of a version of a suite."""
    return Suite(event.name, event.version, event.digest, event.commit, event.by, at, index)


def _comparisons(wanted: str) -> Iterable[tuple[str, Version]]:
    found = [_COMPARISON.fullmatch(part) for part in wanted[:200].split(" ")]
    if len(wanted) > 200 or not all(found):
        raise VerificationError(f"not a range of versions like '>=1.2.0 <2.0.0': {wanted[:80]!a}")
    return [(match[1], Version.parse(match[2])) for match in found if match]


def _keeps(version: Version, sign: str, limit: Version) -> bool:
    return {
        ">=": version >= limit,
        "<=": version <= limit,
        ">": version > limit,
        "<": version < limit,
        "=": version == limit,
    }[sign]
