"""Where does a signer keep what it remembers?

    HOME/keys/checkpoint.pem   the key, unless checkpoint.uri beside it says where it is; nobody else needs it
    HOME/anchor.json           the largest head that was signed; on the disk before the signature is given away
    HOME/signer.lock           held by the one process that signs

A memory that is missing is not begun anew: whoever forgot what they signed would sign anything.
"""

import fcntl
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.keys import PrivateKey, Signer
from lockgate.loader.whole_file import write_whole
from lockgate.tlog.anchor import Anchor, check_growth, empty_anchor
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lockgate.tlog.merkle import Hash
from lockgate.tlog.note import NoteSigner, NoteVerifier

_PULSE = 0.05


class AnchorFile:
    """Port `Heads`, kept in a folder. One for each folder: see `alone`."""

    def __init__(self, home: Path, key: Signer) -> None:
        self._path = home / "anchor.json"
        self._lock = threading.Lock()
        self._last = remembered(home)
        for left in home.glob(".anchor.json.*"):  # of a write that was cut off
            left.unlink(missing_ok=True)
        self._signer = NoteSigner.of(self._last.origin, key)

    def last(self) -> str:
        """Return the note of the largest head that was signed."""
        with self._lock:
            return sign_checkpoint(self._last, self._signer)

    def sign(self, head: Checkpoint, proof: Sequence[Hash]) -> str:
        """Remember a head, and then sign it."""
        with self._lock:
            check_growth(self._last, head, proof)
            if head != self._last:
                write_whole(self._path, plain.encode(Anchor.of(head)), 0o600)
                self._last = head
            return sign_checkpoint(head, self._signer)


def begin_memory(home: Path, origin: str) -> None:
    """Make the empty memory of a new signer, and its key, unless that lies elsewhere."""
    NoteVerifier(origin, bytes(32))  # an origin is the name of the key that signs checkpoints
    keys, memory = home / "keys", home / "anchor.json"
    try:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise UnavailableError(f"no signer can live in {home}: {e.strerror}") from e
    if not memory.exists():
        if (keys / "checkpoint.pem").exists():
            raise UnavailableError(f"{memory} is missing: the signer has forgotten what it signed")
        write_whole(memory, plain.encode(empty_anchor(origin)), 0o600)
    if not ((keys / "checkpoint.pem").exists() or (keys / "checkpoint.uri").exists()):
        write_whole(keys / "checkpoint.pem", PrivateKey.from_seed(secrets.token_bytes(32)).pem, 0o600)
    if (kept := remembered(home).origin) != origin:
        raise ConflictError(f"{home} signs for the log {kept}, not for {origin}")


def recall(home: Path, key: Signer, note: str) -> Checkpoint:
    """Give a signer that has forgotten everything the largest head that is known to bear its signature."""
    path = home / "anchor.json"
    if path.exists():
        raise ConflictError(f"{path} is there: a memory is never replaced")
    origin = note.partition("\n")[0]
    head = open_checkpoint(note, [NoteSigner.of(origin, key).verifier])
    write_whole(path, plain.encode(Anchor.of(head)), 0o600)
    return head


@contextmanager
def alone(home: Path, patience: float) -> Iterator[None]:
    """Be the only signer of this home; one that is just ending is waited for."""
    try:
        lock = os.open(home / "signer.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise UnavailableError(f"no signer can live in {home}: {e.strerror}") from e
    try:
        _take(lock, home, time.monotonic() + patience)
        yield
    finally:
        os.close(lock)


def _take(lock: int, home: Path, until: float) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            if time.monotonic() > until:
                raise ConflictError(f"another signer is at work in {home}") from e
            time.sleep(_PULSE)
        else:
            return


def remembered(home: Path) -> Checkpoint:
    """Read what a signer remembers; raise `UnavailableError` if it has forgotten."""
    path = home / "anchor.json"
    try:
        found = plain.decode(Anchor, path.read_bytes()).head
        check_growth(found, found, ())
    except FileNotFoundError as e:
        raise UnavailableError(f"{path} is missing: the signer has forgotten what it signed") from e
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e
    except VerificationError as e:
        raise VerificationError(f"{path} is damaged: {e}") from e
    return found
