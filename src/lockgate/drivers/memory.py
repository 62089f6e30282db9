"""How does an installation live in memory? The whole ledger in one object, for tests and for trying things out.

It keeps the promises of the ports except durability: one act at a time, conditions checked before anything changes.
"""

import io
import secrets
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from lockgate.app.ports import Measured, Memo, Piece, Receipt, View
from lockgate.core.journal import Event, State, Subject, evolve, subject_of, write_fact
from lockgate.core.metadata import TIMESTAMP, check_place
from lockgate.core.presence import Presence, Voice, hear
from lockgate.core.report import Counted, Report, check_counted
from lockgate.core.wrap import NONCE, Kek, Wrap, destroyed, unwrap_key, wrap_key
from lockgate.errors import ConflictError, UnavailableError, VerificationError
from lockgate.formats import tuf
from lockgate.formats.cloudevent import CloudEvent, encode_entry
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Endpoint, Name
from lockgate.tlog.anchor import check_growth
from lockgate.tlog.checkpoint import Checkpoint, sign_checkpoint
from lockgate.tlog.merkle import EMPTY_ROOT, Hash, leaf_hash, tree_root
from lockgate.tlog.note import NoteSigner

_TILE = 256


class Memory:
    """A ledger, catalog, history, checkpoint book, and what controllers need, all in memory."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.log: list[bytes] = []
        self.hashes: list[Hash] = []
        self.states: dict[Subject, tuple[State, int, int]] = {}  # state, first and last leaf index
        self.documents: dict[Digest, bytes] = {}
        self.receipts: dict[Digest, Receipt] = {}
        self.notes: dict[int, tuple[str, Hash]] = {}
        self.last = datetime.min.replace(tzinfo=UTC)
        self.lock = threading.RLock()
        self.connections = 1  # a test may pretend that another one was made
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.gauges = _Gauges()
        self.spoken: dict[tuple[Name, str], Voice] = {}
        self.held: dict[str, tuple[str, int, datetime]] = {}  # by subject: holder, fence, until
        self.memos: dict[str, Memo] = {}

    def renewals(self) -> int:
        """Return how many connections there were (ports `Ledger`, `Reads`)."""
        return self.connections

    def view(self, subjects: Collection[Subject]) -> View:
        """Return states of one instant (port `Reads`)."""
        with self.lock:
            return View(len(self.log), tree_root(self.hashes), {each: self.find(each) for each in subjects})

    def transaction(self) -> AbstractContextManager["_Act"]:
        """Begin an act (port `Ledger`)."""
        return self._begin()

    def receipt(self, key: Digest) -> Receipt | None:
        """Return the receipt of an earlier append (port `Ledger`)."""
        return self.receipts.get(key)

    def find(self, subject: Subject) -> State | None:
        """Return what is true of `subject` (port `Catalog`)."""
        held = self.states.get(subject)
        return held[0] if held else None

    def listing(self, kind: str, *, prefix: str = "", after: str = "", limit: int = 100) -> Sequence[State]:
        """Return states of one kind (port `Catalog`)."""
        past = self.states.get(Subject(kind, after))
        found = [
            (first, state)
            for subject, (state, first, _) in self.states.items()
            if subject.kind == kind and subject.key.startswith(prefix) and (past is None or first > past[1])
        ]
        return [state for _, state in sorted(found, key=lambda item: item[0])[:limit]]

    def document(self, digest: Digest) -> bytes:
        """Return a kept document (port `Catalog`)."""
        found = self.documents.get(digest)
        if found is None:
            raise UnavailableError(f"document {digest} is not here")
        if Digest.of(found) != digest:
            raise VerificationError(f"document {digest} was altered")
        return found

    def size(self) -> int:
        """Return how many entries there are (port `History`)."""
        return len(self.log)

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield entries (port `History`)."""
        return iter(self.log[start:stop])

    def tile(self, level: int, n: int, width: int) -> bytes:
        """Return the first hashes of a tile (port `History`)."""
        span = _TILE**level
        first = n * _TILE
        roots = [tree_root(self.hashes[i * span : (i + 1) * span]) for i in range(first, first + width)]
        if (first + width) * span > len(self.hashes):
            raise UnavailableError(f"tile {level}/{n} has fewer than {width} hashes")
        return b"".join(roots)

    def root(self) -> tuple[int, Hash]:
        """Return size and root of the log (port `History`)."""
        return len(self.log), tree_root(self.hashes)

    def newest(self) -> str | None:
        """Return the largest checkpoint (port `Checkpoints`)."""
        return self.notes[max(self.notes)][0] if self.notes else None

    def publish(self, note: str, size: int, root: Hash) -> None:
        """Keep a checkpoint (port `Checkpoints`)."""
        held = self.notes.setdefault(size, (note, root))
        if held[1] != root:
            raise VerificationError(f"another root was published for size {size}")

    def root_of(self, size: int) -> Hash | None:
        """Return the root published for `size` (port `Checkpoints`)."""
        held = self.notes.get(size)
        return held[1] if held else None

    def take(self, report: Report, counted: Sequence[Counted]) -> int:
        """Keep what a node counted (port `Reports`)."""
        with self.lock:
            return self.gauges.take(report, counted, self.clock())

    def measured(self, endpoint: Endpoint) -> Sequence[Measured]:
        """List what nodes counted at an endpoint (port `Reports`)."""
        with self.lock:
            return self.gauges.measured(endpoint, self.clock())

    def attend(self, presence: Presence, at: datetime) -> bool:
        """Keep what a host says that runs there (port `Presences`)."""
        with self.lock:
            place = (presence.node, presence.speaker)
            found = hear(self.spoken.get(place), presence, at)
            self.spoken |= {place: found} if found else {}
            return found is not None

    def voices(self, endpoint: Endpoint) -> Sequence[Voice]:
        """List who spoke of an endpoint (port `Presences`)."""
        return [voice for _, voice in sorted(self.spoken.items()) if endpoint in voice.endpoints]

    def claim(self, subject: str, holder: str, seconds: float) -> int | None:
        """Take a subject for so long (port `Controllers`)."""
        with self.lock:
            now = self.clock()
            held, fence, until = self.held.get(subject, ("", 0, now))
            if until > now and held != holder:
                return None
            fence += until <= now
            self.held[subject] = holder, fence, now + timedelta(seconds=seconds)
            return fence

    def recall(self, subject: str) -> Memo | None:
        """Return what was remembered last (port `Controllers`)."""
        return self.memos.get(subject)

    def remember(self, subject: str, fence: int, document: bytes) -> None:
        """Remember something (port `Controllers`)."""
        with self.lock:
            if self.held.get(subject, ("", 0))[1] != fence:
                raise ConflictError(f"{subject} is looked after by somebody else by now: {fence} is not the fence")
            self.memos[subject] = Memo(fence, document)

    @contextmanager
    def _begin(self) -> Iterator["_Act"]:
        yield _Act(self)


