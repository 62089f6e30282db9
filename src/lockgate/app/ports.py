"""What do the use cases need from the world? Each port in the words of its user, with what it must promise."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol, TypeAlias

from lockgate.core.binding import Found, Holder, Seen
from lockgate.core.journal import Event, State, Subject
from lockgate.core.notice import Notice
from lockgate.core.presence import Presence, Voice
from lockgate.core.report import Counted, Report
from lockgate.core.traffic import Counting, Cut, Traffic
from lockgate.core.wrap import Kek, Wrap
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from lockgate.tlog.checkpoint import Checkpoint
from lockgate.tlog.merkle import Hash

Piece: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where the log holds what was appended: leaf indexes `first` up to, not including, `stop`.

    `anchored` tells whether the signer remembers it, outside the database; None where nobody asked.
    """

    first: int
    stop: int
    anchored: bool | None = None


class Transaction(Protocol):
    """One act: what it read, and at most one append. Leaving it by an exception changes nothing."""

    def load(self, subject: Subject) -> State | None:
        """Return what is true of `subject`. `append` fails with `ConflictError` if it changed in the meantime."""

    def document(self, digest: Digest) -> bytes:
        """Return a kept document; raise `UnavailableError` if it is lost, `VerificationError` if it was altered."""

    def keep(self, document: bytes) -> Digest:
        """Keep a document for good, if this transaction appends. Keeping it twice is keeping it once."""

    def append(self, events: Sequence[Event], *, actor: str, key: Digest, at: datetime) -> Receipt:
        """Append events and what follows from them, durably, once for each `key`; all or nothing.

        Entries get the time `at`, or that of the last entry if the clock went back. Raises `ConflictError` if anything
        that was loaded has changed, and `UnavailableError` if the log cannot be written.
        """


class Renewed(Protocol):
    """Something that reaches the database over connections."""

    def renewals(self) -> int:
        """Return how many connections were made so far: a new one may lead to another database."""


class Ledger(Renewed, Protocol):
    """The log of changes and the state that follows from it. Serialisable: acts behave as if one ran at a time."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin an act."""

    def receipt(self, key: Digest) -> Receipt | None:
        """Return the receipt of the append with this `key`, if there was one."""


class Catalog(Protocol):
    """What is true now, read without the intention to change it. Never behind an acknowledged append."""

    def find(self, subject: Subject) -> State | None:
        """Return what is true of `subject`."""

    def listing(self, kind: str, *, prefix: str = "", after: str = "", limit: int = 100) -> Sequence[State]:
        """Return states of one kind whose key begins with `prefix`, in order of their first entry, past key `after`."""

    def document(self, digest: Digest) -> bytes:
        """Return a kept document; raise `UnavailableError` if it is lost, `VerificationError` if it was altered."""


class History(Protocol):
    """The entries of the log and its Merkle tiles."""

    def size(self) -> int:
        """Return how many entries the log has."""

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries from leaf index `start` up to, not including, `stop`."""

    def tile(self, level: int, n: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile (C2SP tlog-tiles, height 8)."""

    def root(self) -> tuple[int, Hash]:
        """Return the size and the root hash of the log, read together."""


@dataclass(frozen=True, slots=True)
class View:
    """What was true in one instant: the head of the log, and states; None of what never began."""

    size: int
    root: Hash
    states: Mapping[Subject, State | None]


