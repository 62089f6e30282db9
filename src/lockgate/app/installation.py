"""What is an installation made of, and by which rules does it judge now? One installation is one environment."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from lockgate.app.ports import (
    Blobs,
    Catalog,
    Checkpoints,
    Controllers,
    Heads,
    History,
    Ledger,
    Presences,
    Reads,
    Receipt,
    Reports,
    Transaction,
    Updates,
    Vault,
)
from lockgate.app.watch import Watch
from lockgate.core.intent import Said, SignedIntent, open_intent
from lockgate.core.journal import Rulebook, revocation_subject, rulebook_subject
from lockgate.core.policy import POLICY, Policy
from lockgate.core.revocation import Revocation, Revocations, list_revocations
from lockgate.core.rights import TOWARDS_SAFETY, check_right
from lockgate.core.rollout import Rollout
from lockgate.core.strategy import Strategy
from lockgate.core.suite import Suite
from lockgate.core.traffic import tells_callers_apart
from lockgate.core.trust import TRUST, Agreed, Directory, Trust, open_agreed
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import Signer
from lockgate.formats.names import Name

_ALL = 100_000


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that an installation signs with. One purpose each."""

    vsa: Signer
    lease: Signer
    export: Signer
    updates: Signer


@dataclass(frozen=True, slots=True)
class Installation:
    """One environment: its log, its stores, its keys."""

    environment: Name
    ledger: Ledger
    catalog: Catalog
    history: History
    checkpoints: Checkpoints
    blobs: Blobs
    keys: Keys
    vault: Vault = field(kw_only=True)
    updates: Updates = field(kw_only=True)
    _agreed: dict[tuple[Digest, ...], Agreed[Trust] | Agreed[Policy]] = field(default_factory=dict)
    _sticky: dict[Digest, str | None] = field(default_factory=dict)
    heads: Heads = field(kw_only=True)
    reads: Reads = field(kw_only=True)
    reports: Reports = field(kw_only=True)
    presences: Presences = field(kw_only=True)
    controllers: Controllers = field(kw_only=True)
    watch: Watch = field(init=False, compare=False)
    directory: Directory = field(default_factory=Directory, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        watch = Watch(
            self.heads,
            self.reads,
            self.ledger,
            rulebook_subject(self.environment),
            lambda rulebook: self.written_trust_of(rulebook).document.log_verifiers(),  # also of heads of before
        )
        object.__setattr__(self, "watch", watch)

    def trust(self, tx: Transaction | None = None) -> Agreed[Trust]:
        """Return the trust in force, without the keys that were revoked since it was signed."""
        return self.trust_of(self.rulebook(tx))

    def written_trust(self, tx: Transaction | None = None) -> Agreed[Trust]:
        """Return the trust document in force, as it was signed; raise `UnavailableError` before the first one."""
        return self.written_trust_of(self.rulebook(tx))

    def policy(self, tx: Transaction | None = None) -> Agreed[Policy]:
        """Return the policy in force; raise `DeniedError` before the first one is adopted."""
        return self.policy_of(self.rulebook(tx))

    def trust_of(self, rulebook: Rulebook) -> Agreed[Trust]:
        """Return the trust of a rulebook, without the keys that it says are revoked."""
        written = self.written_trust_of(rulebook)
        place = (rulebook.trust_envelope, *(entry.digest for entry in rulebook.revoked))
        if place not in self._agreed:
            revoked = list_revocations(self.environment, rulebook.revoked)
            self._agreed[place] = Agreed(revoked.applied(written.document), written.digest)
        found = self._agreed[place].document
        assert isinstance(found, Trust)
        return Agreed(found, written.digest)

    def written_trust_of(self, rulebook: Rulebook) -> Agreed[Trust]:
        """Return the trust document of a rulebook, as it was signed."""
        place = (rulebook.trust_envelope,)
        found = self._agreed.get(place)
        if found is None:
            document = self.catalog.document(rulebook.trust_envelope)
            claimed = plain.decode(Trust, dsse.parse(document).payload)
            found = self._agreed[place] = open_agreed(Trust, document, TRUST, claimed.root)
        assert isinstance(found.document, Trust)
        return Agreed(found.document, found.digest)

    def policy_of(self, rulebook: Rulebook) -> Agreed[Policy]:
        """Return the policy of a rulebook; raise `DeniedError` if it has none yet."""
        if rulebook.policy_envelope is None:
            raise DeniedError(f"{self.environment} has no policy yet, so nothing may serve there")
        place = (rulebook.policy_envelope, rulebook.trust_envelope)
        found = self._agreed.get(place)
        if found is None:
            document = self.catalog.document(rulebook.policy_envelope)
            root = self.written_trust_of(rulebook).document.root
            found = self._agreed[place] = open_agreed(Policy, document, POLICY, root)
        assert isinstance(found.document, Policy)
        return Agreed(found.document, found.digest)

    def sticky_by(self, rollout: Rollout | None) -> str | None:
        """Say by which header callers stay with a release during a rollout; one that cannot be read is none.

        It is only a wish: no lease is refused because of it.
        """
        if rollout is None:
            return None
        if rollout.strategy not in self._sticky:
            document = self.catalog.document(rollout.strategy)
            self._sticky[rollout.strategy] = _sticky_by(document)
        return self._sticky[rollout.strategy]

    def revocations(self, releases: Iterable[Digest], tx: Transaction | None = None) -> Revocations:
        """Return what the deny-list says of keys, and of these releases."""
        find = tx.load if tx else self.catalog.find
        found = [find(revocation_subject(release)) for release in sorted(set(releases))]
        listed = [entry for entry in found if isinstance(entry, Revocation)]
        return list_revocations(self.environment, [*self.rulebook(tx).revoked, *listed])

    def suites(self) -> frozenset[str]:
        """Name the suites that were added."""
        return frozenset(str(one.name) for one in self.catalog.listing("suite", limit=_ALL) if isinstance(one, Suite))

    def done(self, signed: SignedIntent, act: str) -> Receipt | None:
        """Return the receipt of an intent that was carried out before, so that saying it twice does it once."""
        if signed.intent.act != act:
            raise VerificationError(f"the intent says {signed.intent.act[:64]!a}, this is {act}")
        return self.ledger.receipt(signed.intent.digest)

    def hear(self, signed: SignedIntent, act: str, now: datetime, tx: Transaction) -> Said:
        """Verify who speaks, that they have the right to `act`, and that they saw our log; else raise."""
        said = open_intent(signed, self.trust(tx).document, now)
        if said.intent.act != act:
            raise VerificationError(f"the intent says {said.intent.act[:64]!a}, this is {act}")
        check_right(act, said.actor.roles, said.actor.name)
        if act in TOWARDS_SAFETY:
            return said
        self.watch.known(to_act=True)  # nothing is decided on a log that was put back
        head = said.intent.head
        if head is not None and head.size > 0 and self.checkpoints.root_of(head.size) != head.root.raw:
            raise VerificationError(f"{said.actor.name} saw a log head of size {head.size} that this log never had")
        return said

    def rulebook(self, tx: Transaction | None = None) -> Rulebook:
        """Say which documents are in force; raise `UnavailableError` before the first ones are adopted."""
        subject = rulebook_subject(self.environment)
        found = tx.load(subject) if tx else self.catalog.find(subject)
        if not isinstance(found, Rulebook):
            raise UnavailableError(f"{self.environment} has no trust document yet: adopt one first")
        return found


def _sticky_by(strategy: bytes) -> str | None:
    try:
        header = plain.decode(Strategy, strategy).sticky_by
    except VerificationError:  # written by another version
        return None
    return header if header is not None and tells_callers_apart(header) else None
