"""What was signed about a release, so that an outsider's tools can read it? Every statement, and every person's word.

Whoever said something is quoted with the bytes that they signed; nothing here signs, except the head of the log.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.issue_passport import logged_at, passport_under, recorded
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.core.change import Approval, Change, Content
from lockgate.core.concession import Concession
from lockgate.core.exhibit import Exhibit, Statements, Worded, exhibit, word_of
from lockgate.core.intent import SignedIntent, attribute_intent
from lockgate.core.journal import concession_subject, read_fact
from lockgate.core.override import Overridden
from lockgate.core.release import Record
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Spoken:
    """A word about a change of a release, what it names by digest, and where the log took it in."""

    change: Change
    signed: SignedIntent
    documents: Mapping[str, Digest]
    index: int


def statements_about(installation: Installation, tag: Tag) -> Statements:
    """Collect everything that was signed about a release, under one head of the log."""
    record = recorded(installation, tag)
    changes = list(_changes(installation, record))
    spoken = [said for change in changes for said in _spoken(installation, change)]
    note = publish_checkpoint(installation)
    return Statements(
        passport_under(installation, record, note),
        tuple(_text(installation, change.decision) for change in changes if change.decision),
        tuple(_exhibit(installation, record, said, note) for said in spoken),
    )


def _changes(installation: Installation, record: Record) -> Iterator[Change]:
    """Find the changes that are about a release: none is older than its registration."""
    after = ""
    while page := installation.catalog.listing("change", after=after, limit=_PAGE):
        for change in page:
            assert isinstance(change, Change)
            after = str(change.number)
            if change.number > record.index and change.endpoint and _content(installation, change).tag == record.tag:
                yield change


def _spoken(installation: Installation, change: Change) -> Iterator[_Spoken]:
    content = _content(installation, change)
    if content.risk:
        yield _Spoken(change, _intent(installation, change.opening), {"risk": content.risk}, change.number)
    for one in change.overrides or ():
        yield _found(installation, change, one.order, _of_override(one))
    for given in change.approvals:
        yield _found(installation, change, given.approval, _of_approval(given))
    held = installation.catalog.find(concession_subject(change.number))
    if isinstance(held, Concession) and held.verdict is not None:
        if held.order is None or held.review is None or held.report is None:
            raise UnavailableError(f"the review of change {change.number} is older than its projection: rebuild it")
        yield _found(installation, change, held.order, {"review": held.review, "report": held.report})


def _of_override(one: Overridden) -> Mapping[str, Digest]:
    return {"override": one.override, "justification": one.justification}


def _of_approval(given: Approval) -> Mapping[str, Digest]:
    return {"delegation": given.delegation} if given.delegation else {}


def _found(installation: Installation, change: Change, word: Digest, documents: Mapping[str, Digest]) -> _Spoken:
    """Find where the log took a word in: its intent is the key of that append."""
    signed = _intent(installation, word)
    receipt = installation.ledger.receipt(signed.intent.digest)
    if receipt is None:
        raise DeniedError(f"no word {word} was recorded")
    return _Spoken(change, signed, documents, receipt.first)


def _exhibit(installation: Installation, record: Record, said: _Spoken, note: str) -> str:
    logged = logged_at(installation, said.index, note)
    envelope, event = read_fact(logged.entry.encode())
    assert isinstance(event, Worded)
    documents = {"content": said.change.content, **said.documents}
    found = Exhibit(
        said.signed.intent.actor,
        said.change.number,
        word_of(said.signed, _hint(installation, said.signed, envelope.time)),
        {name: _text(installation, digest) for name, digest in documents.items()},
        logged,
    )
    return exhibit(record.tag, record.release, event, found).encode().decode()


def _hint(installation: Installation, signed: SignedIntent, at: datetime) -> str:
    """Name the key that signed a word; nothing, if whoever held it counts for nothing any more."""
    try:
        return attribute_intent(signed, installation.trust().document, at).key.key_id.hex
    except VerificationError:
        return ""


def _content(installation: Installation, change: Change) -> Content:
    return plain.decode(Content, installation.catalog.document(change.content))


def _intent(installation: Installation, digest: Digest) -> SignedIntent:
    return plain.decode(SignedIntent, installation.catalog.document(digest))


def _text(installation: Installation, digest: Digest) -> str:
    return installation.catalog.document(digest).decode()
