"""By which trust and policy does this host judge now, what is revoked, and until when may it believe that?

    pinned root ──▶ root, timestamp, snapshot, targets, revocations      python-tuf: signed, fresh, never older
                         └──▶ trust ──▶ policy ──▶ deny-list             our own: each signed document, verified again

    MEMORY/bootstrap.json                   the first metadata of the pinned root
           root_history/  timestamp.json …  what python-tuf has seen, so that nothing older comes after it
           trust.json  policy.json          the signed documents that were judged by last
           deny.json                        the deny-list: an entry that was seen is never missing again

What comes from the feed is believed for what its signatures say, never for where it comes from.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tuf.api._payload import TargetFile
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from lockgate.core.metadata import (
    DENY_FILE,
    POLICY_FILE,
    TIMESTAMP,
    TRUST_FILE,
    Carried,
    check_carried,
    check_pinned,
    signed_place,
    target_place,
)
from lockgate.core.policy import POLICY, Policy, open_policy
from lockgate.core.revocation import MAX_REVOCATIONS, Revocations, check_grown, parse_revocations
from lockgate.core.trust import TRUST, Agreed, Root, Trust, open_agreed, open_trust
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import canonical, dsse, plain, tuf
from lockgate.formats.digest import Digest
from lockgate.loader.feed import Feed, read_whole
from lockgate.loader.whole_file import sync_all, write_whole

T = TypeVar("T")
MAX_ROOTS = 256
_BASE = "feed:/"
_BOOTSTRAP = "bootstrap.json"
_READINGS, _READ_AGAIN_SECONDS = 3, 0.2
_LIMITS = UpdaterConfig(
    max_root_rotations=MAX_ROOTS,
    max_delegations=2,
    root_max_length=tuf.MAX_METADATA,
    timestamp_max_length=16_384,
    snapshot_max_length=65_536,
    targets_max_length=tuf.MAX_METADATA,
)
_WHAT_TO_DO = "is the server up, is the clock right, was the folder fed lately?"

logging.getLogger("tuf").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Update:
    """What a host judges by: trust and policy as they were signed, what is revoked, and until when that is fresh."""

    trust: Agreed[Trust]
    policy: Agreed[Policy]
    revoked: Revocations
    fresh_until: datetime

    def says_the_same(self, other: "Update") -> bool:
        """Ask whether both say the same of what is in force and what is revoked, whenever that was learnt."""
        documents = self.trust.digest, self.policy.digest, self.revoked
        return documents == (other.trust.digest, other.policy.digest, other.revoked)

    def check_fresh(self, now: datetime) -> None:
        """Raise `UnavailableError` when this may be out of date: then nothing is judged by it."""
        if self.fresh_until <= now:
            raise UnavailableError(f"what this host knows was fresh until {self.fresh_until}: {_WHAT_TO_DO}")


def refresh(memory: Path, pinned: Root, feed: Feed, now: datetime) -> Update:
    """Learn from `feed` what is in force, and remember it in `memory`; raise unless all of it is signed and fresh.

    Enforces: verified_loading, retirement_revocation
    """
    with _alone(memory), explained():
        before = _stamps(memory)
        updater = walk(memory, _bootstrap(memory, pinned, feed), feed)
        found = {name: _target(updater, name) for name in (TRUST_FILE, POLICY_FILE, DENY_FILE)}
        _keep_durably(memory, before)
        trust, policy = _documents(memory, feed, found, now)
        revoked = _deny_list(memory, feed, found[DENY_FILE], trust.document)
        fresh_until = tuf.expiry(tuf.parse((memory / TIMESTAMP).read_bytes()).signed)
        update = Update(trust, policy, revoked, fresh_until)
        update.check_fresh(now)
        return update


def walk(memory: Path, bootstrap: bytes, feed: Feed) -> Updater:
    """Follow the client workflow of TUF (§5.3 – §5.6) from root metadata that is trusted already."""
    updater = Updater(str(memory), _BASE, fetcher=_Fetcher(feed), config=_LIMITS, bootstrap=bootstrap)
    updater.refresh()
    return updater


def recall(memory: Path, pinned: Root, now: datetime) -> Update:
    """Return what was learnt last, asking nobody: for whoever stops things, and for runs beside an agent that learns.

    It may be out of date; whoever loads by it calls `Update.check_fresh`. Another process may be learning meanwhile, so
    files that do not fit together are read again a moment later.
    """
    for _ in range(_READINGS):
        with suppress(VerificationError):
            return _recalled(memory, pinned, now)
        time.sleep(_READ_AGAIN_SECONDS)
    return _recalled(memory, pinned, now)


def _recalled(memory: Path, pinned: Root, now: datetime) -> Update:
    with explained():
        try:
            documents = [
                (memory / name).read_bytes() for name in (TRUST_FILE, POLICY_FILE, "root.json", "targets.json")
            ]
            denied = (memory / DENY_FILE).read_bytes()
            check_pinned(tuf.parse((memory / _BOOTSTRAP).read_bytes()), pinned)
            fresh_until = tuf.expiry(tuf.parse((memory / TIMESTAMP).read_bytes()).signed)
        except FileNotFoundError as e:
            raise UnavailableError(f"this host has not learnt yet what is in force: {_WHAT_TO_DO}") from e
    root = _open_claimed(documents[0]).document.root
    trust, policy = open_trust(documents[0], root, now), open_policy(documents[1], root, now)
    check_carried(Carried(*documents), trust.document, policy.document, root)
    return Update(trust, policy, parse_revocations(denied, trust.document.environment), fresh_until)


def _documents(
    memory: Path, feed: Feed, pinned: Mapping[str, TargetFile], now: datetime
) -> tuple[Agreed[Trust], Agreed[Policy]]:
    """Verify the documents once more, by themselves: the metadata must be exactly what follows from them."""
    opened = _signed(memory, feed, TRUST_FILE, pinned, _open_claimed)
    root = opened.document.root
    ruled = _signed(memory, feed, POLICY_FILE, pinned, lambda document: open_agreed(Policy, document, POLICY, root))
    envelopes = [(memory / name).read_bytes() for name in (TRUST_FILE, POLICY_FILE, "root.json", "targets.json")]
    check_carried(Carried(*envelopes), opened.document, ruled.document, root)
    return open_trust(envelopes[0], root, now), open_policy(envelopes[1], root, now)


def _open_claimed(document: bytes) -> Agreed[Trust]:
    """Open a trust document by the root that it names itself: whether that is the one in force, the metadata says."""
    return open_agreed(Trust, document, TRUST, plain.decode(Trust, dsse.parse(document).payload).root)


def _bootstrap(memory: Path, pinned: Root, feed: Feed) -> bytes:
    """Return root metadata of the pinned root; the first one there is, so that every change since is followed."""
    kept = memory / _BOOTSTRAP
    if kept.exists():
        content = kept.read_bytes()
        try:
            check_pinned(tuf.parse(content), pinned)
            return content
        except VerificationError:
            kept.unlink()  # another root was pinned since
    if read_whole(feed, TIMESTAMP, tuf.MAX_METADATA) is None:
        raise UnavailableError(f"there is no {TIMESTAMP} where this host is fed from: is it the right place?")
    why = "no root metadata is there"
    for number in range(1, MAX_ROOTS + 1):
        root = read_whole(feed, f"{number}.root.json", tuf.MAX_METADATA)
        if root is None:
            continue
        try:
            check_pinned(tuf.parse(root), pinned)
        except VerificationError as e:
            why = str(e)
            continue
        write_whole(kept, root)
        return root
    raise VerificationError(f"the root that this host has pinned signed nothing there: {why}")


def _target(updater: Updater, name: str) -> TargetFile:
    found = updater.get_targetinfo(name)
    if found is None:
        raise UnavailableError(f"no {name} is published yet, so nothing can be judged")
    if list(found.hashes) != ["sha256"]:
        raise VerificationError(f"{name} is not pinned by its SHA-256")
    return found


def _signed(
    memory: Path, feed: Feed, name: str, pinned: Mapping[str, TargetFile], opened: Callable[[bytes], Agreed[T]]
) -> Agreed[T]:
    """Return a document whose content the metadata pins: the one that is kept, else from the feed, then it is kept.

    One that is kept may be signed by a root that is no longer in force.
    """
    wanted, kept = Digest(pinned[name].hashes["sha256"]), memory / name
    with suppress(FileNotFoundError, VerificationError):
        held = opened(kept.read_bytes())
        if held.digest == wanted:
            return held
    envelope = read_whole(feed, signed_place(name, wanted), canonical.MAX_BYTES)
    if envelope is None:
        raise UnavailableError(f"the signed {name} is not there, though it is listed")
    found = opened(envelope)
    if found.digest != wanted:
        raise VerificationError(f"the signed {name} is not the one that is listed")
    write_whole(kept, envelope)
    return found


def _deny_list(memory: Path, feed: Feed, pinned: TargetFile, trust: Trust) -> Revocations:
    """Return the deny-list, which must hold every entry of the one that is kept."""
    wanted, kept = Digest(pinned.hashes["sha256"]), memory / DENY_FILE
    held = kept.read_bytes() if kept.exists() else None
    if held is not None and Digest.of(held) == wanted:
        return parse_revocations(held, trust.environment)
    if pinned.length > MAX_REVOCATIONS:
        raise VerificationError(f"the deny-list has {pinned.length} bytes, more than {MAX_REVOCATIONS}")
    content = read_whole(feed, target_place(DENY_FILE, wanted), pinned.length)
    if content is None:
        raise UnavailableError("the deny-list is not there, though it is listed")
    if Digest.of(content) != wanted:
        raise VerificationError("the deny-list is not the one that is listed")
    revoked = parse_revocations(content, trust.environment)
    if held is not None:
        check_grown(parse_revocations(held, trust.environment), revoked)
    write_whole(kept, content)
    return revoked


class _Fetcher(FetcherInterface):
    """Reads from a feed for python-tuf, which bounds the size of what it reads."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def _fetch(self, url: str) -> Iterator[bytes]:
        place = url.removeprefix(_BASE)
        pieces = self._feed.stream(place)
        if pieces is None:
            raise DownloadHTTPError(f"{place} is not there", 404)
        return pieces


