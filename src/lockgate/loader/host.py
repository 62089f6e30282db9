"""What does a serving host hold of its own? A key, the root that it pins, and what it remembers.

    $LOCKGATE_HOME/host.toml      node = "host-1", server = "https://gate.example:8420", updates, tls_ca and more
                   keys/node.pem  the node's own key
                   root.json      who signs trust and policy: pinned when the host was installed
                   updates/       what it has learnt: trust, policy, deny-list (`loader.updates`)
                   seen.json      the largest log head, the newest rules and the newest state of each endpoint it knows

Trust, policy and what is revoked come from the server, from another address, or from a folder. None of them is asked
what to trust: the root that is pinned has signed it, it is fresh, and nothing older comes after it.
"""

import fcntl
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from lockgate.core.passport import Admission
from lockgate.core.policy import Policy
from lockgate.core.revocation import Revocations
from lockgate.core.trust import Agreed, Root, Trust
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PrivateKey, PublicKey, Signer
from lockgate.formats.names import Name
from lockgate.loader.connection import Connection
from lockgate.loader.feed import Feed, FolderFeed, HttpFeed
from lockgate.loader.tls import Tls
from lockgate.loader.updates import Update, recall, refresh
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint
from lockgate.tlog.merkle import Hash, verify_consistency
from lockgate.tlog.tiles import TilePath, consistency_proof

MEMORY = "updates"
BINDINGS = "bindings.toml"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a host remembers, so that nobody can take it back in time."""

    size: int
    root: Digest
    trust: int
    policy: int
    epochs: Mapping[str, int]
    candidates: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The key of the node is with its agent: here nothing is signed."""

    @property
    def public(self) -> PublicKey:
        """Raise `UnavailableError`: nobody has said which key it is."""
        raise UnavailableError("the key of this node is with its agent")

    def sign(self, message: bytes) -> bytes:
        """Raise `UnavailableError`."""
        del message
        raise UnavailableError("the key of this node is with its agent")