class _Gauges:
    """The newest reports: two incarnations of each node, the older one first."""

    def __init__(self) -> None:
        self.nodes: dict[Name, dict[str, dict[tuple[Endpoint, Digest], tuple[int, Counted, datetime]]]] = {}

    def take(self, report: Report, counted: Sequence[Counted], now: datetime) -> int:
        held = self.nodes.get(report.node, {}).get(report.incarnation, {})
        if any(sequence >= report.sequence for sequence, _, _ in held.values()):
            return 0
        fresh = {(one.endpoint, one.release): (report.sequence, one, now) for one in counted}
        for place in held.keys() & fresh.keys():
            check_counted(held[place][1].counts, fresh[place][1].counts)
        if fresh:
            kept = self.nodes.setdefault(report.node, {})
            kept[report.incarnation] = held | fresh
            for old in list(kept)[:-2]:
                del kept[old]
        return len(fresh)

    def measured(self, endpoint: Endpoint, now: datetime) -> Sequence[Measured]:
        return [
            Measured(node, incarnation, sequence, counted, now - at)
            for node in sorted(self.nodes)
            for incarnation, held in self.nodes[node].items()
            for (where, _), (sequence, counted, at) in sorted(held.items(), key=lambda item: str(item[0][1]))
            if where == endpoint
        ]


