"""What must nobody load any more, and whose signature counts for nothing? The deny-list: it only grows.

    lockgate revoke ──▶ the log ──▶ deny.json, signed and fresh ──▶ every host
                            └─────▶ no lease, no change, no rollback, from the same moment

What is revoked stays revoked: a list in which an entry is missing, or says something else, is refused. A release is
revoked with the directories that it is made of; a key with everything that it ever signed. Of a person who is
off-boarded nothing counts from then on, and what they did before goes on counting: no release falls because they leave.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import ClassVar, Literal

from lockgate.core.trust import Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Name, Tag

MAX_REVOCATIONS = 8 << 20  # bytes of a deny-list
MAX_REASON = 1000


@dataclass(frozen=True, slots=True)
class ReleaseRevoked:
    """Nobody may load this release any more."""

    type: ClassVar[str] = "release.revoked/v1"
    tag: Tag
    release: Digest
    components: tuple[Digest, ...]
    reason: str
    by: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class KeyRevoked:
    """Nothing that this key signed counts any more."""

    type: ClassVar[str] = "key.revoked/v1"
    environment: Name
    key: Digest
    reason: str
    by: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class Offboarded:
    """Somebody may do nothing any more; what they did before still counts."""

    type: ClassVar[str] = "person.offboarded/v1"
    environment: Name
    person: Name
    reason: str
    by: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of the deny-list: what was revoked, why, by whom, on which signed word, and where that is logged."""

    kind: ClassVar[str] = "revocation"
    of: Literal["release", "key", "person"]
    digest: Digest
    tag: Tag | None
    components: tuple[Digest, ...]
    reason: str
    by: Name
    order: Digest
    at: datetime
    index: int
    person: Name | None = None

    def __str__(self) -> str:
        """Say what is revoked or who is off-boarded, since when and why."""
        named = f"release {self.tag}" if self.of == "release" else f"key {self.digest.hex[:16]}…"
        said = f"{self.person} is off-boarded" if self.of == "person" else f"{named} is revoked"
        return f"{said} since {self.at} (entry {self.index}): {self.reason}"


@dataclass(frozen=True, slots=True)
class Revocations:
    """The deny-list of an environment, `revocations/v1` (spec/revocations.md), in the order of the log."""

    type: ClassVar[str] = "revocations/v1"
    environment: Name
    entries: tuple[Revocation, ...]

    @property
    def keys(self) -> frozenset[Digest]:
        """The ids of all revoked keys."""
        return frozenset(entry.digest for entry in self.entries if entry.of == "key")

    @property
    def left(self) -> Mapping[Name, datetime]:
        """Who is off-boarded, and since when."""
        return {entry.person: entry.at for entry in self.entries if entry.person is not None}

    def applied(self, trust: Trust) -> Trust:
        """Say what is left of a trust document: without revoked keys, and with an end for who is off-boarded."""
        return trust.without(self.keys).ending(self.left)

    def release(self, digest: Digest) -> Revocation | None:
        """Find the entry of a release."""
        return next((one for one in self.entries if one.of == "release" and one.digest == digest), None)

    def check_release(self, digest: Digest) -> None:
        """Raise `DeniedError` for a release that was revoked.

        Enforces: retirement_revocation
        """
        entry = self.release(digest)
        if entry is not None:
            raise DeniedError(str(entry))

    def check_key(self, key: PublicKey) -> None:
        """Raise `DeniedError` for a key that was revoked."""
        for entry in self.entries:
            if entry.of == "key" and entry.digest == key.key_id:
                raise DeniedError(str(entry))

    def check_component(self, dir_hash: Digest) -> None:
        """Raise `DeniedError` for a directory that is part of a revoked release."""
        for entry in self.entries:
            if dir_hash in entry.components:
                raise DeniedError(f"{dir_hash} is part of it, and {entry}")


def evolve(event: ReleaseRevoked | KeyRevoked | Offboarded, index: int, at: datetime) -> Revocation:
    """Say what the deny-list holds of a revocation."""
    if isinstance(event, ReleaseRevoked):
        about = (event.release, event.tag, event.components)
        return Revocation("release", *about, event.reason, event.by, event.order, at, index)
    if isinstance(event, Offboarded):
        named = _name_digest(event.person)
        return Revocation("person", named, None, (), event.reason, event.by, event.order, at, index, event.person)
    return Revocation("key", event.key, None, (), event.reason, event.by, event.order, at, index)


def list_revocations(environment: Name, entries: Iterable[Revocation]) -> Revocations:
    """Put revocations into the order of the log."""
    return Revocations(environment, tuple(sorted(entries, key=lambda entry: entry.index)))


@lru_cache(maxsize=2)  # the same bytes come every few minutes, and are long
def parse_revocations(data: bytes, environment: Name) -> Revocations:
    """Read the deny-list of `environment`; raise `VerificationError` for anything else."""
    found = plain.decode(Revocations, data, limit=MAX_REVOCATIONS)
    if plain.encode(found) != data:
        raise VerificationError("the deny-list is not canonical JSON")
    if found.environment != environment:
        raise VerificationError(f"the deny-list is of {found.environment}, not of {environment}")
    places = [entry.index for entry in found.entries]
    if places != sorted(set(places)) or any(place < 0 for place in places):
        raise VerificationError("the deny-list is not in the order of the log")
    if len({(entry.of, entry.digest) for entry in found.entries}) != len(places):
        raise VerificationError("the deny-list revokes something twice")
    for entry in found.entries:
        _check_named(entry)
    return found


def _check_named(entry: Revocation) -> None:
    """Raise `VerificationError` unless an entry names exactly what it is of."""
    if (entry.of == "release") != (entry.tag is not None):
        raise VerificationError("the deny-list names a release without its tag, or a key with one")
    if (entry.of == "person") != (entry.person is not None):
        raise VerificationError("the deny-list names a person without their name, or something else with one")
    if entry.person is not None and entry.digest != _name_digest(entry.person):
        raise VerificationError("the deny-list names a person by the digest of another name")


def check_grown(old: Revocations, new: Revocations) -> None:
    """Raise `VerificationError` unless `new` is `old` with entries added at its end.

    Enforces: retirement_revocation
    """
    for number, entry in enumerate(old.entries):
        if number >= len(new.entries) or new.entries[number] != entry:
            raise VerificationError(f"the deny-list has lost or changed an entry that was seen: {entry}")


def check_reason(reason: str) -> None:
    """Raise `VerificationError` for a reason that says nothing, or too much."""
    if not reason.strip() or len(reason) > MAX_REASON:
        raise VerificationError(f"a revocation has a reason, of at most {MAX_REASON} characters")


def _name_digest(person: Name) -> Digest:
    return Digest.of(str(person).encode())
