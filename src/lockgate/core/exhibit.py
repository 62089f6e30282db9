"""What can an outsider be shown of what people said about a release? Their own words, as in-toto statements.

    approval, override, opening of an emergency, review ──▶ statement about the release, with a predicate of ours
                          ├ word       the bytes that the person signed, and their signature over them
                          ├ documents  everything that the word names by digest
                          └ logged     the entry of the log that took it in, proved under a signed head

Nobody signs again in a person's name: an exhibit needs no signature of its own, for everything in it is proved by what
is in it. Somebody may carry it in an envelope, and vouches then for nothing but that (spec/exhibit.md).
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias, assert_never

from lockgate.core.approval import APPROVE, Ballot, Voice, open_approval
from lockgate.core.change import Approved, Content, Opened
from lockgate.core.concession import REVIEW, Reviewed
from lockgate.core.decision import open_summary
from lockgate.core.emergency import EMERGENCY, Review
from lockgate.core.evidence import Provenance, TestRun, open_held, subject_of
from lockgate.core.intent import (
    INTENT,
    NAMESPACE,
    Intent,
    KeyProof,
    Proof,
    Said,
    SignedIntent,
    SshProof,
    attribute_intent,
    check_intent,
)
from lockgate.core.override import OVERRIDE, Overridden, Override
from lockgate.core.passport import Passport
from lockgate.core.proved import Logged, Proved, open_logged
from lockgate.core.release import Registered, Release, open_manifest
from lockgate.core.rights import Role, check_right
from lockgate.core.trust import MANIFESTS, Purpose, Trust
from lockgate.core.writing import open_writing
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from lockgate.formats.statement import (
    PROVENANCE,
    TEST_RESULT,
    VERIFICATION_SUMMARY,
    Statement,
    Subject,
    parse_statement,
)
from lockgate.tlog.checkpoint import Checkpoint

Worded: TypeAlias = Approved | Overridden | Opened | Reviewed

_HOME = "https://lockgate.invalid"
APPROVAL, OVERRIDDEN = f"{_HOME}/approval/v1", f"{_HOME}/override/v1"
RISK_ASSESSMENT, REVIEWED = f"{_HOME}/risk-assessment/v1", f"{_HOME}/review/v1"
EXHIBITS: Mapping[str, type[Worded]] = {
    APPROVAL: Approved,
    OVERRIDDEN: Overridden,
    RISK_ASSESSMENT: Opened,
    REVIEWED: Reviewed,
}
_NAMED: Mapping[type[Worded], tuple[str, ...]] = {
    Approved: (),
    Overridden: ("override", "justification"),
    Opened: ("risk",),
    Reviewed: ("review", "report"),
}


@dataclass(frozen=True, slots=True)
class DsseWord:
    """An intent in the DSSE envelope that its author signed, as JSON text."""

    type: ClassVar[str] = "dsse"
    envelope: str


@dataclass(frozen=True, slots=True)
class SshWord:
    """An intent (`message`, the text that was signed) and the armored SSHSIG over it."""

    type: ClassVar[str] = "sshsig"
    message: str
    namespace: str
    signature: str


Word: TypeAlias = DsseWord | SshWord


@dataclass(frozen=True, slots=True)
class Exhibit:
    """The predicate: who said what about which change, as it was received. Nothing in it is checked."""

    by: Name
    change: int
    word: Word
    documents: Mapping[str, str]
    logged: Logged


@dataclass(frozen=True, slots=True)
class Statements:
    """Everything that was signed about a release, as it was received: nothing in it is checked.

    The passport has what is signed in in-toto's form by itself; `decisions` are summaries of the gate, `exhibits` the
    words of people.
    """

    passport: Passport
    decisions: tuple[str, ...]
    exhibits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A statement that was verified: of which type, by whom (a name, or the fingerprint of a key), and what it says."""

    predicate_type: str
    by: str
    says: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What statements are held against: a release that the log is proved to know, by whose trust, when, which head."""

    release: Release
    trust: Trust
    now: datetime
    head: Checkpoint


@dataclass(frozen=True, slots=True)
class _Case:
    """One exhibit on its way to be believed."""

    change: int
    content: Content
    documents: Mapping[str, str]
    signed: SignedIntent

    @property
    def subject(self) -> str:
        """Name the change as its words do."""
        return f"change/{self.change}"


def word_of(signed: SignedIntent, key_id: str = "") -> Word:
    """Write a word so that whoever knows DSSE or SSHSIG can verify it; `key_id` is a hint."""
    message = plain.encode(signed.intent)
    match signed.proof:
        case KeyProof(signature):
            signatures = (dsse.Signature(key_id, dsse.read_base64(signature)),)
            return DsseWord(dsse.Envelope(INTENT, message, signatures).encode().decode())
        case SshProof(signature):
            return SshWord(message.decode(), NAMESPACE, signature)


def exhibit(tag: Tag, release: Digest, event: Worded, found: Exhibit) -> Statement:
    """Write an exhibit as an in-toto statement about a release."""
    predicate = plain.to_plain(found)
    assert isinstance(predicate, dict)
    kind = next(name for name, kind in EXHIBITS.items() if isinstance(event, kind))
    return Statement((Subject(str(tag), {"sha256": release.hex}),), kind, predicate)


def staged(passport: Passport, trust: Trust, now: datetime) -> Stage:
    """Prove that the log knows a release, and by which head: everything else is about it, and under that head."""
    registered = open_logged(Registered, passport.registered, trust, now)
    keys = trust.keys_for(Purpose.COMPONENT, registered.at, MANIFESTS)
    release = open_manifest(passport.manifest.encode(), keys)
    event = registered.event
    if (event.release, event.tag) != (release.digest, release.manifest.tag):
        raise VerificationError(f"the log registered {event.tag} {event.release}, the manifest is {release.digest}")
    return Stage(release, trust, now, registered.checkpoint)


def open_shown(document: bytes, stage: Stage) -> Shown:
    """Verify one statement about a release, of whatever type we know; raise for anything else."""
    kind = parse_statement(payload_of(document)).predicate_type
    release, trust = stage.release, stage.trust
    if kind in (PROVENANCE, TEST_RESULT):
        found = open_held(document, release, trust, trust, stage.now)
        return Shown(kind, str(found.signed_by.key_id), _told(found.about))
    if kind == VERIFICATION_SUMMARY:
        decision, signer = open_summary(document, release, trust, stage.now)
        people = ", ".join(str(name) for name in decision.authorized_by)
        return Shown(kind, str(signer.key_id), f"change {decision.change} at {decision.endpoint}, approved by {people}")
    return open_exhibit(payload_of(document), stage)


def payload_of(document: bytes) -> bytes:
    """Return the statement in a document: bare, or in an envelope; whoever wrapped it is not believed in anything."""
    try:
        envelope = dsse.parse(document)
    except VerificationError:
        return document
    if envelope.payload_type != dsse.IN_TOTO:
        raise VerificationError(f"the envelope holds {envelope.payload_type[:80]!a}, and no in-toto statement")
    return envelope.payload


def open_exhibit(payload: bytes, stage: Stage) -> Shown:
    """Verify what a person said about a release: word, right, documents and log; raise unless all of it agrees."""
    statement = parse_statement(payload)
    kind = EXHIBITS.get(statement.predicate_type)
    if kind is None:
        raise VerificationError(f"nobody here knows statements of the type {statement.predicate_type[:80]!a}")
    if statement.subject != (subject_of(stage.release),):
        raise VerificationError(f"the exhibit is about {statement.subject[0].name[:80]!a}, not about this release")
    found = plain.from_plain(Exhibit, statement.predicate, "exhibit")
    proved = open_logged(kind, found.logged, stage.trust, stage.now)
    if proved.checkpoint != stage.head:
        raise VerificationError("the exhibit is proved by another head of the log than the release")
    content = _content(found.documents, stage.release)
    _check_documents(kind, found.documents)
    case = _Case(found.change, content, found.documents, _signed(found.word))
    said = attribute_intent(case.signed, stage.trust, proved.at)
    if found.by != said.actor.name:
        raise VerificationError(f"the exhibit says that {found.by} said so, and it was {said.actor.name}")
    _check_hint(found.word, said)
    by, says = _judged(proved, case, said, stage.trust)
    where = f"change {found.change} at {content.endpoint}, entry {proved.index} of {proved.at}"
    return Shown(statement.predicate_type, by, f"{says}: {where}")


def _judged(proved: Proved[Worded], case: _Case, said: Said, trust: Trust) -> tuple[str, str]:
    """Hold what was said against the entry; return who said it, and in short what."""
    event, name = proved.event, str(said.actor.name)
    match event:
        case Approved():
            return str(_approval(event, case, trust, proved.at)), "approves"
        case Overridden():
            _check_override(event, case, said)
            return name, f"sets aside {', '.join(map(str, event.about))} until {event.expires}"
        case Opened():
            _check_opening(event, proved.index, case, said)
            return name, "assesses the risk of an emergency"
        case Reviewed():
            _check_review(event, case, said)
            return name, f"reviews it: {event.verdict}"
        case _:
            assert_never(event)


def _approval(event: Approved, case: _Case, trust: Trust, at: datetime) -> Voice:
    hurried, order = case.content.kind == "emergency", case.documents.get("delegation")
    act, role = (EMERGENCY, Role.SECURITY_AUTHORITY) if hurried else (APPROVE, Role.APPROVER)
    orders = (plain.decode(SignedIntent, order.encode()),) if order is not None else ()
    ballot = Ballot(case.change, case.content.digest, act, role, frozenset(), orders)
    voice = open_approval(case.signed, ballot, trust, at)
    _agree(
        (event.change, event.approval, event.by, event.in_place_of or event.by, event.delegation),
        (case.change, case.signed.digest, voice.by, voice.of, Digest.of(order.encode()) if order is not None else None),
    )
    return voice


def _check_override(event: Overridden, case: _Case, said: Said) -> None:
    written = case.documents["override"].encode()
    document = plain.decode(Override, written)
    _check_said(said, OVERRIDE, case.subject, case.content.digest, document.digest)
    open_writing(case.documents["justification"].encode(), document.justification, "justification")
    _agree(
        (event.change, event.by, event.about, event.justification, event.expires, event.override, event.order),
        (
            document.change, said.actor.name, document.about, document.justification, document.expires,
            Digest.of(written), case.signed.digest,
        ),
    )  # fmt: skip
    _agree((document.change, document.content), (case.change, case.content.digest))


def _check_opening(event: Opened, index: int, case: _Case, said: Said) -> None:
    content = case.content
    _check_said(said, "change.open", content.endpoint, content.before, content.digest)
    open_writing(case.documents["risk"].encode(), content.risk, "risk assessment")
    _agree(
        (index, event.endpoint, event.content, event.opening, event.author),
        (case.change, content.endpoint, content.digest, case.signed.digest, said.actor.name),
    )


def _check_review(event: Reviewed, case: _Case, said: Said) -> None:
    written = case.documents["review"].encode()
    document = plain.decode(Review, written)
    _check_said(said, REVIEW, case.subject, case.content.digest, document.digest)
    open_writing(case.documents["report"].encode(), document.report, "report of the review")
    _agree(
        (event.change, event.by, event.verdict, event.review, event.report, event.order),
        (
            document.change, said.actor.name, document.verdict, Digest.of(written), document.report,
            case.signed.digest,
        ),
    )  # fmt: skip
    _agree((document.change, document.content), (case.change, case.content.digest))


def _check_said(said: Said, act: str, object_: object, before: Digest | None, after: Digest) -> None:
    check_intent(said, act, object_, before=before, after=after)
    check_right(act, said.actor.roles, said.actor.name)


def _agree(logged: tuple[object, ...], said: tuple[object, ...]) -> None:
    if logged != said:
        raise VerificationError("the log holds another word than the exhibit, or one about something else")


def _content(documents: Mapping[str, str], release: Release) -> Content:
    written = documents.get("content", "").encode()
    content = plain.decode(Content, written)
    if content.document != written:
        raise VerificationError("the content of the change is not canonical JSON")
    if (content.tag, content.release) != (release.manifest.tag, release.digest):
        raise VerificationError(f"the change is about {content.tag} {content.release}, not about this release")
    return content


def _check_documents(kind: type[Worded], documents: Mapping[str, str]) -> None:
    found = documents.keys() - ({"delegation"} if kind is Approved else set())
    if found != {"content", *_NAMED[kind]}:
        raise VerificationError(f"the exhibit has the documents {', '.join(sorted(documents))[:200]!a}")


def _signed(word: Word) -> SignedIntent:
    message, proof = _taken_apart(word)
    intent = plain.decode(Intent, message)
    if plain.encode(intent) != message:
        raise VerificationError("the word is not canonical JSON")
    return SignedIntent(intent, proof)


def _taken_apart(word: Word) -> tuple[bytes, Proof]:
    if isinstance(word, SshWord):
        if word.namespace != NAMESPACE:
            raise VerificationError(f"the word was signed for {word.namespace[:80]!a}, not for {NAMESPACE}")
        return word.message.encode(), SshProof(word.signature)
    envelope = dsse.parse(word.envelope.encode())
    if envelope.payload_type != INTENT or len(envelope.signatures) != 1:
        raise VerificationError("the word is not one intent that one person signed")
    return envelope.payload, KeyProof(base64.b64encode(envelope.signatures[0].signature).decode())


def _check_hint(word: Word, said: Said) -> None:
    """Raise `VerificationError` for an envelope that names another key than the one that signed."""
    if isinstance(word, DsseWord):
        hint = dsse.parse(word.envelope.encode()).signatures[0].key_id
        if hint not in ("", said.key.key_id.hex):
            raise VerificationError(f"the word names key {hint[:80]!a}, and another one signed it")


def _told(about: Provenance | TestRun) -> str:
    if isinstance(about, Provenance):
        return f"built by {about.builder}"
    return f"suite {about.suite}@{about.suite_version} {about.result}"