@contextmanager
def _alone(memory: Path) -> Iterator[None]:
    """Be the only one who learns here: python-tuf keeps its files for one process at a time."""
    try:
        memory.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(memory / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise UnavailableError(f"this host cannot remember what it learns: {e.filename}: {e.strerror}") from e
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def explained() -> Iterator[None]:
    """Say in our words what python-tuf found."""
    try:
        yield
    except ExpiredMetadataError as e:
        raise UnavailableError(f"what this host can learn is out of date ({e}): {_WHAT_TO_DO}") from e
    except RepositoryError as e:
        raise VerificationError(f"the metadata is not what it claims: {e}") from e
    except DownloadLengthMismatchError as e:
        raise VerificationError(f"a file is longer than it may be: {e}") from e
    except DownloadError as e:
        raise UnavailableError(f"what is in force cannot be learnt: {e}") from e.__cause__ or e
    except OSError as e:
        raise UnavailableError(f"this host cannot remember what it learns: {e.filename}: {e.strerror}") from e


def _stamps(memory: Path) -> dict[Path, tuple[int, int]]:
    """Note which files lie in the memory, and which state of them."""
    found = {path: path.stat() for path in (*memory.glob("[!.]*.json"), *memory.glob("root_history/*.json"))}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def _keep_durably(memory: Path, before: Mapping[Path, tuple[int, int]]) -> None:
    """Have what python-tuf wrote survive a crash before anybody acts on it."""
    written = [path for path, stamp in _stamps(memory).items() if before.get(path) != stamp]
    for path in written:
        path.chmod(0o644)  # all of it is public, and runs of another user read it beside their agent
    if written:
        sync_all([*written, memory, memory / "root_history"])
