"""Which open changes wait for somebody? For their own approval, or for one in the place of who named them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from lockgate.app.activate import assess
from lockgate.app.decide_change import barred
from lockgate.app.installation import Installation
from lockgate.app.ports import Transaction
from lockgate.core.change import Change, Content, RuleChange
from lockgate.core.delegation import Delegation
from lockgate.core.emergency import asked_of
from lockgate.core.rights import Role
from lockgate.core.trust import Trust
from lockgate.errors import DeniedError, LockgateError, VerificationError
from lockgate.formats import plain
from lockgate.formats.names import Name

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that waits for somebody: what it would do, in whose place they would approve, what is against it now."""

    change: int
    about: str
    does: str
    author: Name
    opened_at: datetime
    reason: str
    in_place_of: Name | None
    waits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody who may approve, and in whose place they may."""

    name: Name
    trust: Trust
    principals: tuple[Name, ...]
    now: datetime

    def has(self, name: Name, role: Role) -> bool:
        try:
            return role in self.trust.actor(name, self.now).roles
        except VerificationError:
            return False


def waiting_for(installation: Installation, who: Name, changes: Iterable[Change], now: datetime) -> Iterator[Waiting]:
    """Say which of `changes` wait for `who`, who is no author of them, may approve them, and has not."""
    person = _Person(who, installation.trust().document, tuple(_principals(installation, who, now)), now)
    for change in changes:
        if change.phase != "opened":
            continue
        with installation.ledger.transaction() as tx:
            found = _asked(installation, change, person, tx)
        if found is not None:
            yield _waiting(change, *found, _against(installation, change.number, now))


def _waiting(change: Change, content: Content | RuleChange, of: Name | None, against: tuple[str, ...]) -> Waiting:
    about, does = _does(content)
    return Waiting(change.number, about, does, change.author, change.opened_at, content.reason, of, against)


def _does(content: Content | RuleChange) -> tuple[str, str]:
    if isinstance(content, RuleChange):
        return content.kind, f"version {content.version}"
    if content.kind == "emergency":
        return str(content.endpoint), f"serve {content.tag} in an emergency"
    return str(content.endpoint), f"{'resume with' if content.resumes else 'serve'} {content.tag}"


def _asked(
    installation: Installation, change: Change, person: _Person, tx: Transaction
) -> tuple[Content | RuleChange, Name | None] | None:
    """Say what the change contains and in whose place `person` would approve it; None if it does not wait for them."""
    document = tx.document(change.content)
    content: Content | RuleChange
    content = plain.decode(RuleChange, document) if change.rules else plain.decode(Content, document)
    try:
        role, out = _role(installation, content, tx), barred(installation, change, tx)
    except LockgateError:
        return None  # what cannot be judged waits for somebody else
    by_others = isinstance(content, Content) and content.kind == "normal"
    for of in (None, *(person.principals if by_others else ())):
        if _may(change, person, of, role, out):
            return content, of
    return None


def _may(change: Change, person: _Person, of: Name | None, role: Role, out: Mapping[Name, str]) -> bool:
    people = {person.name, of or person.name}
    held = {one.by for one in change.approvals if one.expires > person.now and one.in_place_of in (None, of)}
    return person.has(of or person.name, role) and not people & (out.keys() | held)


def _role(installation: Installation, content: Content | RuleChange, tx: Transaction) -> Role:
    policy = installation.policy(tx).document
    if isinstance(content, RuleChange):
        return policy.rule_changes.role
    return asked_of(content, policy.rules_for(content.endpoint)).approvals.role


def _principals(installation: Installation, who: Name, now: datetime) -> Iterator[Name]:
    after = ""
    while page := installation.catalog.listing("delegation", after=after, limit=_PAGE):
        states = [state for state in page if isinstance(state, Delegation)]
        yield from (state.principal for state in states if state.to == who and state.lasts(now))
        after = str(states[-1].principal)


def _against(installation: Installation, number: int, now: datetime) -> tuple[str, ...]:
    try:
        assess(installation, number, now)
    except DeniedError as e:
        return e.reasons
    except VerificationError as e:
        return (str(e),)
    return ()
