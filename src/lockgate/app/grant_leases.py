"""May these hosts go on serving? Read once what is true now, and sign an answer to each question.

    requests ──▶ what is known of the log ──▶ one look at the database ──▶ who asks? ──▶ may it? ──▶ signed answers
                 (before the look)            (after all of them came)     (its keys)    (core.lease)

A look costs the same for one request and for a thousand, so those that came while the one before was under way share
the next. Nothing is granted that was read before it was asked for, nor out of a log that was put back.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeAlias

from lockgate.app.give_keys import with_keys
from lockgate.app.installation import Installation
from lockgate.app.ports import View
from lockgate.core.endpoint import State
from lockgate.core.journal import Rulebook, Subject, endpoint_subject, revocation_subject, rulebook_subject
from lockgate.core.lease import Grant, Request, Want, answer, open_request, sign_grant
from lockgate.core.policy import Policy, Rules
from lockgate.core.revocation import Revocation, Revocations
from lockgate.core.rights import check_right
from lockgate.core.trust import Trust
from lockgate.errors import LockgateError, UnavailableError
from lockgate.formats.names import Endpoint, Name

_PATIENCE = 10  # times that the rules may change while we read


@dataclass(frozen=True, slots=True)
class Answered:
    """What a node asked, what it may, and the signed answer."""

    request: Request
    grant: Grant
    document: bytes


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that is refused as a whole; `node` is who sent it, if that is certain."""

    error: LockgateError
    node: Name | None = None


Heard: TypeAlias = Request | Unanswered
Admit: TypeAlias = Callable[[Name], None]


def _everybody(_node: Name) -> None: ...


def grant_leases(installation: Installation, document: bytes, now: datetime) -> bytes:
    """Answer a lease request of a node, with keys if it asks for them; raise `DeniedError` for one that is no agent."""
    (answered,) = answer_requests(installation, [document], now)
    if isinstance(answered, Unanswered):
        raise answered.error
    return add_keys(installation, answered).document


def add_keys(installation: Installation, answered: Answered) -> Answered:
    """Put the data keys that were asked for into an answer; one that wants none stays as it is.

    It asks the vault, which may be slow: who answers many requests at once does this where no other one waits for it.
    """
    grant = with_keys(installation, answered.request, answered.grant)
    if grant is answered.grant:
        return answered
    return Answered(answered.request, grant, sign_grant(grant, installation.keys.lease))


def answer_requests(
    installation: Installation, documents: Sequence[bytes], now: datetime, admit: Admit = _everybody
) -> list[Answered | Unanswered]:
    """Answer lease requests, all of them as of one instant after they came; raise what is wrong with all of them.

    `admit` raises for a node that asks too often; only who is certain to have asked is counted.

    Enforces: verified_loading, emergency_shutdown, retirement_revocation
    """
    known = installation.watch.known()
    view, heard, policy = _look(installation, documents, now)
    installation.watch.check(known, view.size, view.root)
    return [
        each if isinstance(each, Unanswered) else _answered(installation, each, view, policy)
        for each in (_admitted(one, admit) for one in heard)
    ]


def _admitted(heard: Heard, admit: Admit) -> Heard:
    try:
        if isinstance(heard, Request):
            admit(heard.node)
    except LockgateError as e:
        assert isinstance(heard, Request)
        return Unanswered(e, heard.node)
    return heard


def _look(
    installation: Installation, documents: Sequence[bytes], now: datetime
) -> tuple[View, Sequence[Heard], Policy]:
    """Read the rules and what the requests are about, in one instant."""
    subject = rulebook_subject(installation.environment)
    view = installation.reads.view([subject])
    for _ in range(_PATIENCE):
        rulebook = view.states[subject]
        if not isinstance(rulebook, Rulebook):
            raise UnavailableError(f"{installation.environment} has no trust document yet: adopt one first")
        policy = installation.policy_of(rulebook).document
        trust = installation.trust_of(rulebook).document
        heard = [_heard(installation, document, trust, now) for document in documents]
        wanted = [subject for want in _named(heard, policy) for subject in _about(want)]
        if view.states.keys() >= set(wanted):
            return view, heard, policy
        view = installation.reads.view([subject, *wanted])
        if view.states[subject] == rulebook:
            return view, heard, policy
    raise UnavailableError(f"the rules changed {_PATIENCE} times while leases were asked for")


def _heard(installation: Installation, document: bytes, trust: Trust, now: datetime) -> Heard:
    try:
        request, asker = open_request(document, partial(installation.directory.actor, trust, at=now))
    except LockgateError as e:
        return Unanswered(e)
    try:
        check_right("lease.ask", asker.roles, asker.name)
    except LockgateError as e:
        return Unanswered(e, asker.name)
    return request


def _named(heard: Collection[Heard], policy: Policy) -> set[Want]:
    """List what is wanted at endpoints that the policy names: nothing else could be granted."""
    wanted = {want for each in heard if isinstance(each, Request) for want in each.wants}
    return {want for want in wanted if str(want.endpoint) in policy.endpoints}


def _about(want: Want) -> tuple[Subject, Subject]:
    return endpoint_subject(want.endpoint), revocation_subject(want.release)


def _answered(installation: Installation, request: Request, view: View, policy: Policy) -> Answered:
    rules = _rules(policy, request)
    found = {endpoint: view.states.get(endpoint_subject(endpoint)) for endpoint in rules}
    states = {endpoint: state for endpoint, state in found.items() if isinstance(state, State)}
    listed = [view.states.get(revocation_subject(want.release)) for want in request.wants]
    revoked = Revocations(installation.environment, tuple(one for one in listed if isinstance(one, Revocation)))
    sticky = {endpoint: installation.sticky_by(state.rollout) for endpoint, state in states.items()}
    grant = answer(request, states, rules, revoked, sticky)
    return Answered(request, grant, sign_grant(grant, installation.keys.lease))


def _rules(policy: Policy, request: Request) -> Mapping[Endpoint, Rules]:
    """Read the rules of the endpoints whose hand-over rule the host keeps."""
    named = {want.endpoint: policy.endpoints.get(str(want.endpoint)) for want in request.wants}
    return {
        endpoint: rules
        for endpoint, rules in named.items()
        if rules is not None and request.hand_over in ("sealed", rules.hand_over)
    }
