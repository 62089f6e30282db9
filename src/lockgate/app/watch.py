"""Is the log in the database the one that was signed? Until it is, nothing is granted and nothing is signed.

    signer remembers 21 entries          the database shows …
                                         21 or more, and these are the first ──▶ go on
                                         fewer, or others: it was put back   ──▶ frozen, until it is right again

What is *known* is the largest head that the signer remembers, or that was proved to extend it. Whoever reads takes it
before, and compares afterwards. It is asked for anew when a connection to the database was made: nobody can put another
database in the place of this one without cutting the connections.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from lockgate.app.ports import Heads, Reads, Renewed
from lockgate.core.journal import Rulebook, Subject
from lockgate.errors import UnavailableError, VerificationError
from lockgate.tlog.anchor import check_growth
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from lockgate.tlog.merkle import Hash
from lockgate.tlog.note import NoteVerifier
from lockgate.tlog.tiles import consistency_proof

Hook = Callable[[str | None], None]

_log = logging.getLogger(__name__)
_PATIENCE = 8  # connections that may be made while we look
_SECONDS = 5.0  # to wait for who else is signing


class Watch:
    """What is known of the log from outside the database. Safe to use from many threads.

    `hooks` are told why the log was frozen, and None when it is not any more.
    """

    def __init__(
        self,
        heads: Heads,
        reads: Reads,
        ledger: Renewed,
        rulebook: Subject,
        verifiers: Callable[[Rulebook], Sequence[NoteVerifier]],
    ) -> None:
        self.hooks: list[Hook] = []
        self.frozen: str | None = None
        self.anchored = 0  # entries that the signer remembers, as far as we heard
        self._heads, self._reads, self._ledger = heads, reads, ledger
        self._rulebook, self._verifiers = rulebook, verifiers
        self._looking, self._signing, self._lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._known: Checkpoint | None = None
        self._sure: dict[bool, int] = {}

    def known(self, *, to_act: bool = False) -> Checkpoint:
        """Return the head that everything which is read from now on must extend; raise `UnavailableError` if frozen.

        It is for who reads through `reads`, or, `to_act`, through the ledger.
        """
        self._check_not_frozen()
        known = self._known
        if known is not None and self._sure.get(to_act) == self._renewals()[to_act]:
            return known
        return self.look()

    def check(self, known: Checkpoint, size: int, root: Hash) -> None:
        """Freeze the log, and raise `UnavailableError`, unless what was read extends what was known before."""
        if (size, root) == (known.size, known.root):
            return
        head = Checkpoint(known.origin, size, root)
        try:
            self.prove(known, head)
        except VerificationError as e:
            self._freeze(str(e))
        self._learn(head)

    def look(self) -> Checkpoint:
        """Compare the log with what the signer remembers: freeze it, or end its being frozen."""
        with self._looking:
            for _ in range(_PATIENCE):
                renewals = self._renewals()
                head = self._compared()
                if renewals == self._renewals():
                    self._settle(head, renewals)
                    return head
        raise UnavailableError("connections to the database come and go: the log cannot be compared")

    def prove(self, old: Checkpoint, new: Checkpoint) -> tuple[Hash, ...]:
        """Return the proof that `new` extends `old`; raise `VerificationError` if it does not."""
        if new.size < old.size:
            lost = f"the database has {new.size} entries, but {old.size} were signed or seen"
            raise VerificationError(f"{lost}: it was put back, or it lost some")
        proof = consistency_proof(old.size, new.size, self._reads.tile) if 0 < old.size < new.size else ()
        check_growth(old, new, proof)
        return proof

    @contextmanager
    def signing(self) -> Iterator[None]:
        """Be the only one here who has a head signed; raise `UnavailableError` if that takes too long."""
        if not self._signing.acquire(timeout=_SECONDS):
            raise UnavailableError(f"no head was signed within {_SECONDS:g} s")
        try:
            yield
        finally:
            self._signing.release()

    def _compared(self) -> Checkpoint:
        """Ask the signer first, then read the log: whoever reads later sees no less."""
        note, before = self._heads.last(), self._known
        view = self._reads.view([self._rulebook])
        rulebook = view.states.get(self._rulebook)
        try:
            last = self._opened(note, rulebook if isinstance(rulebook, Rulebook) else None)
            head = Checkpoint(last.origin, view.size, view.root)
            for old in (last, before):
                if old is not None:
                    self.prove(old, head)
        except VerificationError as e:
            self._freeze(str(e))
        self.anchored = last.size
        return head

    def _opened(self, note: str, rulebook: Rulebook | None) -> Checkpoint:
        """Read what the signer remembers. Before the first trust document nobody can say whose key it is."""
        if rulebook is not None:
            return open_checkpoint(note, self._verifiers(rulebook))
        return parse_checkpoint(note.partition("\n\n")[0] + "\n")

    def _learn(self, head: Checkpoint) -> None:
        with self._lock:
            if self._known is None or head.size > self._known.size:
                self._known = head

    def _settle(self, head: Checkpoint, renewals: dict[bool, int]) -> None:
        self._learn(head)
        self._sure = renewals
        if self.frozen is not None:
            self.frozen = None
            _log.warning("the log is no longer frozen: the database has what was signed")
            self._tell(None)

    def _freeze(self, reason: str) -> NoReturn:
        if self.frozen != reason:
            self.frozen = reason
            _log.warning("the log is frozen, nothing is granted and nothing is signed: %s", reason)
            self._tell(reason)
        raise _frozen(reason)

    def _tell(self, reason: str | None) -> None:
        for hook in self.hooks:
            hook(reason)

    def _check_not_frozen(self) -> None:
        reason = self.frozen
        if reason is not None:
            raise _frozen(reason)

    def _renewals(self) -> dict[bool, int]:
        return {False: self._reads.renewals(), True: self._ledger.renewals()}


def _frozen(reason: str) -> UnavailableError:
    return UnavailableError(f"the log is frozen: {reason}")
