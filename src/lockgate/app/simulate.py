"""What would the gate say of a release at an endpoint, by this policy or another? Nothing is decided or recorded."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial

from lockgate.app.activate import dossier_of
from lockgate.app.decide_change import loaded_endpoint
from lockgate.app.installation import Installation
from lockgate.app.ports import Transaction
from lockgate.app.register import registered
from lockgate.core.change import Change, Content, check_policy
from lockgate.core.endpoint import check_activation
from lockgate.core.gate import Weighed, weigh
from lockgate.core.policy import Policy
from lockgate.errors import DeniedError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Tag

_PAGE = 1000  # changes that are looked at together


def simulate(installation: Installation, tag: Tag, at: Endpoint, draft: Policy | None, now: datetime) -> Weighed:
    """Judge on what is there, by `draft` or by the policy in force, with the newest open change about this release."""
    with installation.ledger.transaction() as tx:
        policy = draft or installation.policy(tx).document
        digest = Digest.of(plain.encode(policy))
        change = _newest(installation, tag, at, tx)
        content = plain.decode(Content, tx.document(change.content)) if change else _asked_now(tag, at, digest, tx)
        revoked = installation.revocations([content.release], tx)
        found = weigh(dossier_of(content, change, tx), at, installation.written_trust(tx), policy, revoked, now)
        return replace(found, reasons=(*found.reasons, *_stale(content, digest, tx)))


def _asked_now(tag: Tag, at: Endpoint, policy: Digest, tx: Transaction) -> Content:
    """Say what a change would contain that were opened now."""
    state = loaded_endpoint(tx, at)
    before = state.stable.release if state.stable else None
    release = registered(tx, tag).release
    return Content("normal", at, tag, release, before, state.epoch, state.suspended, policy, "")


def _stale(content: Content, policy: Digest, tx: Transaction) -> Iterator[str]:
    """Say why the change is not about the endpoint, or under the policy, as they would be."""
    state = loaded_endpoint(tx, content.endpoint)
    checks: tuple[Callable[[], None], ...] = (
        partial(check_activation, state, content.epoch, resumes=content.resumes),
        partial(check_policy, content, policy),
    )
    for check in checks:
        try:
            check()
        except DeniedError as e:
            yield from e.reasons


def _newest(installation: Installation, tag: Tag, at: Endpoint, tx: Transaction) -> Change | None:
    """Find the newest open change that would bring this release there."""
    found, after = None, ""
    while page := installation.catalog.listing("change", after=after, limit=_PAGE):
        for state in page:
            assert isinstance(state, Change)
            if (state.endpoint, state.phase) == (at, "opened"):
                found = state if plain.decode(Content, tx.document(state.content)).tag == tag else found
            after = str(state.number)
    return found
