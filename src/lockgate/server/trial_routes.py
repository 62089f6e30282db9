"""How do suites become known over HTTP, and how is a run written down before it begins?"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from lockgate.app.add_suite import NewSuite, add_suite
from lockgate.app.begin_trial import begin_trial
from lockgate.core.intent import SignedIntent
from lockgate.core.journal import State, release_subject, suite_subject
from lockgate.core.release import Record
from lockgate.core.suite import Suite
from lockgate.core.trial import Attempt, Trial
from lockgate.errors import VerificationError
from lockgate.formats.names import Tag
from lockgate.server.json_schema import NAME
from lockgate.server.release_routes import After, Called, Limit
from lockgate.server.visit import Body, Here, answer


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is about to run, and who says so."""

    attempt: Attempt
    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class SuiteBrought:
    """A version of a suite, and who adds it."""

    suite: NewSuite
    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials of a release, in the order in which they were begun."""

    items: tuple[Trial, ...]


def post_trial(visit: Here, body: Body, tag: Called) -> Response:
    """Write down that a suite is about to run over a release; `first` is the number of the trial."""
    order = visit.order(Beginning, body)
    if order.attempt.tag != tag:
        raise VerificationError(f"the trial is of {order.attempt.tag}, not of {tag}")
    receipt = begin_trial(visit.installation, order.attempt, order.intent, visit.now)
    return visit.receipt(receipt, release_subject(tag))


def list_trials(visit: Here, tag: Called) -> Response:
    """List the trials of a release."""
    return answer(Trials(visit.find(Record, release_subject(tag)).trials or ()))


def post_suite(visit: Here, body: Body) -> Response:
    """Make a version of a suite known, for good."""
    order = visit.order(SuiteBrought, body)
    receipt = add_suite(visit.installation, order.suite, order.intent, visit.now)
    return visit.receipt(receipt, suite_subject(Tag(order.suite.name, order.suite.version)))


def list_suites(
    visit: Here,
    after: After = "",
    limit: Limit = 100,
    name: Annotated[str | None, Query(pattern=f"^{NAME}$")] = None,
) -> Response:
    """List suites that were added, all versions or those of one name, in the order in which they came."""
    prefix = f"{name}@" if name else ""
    found = list(visit.installation.catalog.listing("suite", prefix=prefix, after=after, limit=limit))
    return visit.page(found, _key, limit)


def _key(state: State) -> str:
    assert isinstance(state, Suite)
    return f"{state.name}@{state.version}"