class _Act:
    """One transaction on a `Memory`."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.read: dict[Subject, int] = {}
        self.kept: dict[Digest, bytes] = {}

    def load(self, subject: Subject) -> State | None:
        held = self.memory.states.get(subject)
        self.read.setdefault(subject, held[2] if held else -1)
        return held[0] if held else None

    def document(self, digest: Digest) -> bytes:
        kept = self.kept.get(digest)
        return kept if kept is not None else self.memory.document(digest)

    def keep(self, document: bytes) -> Digest:
        digest = Digest.of(document)
        self.kept[digest] = document
        return digest

    def append(self, events: Sequence[Event], *, actor: str, key: Digest, at: datetime) -> Receipt:
        memory = self.memory
        with memory.lock:
            if held := memory.receipts.get(key):
                return held
            self._check_reads()
            at, first = max(at, memory.last), len(memory.log)
            drafts = [self._draft(event, first + number, actor, key, at) for number, event in enumerate(events)]
            evolved = self._evolved(events, first, at)
            memory.documents.update(self.kept)
            memory.log += drafts
            memory.hashes += [leaf_hash(entry) for entry in drafts]
            memory.states |= evolved
            memory.last = at
            receipt = memory.receipts[key] = Receipt(first, len(memory.log))
            return receipt

    def _check_reads(self) -> None:
        for subject, version in self.read.items():
            held = self.memory.states.get(subject)
            if (held[2] if held else -1) != version:
                raise ConflictError(f"{subject} changed since it was read")

    def _draft(self, event: Event, index: int, actor: str, key: Digest, at: datetime) -> bytes:
        subject = str(subject_of(event, index))
        salt = secrets.token_hex(16)
        envelope = CloudEvent(str(uuid.uuid4()), self.memory.source, "", subject, at, actor, key, salt, {})
        return encode_entry(write_fact(event, envelope))

    def _evolved(self, events: Sequence[Event], first: int, at: datetime) -> dict[Subject, tuple[State, int, int]]:
        """Say what becomes of every object that the events are about, before anything is changed."""
        evolved: dict[Subject, tuple[State, int, int]] = {}
        for index, event in enumerate(events, first):
            subject = subject_of(event, index)
            held = evolved.get(subject) or self.memory.states.get(subject)
            state = evolve(held[0] if held else None, event, index, at)
            if state is not None:
                evolved[subject] = (state, held[1] if held else index, index)
        return evolved


class MemoryHeads:
    """A signer that remembers as long as it lives (port `Heads`)."""

    def __init__(self, origin: str, key: Signer) -> None:
        self.remembered = Checkpoint(origin, 0, EMPTY_ROOT)
        self.signer = NoteSigner.of(origin, key)
        self.down = False
        self.lock = threading.Lock()

    def last(self) -> str:
        """Return the largest head that was signed."""
        with self.lock:
            return self._signed()

    def sign(self, head: Checkpoint, proof: Sequence[Hash]) -> str:
        """Remember a head and sign it."""
        with self.lock:
            check_growth(self.remembered, head, proof)
            note = self._signed(head)
            self.remembered = head
            return note

    def _signed(self, head: Checkpoint | None = None) -> str:
        if self.down:
            raise UnavailableError("the signer does not answer")
        return sign_checkpoint(head or self.remembered, self.signer)


class MemoryBlobs:
    """Encrypted files by digest, in memory (port `Blobs`)."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.held: dict[Digest, dict[Kek, bytes]] = {}
        self.lock = threading.Lock()

    def put(self, pieces: Iterable[Piece], digest: Digest, wrap: Wrap, *, instead: Mapping[Kek, bytes]) -> None:
        """Store a file and its first wrap."""
        content = b"".join(bytes(piece) for piece in pieces)
        with self.lock:
            if self.wraps(digest) == instead:
                self.held[digest] = {wrap.kek: wrap.wrapped}
                self.blobs[digest] = content

    def open(self, digest: Digest) -> BinaryIO:
        """Open a file."""
        if digest not in self.blobs:
            raise UnavailableError(f"blob {digest} is not here")
        return io.BytesIO(self.blobs[digest])

    def wraps(self, digest: Digest) -> Mapping[Kek, bytes]:
        """Return the wraps of a file."""
        return dict(self.held[digest]) if digest in self.blobs else {}

    def add(self, digest: Digest, wrap: Wrap) -> None:
        """Add a wrap."""
        if digest not in self.blobs:
            raise UnavailableError(f"blob {digest} is not here")
        self.held[digest][wrap.kek] = wrap.wrapped


class MemoryVault:
    """Keys that encrypt data keys, in memory (port `Vault`)."""

    assurance = "none: these keys are in memory and end with the process"

    def __init__(self) -> None:
        self.keys: dict[Kek, bytes] = {}
        self.gone: set[Kek] = set()

    def wrap(self, kek: Kek, blob: Digest, key: bytes) -> Wrap:
        """Wrap a data key."""
        self._check_living(kek)
        return wrap_key(self.keys.setdefault(kek, secrets.token_bytes(32)), secrets.token_bytes(NONCE), kek, blob, key)

    def unwrap(self, wrap: Wrap, blob: Digest) -> bytes:
        """Unwrap a data key."""
        self._check_living(wrap.kek)
        if wrap.kek not in self.keys:
            raise UnavailableError(f"the vault has no key {wrap.kek}")
        return unwrap_key(self.keys[wrap.kek], wrap, blob)

    def destroy(self, kek: Kek) -> None:
        """Destroy a key."""
        self.gone.add(kek)
        self.keys.pop(kek, None)

    def _check_living(self, kek: Kek) -> None:
        if kek in self.gone:
            raise destroyed(kek)


class MemoryUpdates:
    """The files that hosts follow, in memory (port `Updates`)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def publish(self, files: Mapping[str, bytes], timestamp: bytes) -> bool:
        """Keep files, then the timestamp."""
        with self.lock:
            held = self.files.get(TIMESTAMP)
            if held is not None and _version(timestamp) <= _version(held):
                return False
            for place, content in files.items():
                if self.files.setdefault(check_place(place), content) != content:
                    raise VerificationError(f"{place} is there with other content")
            self.files[TIMESTAMP] = timestamp
            return True

    def read(self, name: str) -> bytes | None:
        """Return a file."""
        return self.files.get(check_place(name))


def _version(timestamp: bytes) -> int:
    return tuf.version(tuf.parse(timestamp).signed)
