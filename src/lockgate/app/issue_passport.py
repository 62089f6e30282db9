"""What does an outsider need to judge a release? Its passport, put together from documents and log proofs."""

from dataclasses import replace
from functools import partial

from lockgate.app.installation import Installation
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.core.appearance import Appearances
from lockgate.core.change import Change, Content
from lockgate.core.decision import Decision, read_decision
from lockgate.core.endpoint import State, Suspended, check_rollout, check_serving
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import appearances_subject, change_subject, endpoint_subject, read_fact, release_subject
from lockgate.core.override import Overriding, read_overriding
from lockgate.core.passport import Case, Passport
from lockgate.core.proved import Logged
from lockgate.core.release import Record, open_manifest
from lockgate.core.sight import Seen, sight_of, sign_sight
from lockgate.core.slot import Slot
from lockgate.core.transfer import sign_export
from lockgate.core.trust import MANIFESTS, Purpose
from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag
from lockgate.tlog.checkpoint import parse_checkpoint
from lockgate.tlog.proof import LogProof
from lockgate.tlog.tiles import inclusion_proof

_PATIENCE = 10  # times that somebody may see another model while we read


def passport_for(installation: Installation, endpoint: Endpoint, *, candidate: bool = False) -> Passport:
    """Issue the passport of what should serve at `endpoint`, or of its candidate; raise `DeniedError` if none may."""
    state = installation.catalog.find(endpoint_subject(endpoint))
    if not isinstance(state, State):
        raise DeniedError(f"nothing was ever activated at {endpoint}")
    stable = check_serving(state)
    slot = check_rollout(state).candidate if candidate else stable
    installation.revocations([slot.release]).check_release(slot.release)
    record = recorded(installation, slot.tag)
    seen, note = _appearances(installation, endpoint), publish_checkpoint(installation)
    for _ in range(_PATIENCE):
        again = _appearances(installation, endpoint)
        if again == seen:  # so nothing was seen between, and the head holds all that was
            return _shown(installation, _passport(installation, record, note, (state, slot)), seen, note)
        seen, note = again, publish_checkpoint(installation)
    raise UnavailableError(f"provider models changed {_PATIENCE} times while the passport was written")


def _shown(installation: Installation, passport: Passport, seen: Appearances | None, note: str) -> Passport:
    """Add what was seen of provider models, if the policy wants that shown and none of it was forgotten."""
    case = passport.case
    assert case is not None
    content = case.content
    wanted = installation.policy().document.rules_for(content.endpoint).appearances
    if wanted is None or not passport.providers or (seen is not None and seen.forgotten):
        return passport
    decided = read_decision(case.decision.encode()).observed or ()
    now = (entry for one in (seen.of(content.release) if seen else ()) for entry in one.entries)
    entries = sorted({*decided, *now})
    head = parse_checkpoint(note.partition("\n\n")[0] + "\n")
    word = sign_sight(sight_of(content.endpoint, content.release, entries, head), installation.keys.vsa)
    shown = Seen(tuple(logged_at(installation, entry, note) for entry in entries), word)
    return replace(passport, case=replace(case, seen=shown))


def _appearances(installation: Installation, endpoint: Endpoint) -> Appearances | None:
    found = installation.catalog.find(appearances_subject(endpoint))
    return found if isinstance(found, Appearances) else None


def passport_of(installation: Installation, tag: Tag) -> Passport:
    """Issue the passport of a release, for no endpoint."""
    record = recorded(installation, tag)
    return passport_under(installation, record, publish_checkpoint(installation))


def passport_under(installation: Installation, record: Record, note: str) -> Passport:
    """Issue the passport of a release under a head of the log that is no older than the record."""
    return _passport(installation, record, note, None)


def export(installation: Installation, tag: Tag) -> Passport:
    """Issue the passport with which a release crosses to another environment."""
    record = recorded(installation, tag)
    installation.revocations([record.release]).check_release(record.release)
    keys = installation.trust().document.keys_for(Purpose.COMPONENT, record.registered_at, MANIFESTS)
    release = open_manifest(installation.catalog.document(record.manifest), keys)
    return sign_export(passport_of(installation, tag), release, installation.environment, installation.keys.export)


