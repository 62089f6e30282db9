"""Which rules does the installation judge by? Those that a threshold of offline keys signed, version after version.

Trust, policy and the metadata that carries them come together and are adopted together, or not at all.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lockgate.app.authorize import Coming, authorize
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.core.change import Closed
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import Event, Rulebook, rulebook_subject
from lockgate.core.metadata import Carried, check_carried
from lockgate.core.policy import Policy, PolicyAdopted, check_suites, open_policy
from lockgate.core.proposal import check_changeable
from lockgate.core.revocation import Revocations
from lockgate.core.trust import Agreed, Purpose, Root, Trust, TrustAdopted, open_trust
from lockgate.errors import ConflictError, DeniedError
from lockgate.formats import plain
from lockgate.formats.digest import Digest


@dataclass(frozen=True, slots=True)
class Rules:
    """Documents whose signatures were verified, and the metadata that follows from them."""

    carried: Carried
    trust: Agreed[Trust]
    policy: Agreed[Policy] | None


def open_rules(carried: Carried, root: Root, now: datetime) -> Rules:
    """Verify what a ceremony made: signed by a threshold of `root`, and by that of the root that it names."""
    trust = open_trust(carried.trust, root, now)
    policy = open_policy(carried.policy, trust.document.root, now) if carried.policy is not None else None
    check_carried(carried, trust.document, policy.document if policy else None, root)
    return Rules(carried, trust, policy)


def found(installation: Installation, carried: Carried, root: Root, now: datetime) -> Receipt:
    """Adopt the first rules of a new installation, signed by the root that its founder names."""
    rules = open_rules(carried, root, now)
    _check_left(rules, Revocations(installation.environment, ()), now)
    _check_known(rules, ())
    with installation.ledger.transaction() as tx:
        if tx.load(rulebook_subject(installation.environment)) is not None:
            raise ConflictError(f"{installation.environment} has a trust document already")
        events = _events(installation, rules, None, tx)
        return tx.append(events, actor="founder", key=Digest.of(carried.trust), at=now)


def adopt_rules(
    installation: Installation, carried: Carried, changes: Sequence[int], signed: SignedIntent, now: datetime
) -> Receipt:
    """Adopt the next trust document, the next policy, or both.

    They are signed by the threshold of the root in force, and each carries out one of `changes`, which other people
    have approved. Before the first policy there is nobody who could.
    """
    if done := installation.done(signed, "rules.adopt"):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, "rules.adopt", now, tx)
        held = installation.rulebook(tx)
        trust = installation.written_trust(tx)
        rules = open_rules(carried, trust.document.root, now)
        after = Digest.of(carried.targets)
        check_intent(said, "rules.adopt", installation.environment, before=held.targets, after=after)
        _check_continuity(trust.document, rules, held)
        _check_left(rules, installation.revocations([], tx), now)
        _check_known(rules, installation.suites())
        adopted = _events(installation, rules, held, tx)
        coming = _coming(rules, held)
        approved = authorize(installation, coming, changes, now, tx) if held.policy is not None else {}
        events: list[Event] = [replace(event, change=approved.get(event.digest)) for event in adopted]
        events += [Closed(number, "succeeded") for number in sorted(approved.values())]
        return tx.append(events, actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _coming(rules: Rules, held: Rulebook) -> Coming:
    """Say which documents are other than those in force; a policy that only got more signatures is not."""
    trust = rules.trust if rules.trust.digest != held.trust else None
    policy = rules.policy if rules.policy is not None and rules.policy.digest != held.policy else None
    envelopes = {rules.trust.digest: rules.carried.trust}
    if rules.policy is not None and rules.carried.policy is not None:
        envelopes[rules.policy.digest] = rules.carried.policy
    return Coming(trust, policy, envelopes)


def _events(
    installation: Installation, rules: Rules, held: Rulebook | None, tx: Transaction
) -> list[TrustAdopted | PolicyAdopted]:
    """Say what changes; raise `DeniedError` if nothing does, or if it is not the next version."""
    events: list[TrustAdopted | PolicyAdopted] = []
    carried, trust, policy = rules.carried, rules.trust, rules.policy
    targets = tx.keep(carried.targets)
    if held is None or trust.digest != held.trust:
        version = trust.document.version
        _check_next(installation, trust.document.environment, version, held.trust_version if held else 0)
        root, envelope = tx.keep(carried.root), tx.keep(carried.trust)
        tx.keep(plain.encode(trust.document))  # by what it says, so that the next one can be compared with it
        events.append(TrustAdopted(installation.environment, version, trust.digest, envelope, None, root, targets))
    if policy is not None and (held is None or Digest.of(carried.policy or b"") != held.policy_envelope):
        signed_again = held is not None and policy.digest == held.policy
        before = held.policy_version - signed_again if held else 0
        _check_next(installation, policy.document.environment, policy.document.version, before)
        envelope = tx.keep(carried.policy or b"")
        tx.keep(plain.encode(policy.document))
        version = policy.document.version
        events.append(PolicyAdopted(installation.environment, version, policy.digest, envelope, None, targets))
    if not events:
        raise DeniedError("these rules are in force already")
    return events


def _check_continuity(held: Trust, rules: Rules, rulebook: Rulebook) -> None:
    """Raise `DeniedError` if the rules would be of another log, lose the policy, or bring back a revoked key.

    One that signed heads of the log may stay, so that they can be read; nobody believes new ones.
    """
    trust = rules.trust.document
    if trust.origin != held.origin:
        raise DeniedError(f"the document is for log {trust.origin[:80]!a}; this log is {held.origin}, for good")
    if rules.policy is None and rulebook.policy is not None:
        raise DeniedError("the policy in force would be lost: propose both documents together")
    if rules.trust.digest != rulebook.trust:
        back = replace(trust, signers=tuple(one for one in trust.signers if one.purpose is not Purpose.CHECKPOINT))
        reasons = [str(entry) for entry in rulebook.revoked if back.without([entry.digest]) != back]
        if reasons:
            raise DeniedError(*reasons)


def _check_left(rules: Rules, revoked: Revocations, now: datetime) -> None:
    """Raise `DeniedError` for rules that too few people, of those who are not taken out, are left to change again."""
    if rules.policy is not None:
        check_changeable(revoked.applied(rules.trust.document), rules.policy.document, now)


def _check_known(rules: Rules, added: Collection[str]) -> None:
    """Raise `DeniedError` for a policy that asks for a suite that nobody knows."""
    if rules.policy is not None:
        check_suites(rules.policy.document, added)


def _check_next(installation: Installation, environment: object, version: int, held: int) -> None:
    if environment != installation.environment:
        raise DeniedError(f"the document is for {environment}, this installation is {installation.environment}")
    if version != held + 1:
        raise DeniedError(f"the document is version {version}, the next one is {held + 1}")
