"""How do hosts get what they judge by, and how is something taken back over HTTP?

The files are for everyone: they are signed, and who can read a revocation obeys it.
"""

import logging
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lockgate.app.ports import Receipt
from lockgate.app.publish_updates import publish_updates
from lockgate.app.revoke import offboard, revoke_key, revoke_release
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import Subject, release_subject, revocation_subject, rulebook_subject
from lockgate.core.metadata import TIMESTAMP
from lockgate.core.release import Record
from lockgate.core.revocation import Revocation
from lockgate.errors import LockgateError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.server.json_schema import DIGEST, NAME
from lockgate.server.release_routes import Called
from lockgate.server.visit import Body, Here, Open, Visit, answer

_log = logging.getLogger(__name__)
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Revoked:
    """Why something is revoked, and who says so. The intent signs the digest of the reason."""

    reason: str
    intent: SignedIntent


async def _key(keyid: Annotated[str, Path(pattern=f"^{DIGEST}$")]) -> Digest:
    return Digest.parse(keyid)


async def _person(person: Annotated[str, Path(pattern=f"^{NAME}$")]) -> Name:
    return Name(person)


KeyId = Annotated[Digest, Depends(_key)]
Person = Annotated[Name, Depends(_person)]


def post_release_revocation(visit: Here, body: Body, tag: Called) -> Response:
    """Revoke a release for good."""
    order = visit.order(Revoked, body)
    receipt = revoke_release(visit.installation, tag, order.reason, order.intent, visit.now)
    visit.desk.breakers.wake()
    assert order.intent.intent.before is not None, "the act has compared it"
    return told(visit, receipt, revocation_subject(order.intent.intent.before))


def post_key_revocation(visit: Here, body: Body, keyid: KeyId) -> Response:
    """Revoke a key for good."""
    order = visit.order(Revoked, body)
    receipt = revoke_key(visit.installation, keyid, order.reason, order.intent, visit.now)
    visit.desk.breakers.wake()
    return told(visit, receipt, rulebook_subject(visit.installation.environment))


def post_offboarding(visit: Here, body: Body, person: Person) -> Response:
    """Off-board somebody for good."""
    order = visit.order(Revoked, body)
    receipt = offboard(visit.installation, person, order.reason, order.intent, visit.now)
    return told(visit, receipt, rulebook_subject(visit.installation.environment))


def get_release_revocation(visit: Here, tag: Called) -> Response:
    """Say what the deny-list says of a release."""
    record = visit.find(Record, release_subject(tag))
    return answer(visit.find(Revocation, revocation_subject(record.release)))


def get_update(desk: Open, path: Annotated[str, Path(max_length=120)]) -> Response:
    """Give a file that hosts follow."""
    try:
        found = desk.installation.updates.read(path)
    except VerificationError as e:
        raise HTTPException(404, "this is not the place of such a file") from e
    if found is None:
        raise HTTPException(404, "there is no such file")
    cached = "no-cache" if path == TIMESTAMP else _FOR_EVER
    return Response(found, media_type="application/json", headers={"cache-control": cached})


def told(visit: Visit, receipt: Receipt, subject: Subject) -> Response:
    """Answer an act that hosts have to know of: publish it now, and say when that was.

    If it cannot be published the act still stands, and the answer says that it is not published yet.
    """
    published = None
    visit.desk.herald.wake()
    try:
        publish_updates(visit.installation, visit.desk.clock(), visit.desk.updates_life)
        visit.desk.herald.published(receipt.stop)
        published = visit.desk.clock()
    except LockgateError as e:
        _log.warning("hosts do not learn of entry %s yet: %s", receipt.first, e)
    found = visit.installation.catalog.find(subject)
    return answer({"first": receipt.first, "stop": receipt.stop, "object": found, "published": published})