def proof_of_order(installation: Installation, order: Digest) -> Logged:
    """Prove that the log holds an order to suspend an endpoint, by the digest of its intent; raise if it does not."""
    receipt = installation.ledger.receipt(order)
    if receipt is None:
        raise DeniedError(f"no order {order} was recorded")
    logged = logged_at(installation, receipt.first, publish_checkpoint(installation))
    if not isinstance(read_fact(logged.entry.encode())[1], Suspended):
        raise DeniedError(f"{order} is no order to suspend an endpoint")
    return logged


def _passport(installation: Installation, record: Record, note: str, serving: tuple[State, Slot] | None) -> Passport:
    text = partial(_text, installation)
    evidence, trials = record.evidence, tuple(trial.number for trial in record.trials or ())
    if serving is not None:  # what came in later is not of its case
        decided = read_decision(text(serving[1].decision).encode())
        evidence, trials = (*decided.evidence, *(decided.passed_over or ())), decided.trials or ()
    return Passport(
        text(record.manifest),
        {name: text(digest) for name, digest in record.bundles.items()},
        tuple(text(digest) for digest in evidence),
        plain.decode(SignedIntent, text(record.registration).encode()),
        logged_at(installation, record.index, note),
        _case(installation, *serving, note) if serving else None,
        providers={name: text(digest) for name, digest in (record.providers or {}).items()} or None,
        trials=tuple(logged_at(installation, number, note) for number in trials) or None,
    )


def _case(installation: Installation, state: State, slot: Slot, note: str) -> Case:
    text = partial(_text, installation)
    change = installation.catalog.find(change_subject(slot.change))
    assert isinstance(change, Change)
    content = plain.decode(Content, text(change.content).encode())
    decided = read_decision(text(slot.decision).encode())
    order = state.rolled_back_by if slot == state.stable else None
    return Case(
        slot.change,
        content,
        plain.decode(SignedIntent, text(change.opening).encode()),
        tuple(plain.decode(SignedIntent, text(approval.approval).encode()) for approval in change.approvals),
        text(slot.decision),
        logged_at(installation, slot.index, note),
        plain.decode(SignedIntent, text(order).encode()) if order else None,
        logged_at(installation, slot.epoch, note) if order else None,
        strategy=text(content.strategy) if content.strategy else None,
        promoted=logged_at(installation, slot.promoted, note) if slot.promoted is not None else None,
        delegations=_delegations(installation, decided, change) or None,
        overrides=_overrides(installation, decided, change) or None,
        risk=text(content.risk) if content.risk else None,
        opened=logged_at(installation, change.number, note) if content.risk else None,
    )


def _overrides(installation: Installation, decided: Decision, change: Change) -> tuple[Overriding, ...]:
    """Return the overrides on which the decision rests."""
    used = {(one.by, one.until, one.because) for one in decided.aside or ()}
    given = [one for one in change.overrides or () if (one.by, one.expires, one.justification) in used]
    return tuple(read_overriding(one, installation.catalog.document) for one in given)


def _delegations(installation: Installation, decided: Decision, change: Change) -> tuple[SignedIntent, ...]:
    """Return the delegations on which the decision rests: what was recalled before counted no more."""
    used = decided.in_place or {}
    orders = [one.delegation for one in change.approvals if one.delegation and used.get(one.by) == one.in_place_of]
    return tuple(plain.decode(SignedIntent, _text(installation, order).encode()) for order in orders)


def recorded(installation: Installation, tag: Tag) -> Record:
    """Return what the log says of a release; raise `DeniedError` if it is not registered."""
    record = installation.catalog.find(release_subject(tag))
    if not isinstance(record, Record):
        raise DeniedError(f"{tag} is not registered here")
    return record


def logged_at(installation: Installation, index: int, note: str) -> Logged:
    """Prove under a head that the log holds entry `index`."""
    size = int(note.split("\n")[1])
    hashes = inclusion_proof(index, size, installation.history.tile)
    (entry,) = installation.history.entries(index, index + 1)
    return Logged(entry.decode(), LogProof(index, hashes, note).encode())


def _text(installation: Installation, digest: Digest) -> str:
    return installation.catalog.document(digest).decode()