@dataclass(frozen=True, slots=True)
class Host:
    """A serving host: its own key, and the rules that it judges by."""

    home: Path
    node: Name
    server: str
    key: Signer
    update: Update
    tls: Tls | None = None

    @property
    def trust(self) -> Agreed[Trust]:
        """The trust in force, without the keys that were revoked since it was signed."""
        signed = self.update.trust
        return Agreed(self.update.revoked.applied(signed.document), signed.digest)

    @property
    def policy(self) -> Agreed[Policy]:
        """The policy in force."""
        return self.update.policy

    @property
    def revoked(self) -> Revocations:
        """What nobody may load, and whose signatures count for nothing."""
        return self.update.revoked

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Be the only one of this home who learns of a log head: two at once would forget the later one."""
        try:
            lock = os.open(self.home / "seen.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise UnavailableError(f"this host cannot remember what it sees: {e.filename}: {e.strerror}") from e
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def remember(self, admission: Admission, connection: Connection) -> None:
        """Take note of what was judged; raise `VerificationError` if it takes this host back in time.

        The log must have grown from the head that was seen, the endpoint must not stand at an earlier entry, and a
        later one must follow it: so a stolen server cannot bring back a release that was replaced, not even one that
        was once approved. A candidate comes after every stable release and every candidate that was seen there; that it
        was aborted nobody can see.
        """
        seen = _seen(self.home)
        endpoint, checkpoint = str(admission.permit.endpoint), admission.checkpoint
        trust, policy = self.trust.document.version, self.policy.document.version
        epochs, candidates = dict[str, int](), dict[str, int]()
        if seen is not None:
            _check_grown(seen, checkpoint, connection)
            trust, policy = max(trust, seen.trust), max(policy, seen.policy)
            epochs, candidates = dict(seen.epochs), dict(seen.candidates or {})
        known = epochs.get(endpoint, -1)
        if admission.candidate:
            known = max(known, candidates.get(endpoint, -1))
            _check_new(admission, epochs.get(endpoint, -1))
        _check_next(admission, known)
        (candidates if admission.candidate else epochs)[endpoint] = admission.epoch
        root = Digest(checkpoint.root.hex())
        _write(self.home / "seen.json", Seen(checkpoint.size, root, trust, policy, epochs, candidates))

    def seen_size(self) -> int:
        """Say how large the log was that this host has seen."""
        seen = _seen(self.home)
        return seen.size if seen else 0

    def look(self, connection: Connection, now: datetime) -> int:
        """Learn the newest signed head; raise `VerificationError` for one that does not extend what was seen.

        A head that is older than the one seen says nothing: it may come out of a cache.
        """
        checkpoint = open_checkpoint(connection.fetch("/log/checkpoint"), self.trust.document.log_verifiers(now))
        with self.looking():
            seen = _seen(self.home)
            if seen is not None and checkpoint.size < seen.size:
                return seen.size
            if seen is not None:
                _check_grown(seen, checkpoint, connection)
            if checkpoint.size > 0:
                root = Digest(checkpoint.root.hex())
                known = seen or Seen(0, root, self.trust.document.version, self.policy.document.version, {})
                _write(self.home / "seen.json", replace(known, size=checkpoint.size, root=root))
            return checkpoint.size


def open_host(home: Path, now: datetime, *, keyless: bool = False, asking: bool = True) -> Host:
    """Read what the host holds, learn what is in force now, and verify it from its pinned root down.

    `keyless` leaves the key to the agent of this host; without `asking` it is taken from memory what is in force.
    """
    settings = _settings(home)
    try:
        key = Elsewhere() if keyless else PrivateKey.from_pem((home / "keys" / "node.pem").read_bytes())
    except OSError as e:
        raise UnavailableError(f"this is no serving host yet: {e.filename}: {e.strerror}") from e
    node, server = Name(str(settings.get("node"))), _server(home, settings)
    update = learn(home, now) if asking else recall(home / MEMORY, _pinned(home), now)
    seen = _seen(home)
    if seen and (update.trust.document.version < seen.trust or update.policy.document.version < seen.policy):
        raise VerificationError("the trust or policy document is older than one that this host judged by before")
    return Host(home, node, server, key, update, _tls(home, settings))


def learn(home: Path, now: datetime) -> Update:
    """Learn what is in force now from where the host is fed, under the root that it pins."""
    settings = _settings(home)
    where = settings.get("updates", f"{_server(home, settings)}/tuf")
    return refresh(home / MEMORY, _pinned(home), feed_of(where, _tls(home, settings)), now)


def _pinned(home: Path) -> Root:
    try:
        return plain.decode(Root, (home / "root.json").read_bytes())
    except OSError as e:
        raise UnavailableError(f"this host pins no root: {e.filename}: {e.strerror}") from e


def _settings(home: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads((home / "host.toml").read_text())
    except OSError as e:
        raise UnavailableError(f"this is no serving host yet: {e.filename}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise VerificationError(f"{home / 'host.toml'} is not TOML: {e}") from e


def _server(home: Path, settings: Mapping[str, object]) -> str:
    server = settings.get("server")
    if not isinstance(server, str) or not server.startswith(("http://", "https://")):
        raise VerificationError(f"{home / 'host.toml'}: server is no address like https://gate.example:8420")
    return server.rstrip("/")


def feed_of(where: object, tls: Tls | None = None) -> Feed:
    """Say where updates come from: an address or a folder."""
    if not isinstance(where, str):
        raise VerificationError("updates is neither an address nor a folder")
    if where.startswith(("http://", "https://")):
        return HttpFeed(where.rstrip("/"), tls)
    return FolderFeed(Path(where))


def _tls(home: Path, settings: Mapping[str, object]) -> Tls | None:
    """Read which files TLS takes; a relative name is one in `home`."""
    named = {name: settings[name] for name in ("tls_certificate", "tls_key", "tls_ca") if name in settings}
    if not named:
        return None
    paths: dict[str, Path] = {}
    for name, found in named.items():
        if not isinstance(found, str):
            raise VerificationError(f"{home / 'host.toml'}: {name} is no file name")
        paths[name] = home / found
    return Tls(paths.get("tls_certificate"), paths.get("tls_key"), paths.get("tls_ca"))


def _seen(home: Path) -> Seen | None:
    try:
        return plain.decode(Seen, (home / "seen.json").read_bytes())
    except FileNotFoundError:
        return None
    except OSError as e:
        raise UnavailableError(f"this host cannot read what it has seen: {e.filename}: {e.strerror}") from e


def _check_grown(seen: Seen, checkpoint: Checkpoint, connection: Connection) -> None:
    if checkpoint.size < seen.size:
        raise VerificationError(
            f"the log has {checkpoint.size} entries; this host has seen {seen.size}: it was set back"
        )

    def tile(level: int, n: int, width: int) -> bytes:
        return connection.fetch("/log/" + TilePath(level, n, width).encode())

    proof = consistency_proof(seen.size, checkpoint.size, tile)
    verify_consistency(seen.size, checkpoint.size, proof, Hash(seen.root.raw), checkpoint.root)


def _check_new(candidate: Admission, stable: int) -> None:
    """Raise `VerificationError` for a candidate that is, or is older than, the stable release of entry `stable`."""
    if candidate.epoch <= stable:
        what = f"the candidate at {candidate.permit.endpoint} is of entry {candidate.epoch}"
        raise VerificationError(f"{what}; this host has seen entry {stable}")


def _check_next(admission: Admission, held: int) -> None:
    """Raise `VerificationError` for a state that is earlier than `held`, or does not follow it."""
    endpoint, epoch, follows = admission.permit.endpoint, admission.epoch, admission.follows
    if epoch < held:
        raise VerificationError(f"{endpoint} stands at entry {epoch}; this host has seen entry {held}")
    if epoch > held and follows is not None and follows < held:
        raise VerificationError(
            f"{endpoint} stands at entry {epoch}, by a change of what it was at entry {follows}; this host has seen "
            f"entry {held} since, so that change was over"
        )


def _write(path: Path, value: object) -> None:
    """Replace a file, so that a crash leaves the old one or the new one."""
    draft = path.with_suffix(".tmp")
    try:
        with draft.open("wb") as stream:
            stream.write(plain.encode(value))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as e:
        raise UnavailableError(f"this host cannot remember what it sees: {path}: {e.strerror}") from e
