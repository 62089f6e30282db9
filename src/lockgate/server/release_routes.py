"""How do releases come in over HTTP, and what can be learned about them?"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query
from starlette.responses import Response

from lockgate.app.attest import attest
from lockgate.app.give_keys import open_keys
from lockgate.app.issue_passport import export, passport_of
from lockgate.app.register import Submission, register
from lockgate.app.show_statements import statements_about
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import State, release_subject
from lockgate.core.passport import MAX_PASSPORT
from lockgate.core.release import Record
from lockgate.formats.names import Name, Tag, Version
from lockgate.server.json_schema import NAME, VERSION
from lockgate.server.visit import Body, Here, Visit, answer

After = Annotated[str, Query(max_length=160, description="the `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class Registration:
    """A release, and who brings it."""

    submission: Submission
    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class Evidence:
    """A signed statement about a release, and who brings it."""

    statement: str
    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """The X25519 key that the keys of a release are to be sealed to, and who wants them."""

    seal_to: str
    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class KeysGiven:
    """Where the log holds that the keys were given, and the box that they are in."""

    first: int
    stop: int
    keys: str


async def _tag(
    name: Annotated[str, Path(pattern=f"^{NAME}$")], version: Annotated[str, Path(pattern=f"^{VERSION}$")]
) -> Tag:
    return Tag(Name(name), Version.parse(version))


Called = Annotated[Tag, Depends(_tag)]


def post_release(visit: Here, body: Body) -> Response:
    """Register a release whose files are stored already."""
    order = visit.order(Registration, body, limit=MAX_PASSPORT)
    receipt = register(visit.installation, order.submission, order.intent, visit.now)
    return visit.receipt(receipt, release_subject(Tag.parse(order.intent.intent.object)))


def list_releases(
    visit: Here,
    after: After = "",
    limit: Limit = 100,
    name: Annotated[str | None, Query(pattern=f"^{NAME}$")] = None,
) -> Response:
    """List releases, all or those of one name, in the order of their registration."""
    prefix = f"{name}@" if name else ""
    found = list(visit.installation.catalog.listing("release", prefix=prefix, after=after, limit=limit))
    return visit.page(found, _key, limit)


def get_release(visit: Here, tag: Called) -> Response:
    """Say what the log says of a release."""
    return answer(_record(visit, tag))


def get_release_passport(visit: Here, tag: Called) -> Response:
    """Issue the passport of a release, for no endpoint."""
    _record(visit, tag)
    return answer(passport_of(visit.installation, tag))


def get_statements(visit: Here, tag: Called) -> Response:
    """Give every statement about a release, and what people said of it, for an outsider's tools."""
    _record(visit, tag)
    return answer(statements_about(visit.installation, tag))


def get_export(visit: Here, tag: Called) -> Response:
    """Issue the passport with which a release crosses to another environment."""
    _record(visit, tag)
    return answer(export(visit.installation, tag))


def post_evidence(visit: Here, body: Body, tag: Called) -> Response:
    """Take a signed statement into the evidence of a release."""
    order = visit.order(Evidence, body)
    receipt = attest(visit.installation, tag, order.statement.encode(), order.intent, visit.now)
    return visit.receipt(receipt, release_subject(tag))


def post_keys(visit: Here, body: Body, tag: Called) -> Response:
    """Give the data keys of a release's files, sealed; that it was done is recorded first."""
    order = visit.order(KeysWanted, body)
    receipt, keys = open_keys(visit.installation, tag, order.seal_to, order.intent, visit.now)
    return answer(KeysGiven(receipt.first, receipt.stop, keys))


def _record(visit: Visit, tag: Tag) -> Record:
    return visit.find(Record, release_subject(tag))


def _key(state: State) -> str:
    assert isinstance(state, Record)
    return str(state.tag)