class Reads(Renewed, Protocol):
    """What leases are answered from, over connections of their own. Never behind an acknowledged append."""

    def view(self, subjects: Collection[Subject]) -> View:
        """Return the states of `subjects`, and maybe of others, in an instant after the call."""

    def tile(self, level: int, n: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile, as `History` does."""


class Checkpoints(Protocol):
    """The signed heads of the log. Insert-only, durable."""

    def newest(self) -> str | None:
        """Return the note of the largest checkpoint."""

    def publish(self, note: str, size: int, root: Hash) -> None:
        """Keep a checkpoint. A second one of the same size and root changes nothing; another root is refused."""

    def root_of(self, size: int) -> Hash | None:
        """Return the root that was published for `size`."""


class Updates(Protocol):
    """The static files that hosts follow (spec/updates.md). Each is whole or absent; all but one never change."""

    def publish(self, files: Mapping[str, bytes], timestamp: bytes) -> bool:
        """Write `files` durably, then `timestamp.json`, which makes them known; tell whether it did.

        A timestamp that is no newer than the one that lies there changes nothing, so that whoever computed an older
        state undoes nothing. Raises `VerificationError` for a file that is there with other content, and
        `UnavailableError` if the files cannot be written.
        """

    def read(self, name: str) -> bytes | None:
        """Return a file, None if it is not there."""


class Heads(Protocol):
    """Who signs the heads of the log, and remembers outside the database how far it got."""

    def last(self) -> str:
        """Return the note of the largest head that was signed, of the empty tree if none was.

        Raises `UnavailableError` if nobody answers.
        """

    def sign(self, head: Checkpoint, proof: Sequence[Hash]) -> str:
        """Remember a head durably, and return its note; `proof` shows that it extends `last` (RFC 6962 §2.1.2).

        Raises `ConflictError` for a smaller head, `VerificationError` for one that does not extend the last one. To
        sign a head again is no change.
        """


class Blobs(Protocol):
    """Encrypted files, by the SHA-256 of what they hold, with the wraps of their data keys. Whole or absent.

    A file that is there stays as it is, for as long as anybody can open it.
    """

    def put(self, pieces: Iterable[Piece], digest: Digest, wrap: Wrap, *, instead: Mapping[Kek, bytes]) -> None:
        """Store an encrypted file and its first wrap, durably, if the wraps that are there are `instead`.

        `instead` is empty for a file that is not there. If the wraps are others by now, somebody was faster, and what
        they stored stays. What `pieces` raises is raised, and then nothing changed.
        """

    def open(self, digest: Digest) -> BinaryIO:
        """Open a file as it is, encrypted; raise `UnavailableError` if it is not there."""

    def wraps(self, digest: Digest) -> Mapping[Kek, bytes]:
        """Return the wraps of the file's data key; none if the file is not there whole."""

    def add(self, digest: Digest, wrap: Wrap) -> None:
        """Add a wrap durably, in place of one under the same key; raise `UnavailableError` if the file is not there."""


class Vault(Protocol):
    """Keys that encrypt data keys, by their label. They lie outside of database and store, and never leave."""

    @property
    def assurance(self) -> str:
        """How well these keys are kept, and what destroying one is worth: a sentence for people."""

    def wrap(self, kek: Kek, blob: Digest, key: bytes) -> Wrap:
        """Wrap the data key of a file; a key that never was is made first, durably.

        Raises `DeniedError` for a key that was destroyed, `UnavailableError` if the vault does not answer.
        """

    def unwrap(self, wrap: Wrap, blob: Digest) -> bytes:
        """Return the data key of a file.

        Raises `VerificationError` if it is no wrap by its key for this file, `DeniedError` if its key was destroyed,
        and `UnavailableError` if the vault does not answer, or has no such key.
        """

    def destroy(self, kek: Kek) -> None:
        """Destroy a key durably and for good; it is never made again. Destroying it twice is destroying it once."""


class Channel(Protocol):
    """One address at which somebody wants to be told."""

    @property
    def name(self) -> str:
        """Which one it is: the same each time, and nothing secret."""

    def tell(self, notice: Notice) -> None:
        """Return when the address has taken it; raise `UnavailableError` if it has not, or did not say so in a minute.

        What was raised for may have arrived all the same.
        """


@dataclass(frozen=True, slots=True)
class Measured:
    """The newest that a node said of a release at an endpoint, in one incarnation, and how long ago that was."""

    node: Name
    incarnation: str
    sequence: int
    counted: Counted
    age: timedelta


class Reports(Protocol):
    """What nodes counted: measurement, not history. Of each node the newest incarnations are kept, for a while."""

    def take(self, report: Report, counted: Sequence[Counted]) -> int:
        """Keep `counted`, of what a report says, in place of what the node said before; return how many that were.

        A report that is no newer than one of its incarnation changes nothing. Raises `VerificationError`, and changes
        nothing, if counters went back within an incarnation.
        """

    def measured(self, endpoint: Endpoint) -> Sequence[Measured]:
        """List what is kept about an endpoint, by node and incarnation; the newest incarnation of a node is last."""


class Presences(Protocol):
    """What hosts without a gateway said last of what runs there: measurement, not history. For two days at least."""

    def attend(self, presence: Presence, at: datetime) -> bool:
        """Keep what follows from a word that was heard now (`core.presence.hear`); tell whether it was news."""

    def voices(self, endpoint: Endpoint) -> Sequence[Voice]:
        """List the voices of those at whose nodes something runs at an endpoint, or did."""


@dataclass(frozen=True, slots=True)
class Memo:
    """What the holder with `fence` remembered of a subject."""

    fence: int
    document: bytes


class Controllers(Protocol):
    """Who looks after a subject, one at a time, by the clock of the database; and what they remember of it."""

    def claim(self, subject: str, holder: str, seconds: float) -> int | None:
        """Take a subject for so long, or longer if `holder` has it; return the fence, None while another holds it.

        The fence grows whenever the subject was free before, so that it tells a former holder from the one of now.
        """

    def recall(self, subject: str) -> Memo | None:
        """Return what was remembered last."""

    def remember(self, subject: str, fence: int, document: bytes) -> None:
        """Remember something durably in place of what was; raise `ConflictError` unless `fence` is that of now."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A value that another system measured, as it wrote it, and what it is about."""

    labels: Mapping[str, str]
    value: str


class Measurements(Protocol):
    """Another system that measures. Whom to ask is said by the settings, what to ask by whoever asks."""

    def ask(self, query: str, seconds: float) -> Sequence[Sample]:
        """Return what a query gives now, within so many seconds, or fewer.

        Raises `UnavailableError` if nobody answers in time, `VerificationError` for an answer that is none.
        """


class Gateway(Protocol):
    """What stands between callers and the model servers of an endpoint. One owner; any of its threads."""

    @property
    def fail_closed(self) -> bool:
        """Whether it was seen to end everything by itself when nobody tells it to go on."""

    def show(self, traffic: Sequence[Traffic], *, fence: int) -> None:
        """Let exactly this be so: all endpoints, all releases. Return when it is; to show it again is no change.

        What is no longer shown is cut off; a release that shall end what it began is shown as `finishing` for so long.
        Each route ends at its `until_ns`, whatever happens. Raises `ConflictError` for a smaller `fence` than was shown
        before, or one that is not greater than that of a cut, and `UnavailableError` if it is not so yet: it may become
        so all the same.
        """

    def cut(self, endpoint: Endpoint, *, fence: int) -> Cut:
        """End all that is under way at an endpoint, and let nothing begin until a greater `fence` shows it again.

        Waits for no `show`. Return when it is so; raise `UnavailableError` if nobody confirms it: it may be so.
        """

    def counts(self) -> Counting:
        """Return what every release has answered so far; raise `UnavailableError` if nobody can tell.

        Nothing goes back within an incarnation. What was answered in the last moment before a release was no longer
        shown, or before the gateway broke down, may never be counted.
        """

    def close(self) -> None:
        """Cut everything and end. Closing twice is closing once."""


class Binding(Protocol):
    """A system that an endpoint may hold: who gets in, with what, and for how long. Any threads; bounded time.

    Each call ends within a few seconds. What it raises never holds a secret.
    """

    def grant(self, holder: Holder, until: datetime, tools: Sequence[str] = ()) -> Mapping[str, Json]:
        """Let a holder in until then, or longer than before; return what its model server needs to get in.

        Where tools are called: these, which the contract of its release lists, and no others.
        The same as long as it is not cut; after a cut, another secret. Raises `UnavailableError` if it may not be so.
        """

    def cut(self, endpoint: Endpoint, holder: Holder | None = None) -> None:
        """Let nobody of an endpoint in any more, or not this holder; end what is open. Twice is once.

        Without a `holder` it is everybody, those of other hosts and of former agents too. Returns when the other system
        says that it is so; raises `UnavailableError` if it does not.
        """

    def probe(self, endpoint: Endpoint, holder: Holder | None = None) -> Found:
        """Try to get in as the holder would, by another way than `cut` went; `shut` only if nobody gets in.

        Raises `UnavailableError` if nobody can tell.
        """

    def observed(self, endpoint: Endpoint) -> Seen:
        """Return what is open now; raise `UnavailableError` if nobody can tell."""

    def close(self) -> None:
        """Let go of connections; what was granted stays granted. Closing twice is closing once."""
