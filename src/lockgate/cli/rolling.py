"""How does a person follow a rollout, and have a say in it?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lockgate.cli.restoring import awaited
from lockgate.cli.speaking import ENDPOINT, as_json, show, speaking
from lockgate.cli.watching import watch_rollout
from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint

if TYPE_CHECKING:
    from lockgate.core.rollout import Rollout
    from lockgate.core.slot import Slot
    from lockgate.core.strategy import Strategy
    from lockgate.loader.connection import Connection

_WAITS = {
    "step": "waits for a person, as its strategy says",
    "person": "paused by hand",
    "inconclusive": "inconclusive: a person decides",
    "failed": "failed: a person decides",
}


@dataclass(frozen=True, slots=True)
class Verb:
    """What a person may do to a rollout: the act, the last part of the path, and what is said when it is done."""

    act: str
    path: str
    done: str


PAUSE = Verb("pause", "pause", "paused")
RESUME = Verb("resume", "resume", "goes on")
STEP = Verb("step", "step", "one step on")
PROMOTE = Verb("promote", "promotion", "is the stable release")
ABORT = Verb("abort", "abort", "aborted: the stable release has all traffic")


@click.group()
def rollout() -> None:
    """A candidate on its way to be the stable release."""


@rollout.command("status")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@speaking
@as_json
def show_status(where: Endpoint, connection: "Connection", json_: bool) -> None:
    """Show what serves, how far the candidate is and what comes next; or how the last rollout ended."""
    found = connection.get(f"/api/v1/endpoints/{where}/rollout")
    show(json_, found, *_lines(found))


@rollout.command("promote")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@click.option("--full", is_flag=True, help="Skip all steps: the candidate becomes the stable release at once.")
@speaking
@as_json
def promote_rollout(where: Endpoint, full: bool, connection: "Connection", json_: bool) -> None:
    """Go one step on, on your word instead of evidence; with --full, all the way."""
    do(PROMOTE if full else STEP, where, connection, json_=json_)


@rollout.command("undo")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@speaking
@as_json
def undo_rollout(where: Endpoint, connection: "Connection", json_: bool) -> None:
    """Abort the rollout in flight; if there is none any more, give the endpoint its former release back."""
    go_back(connection, where, json_=json_)


def _command(name: str, verb: Verb, help_: str) -> None:
    @click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
    @speaking
    @as_json
    def command(where: Endpoint, connection: "Connection", json_: bool) -> None:
        do(verb, where, connection, json_=json_)

    rollout.add_command(click.command(name, help=help_)(command))


_command("pause", PAUSE, "Keep a rollout where it is until somebody resumes it. What fails is aborted all the same.")
_command("resume", RESUME, "Let a paused rollout go on from where it is.")
_command("abort", ABORT, "Take everything from the candidate: the stable release has all traffic. One hand is enough.")


rollout.add_command(watch_rollout)


def do(verb: Verb, where: Endpoint, connection: "Connection", *, json_: bool) -> None:
    """Sign what is to become of the rollout in flight, as it is shown now, and have it done."""
    found = connection.get(f"/api/v1/endpoints/{where}/rollout")
    stable, going = _slot(found.get("stable")), _going(found)
    if stable is None or going is None:
        raise DeniedError(f"no rollout is in flight at {where}")
    intent = connection.intend(f"rollout.{verb.act}", where, before=stable.release, after=going.candidate.release)
    body = {"step": going.step} if verb is STEP else {}
    answer = connection.act(f"/api/v1/endpoints/{where}/rollout/{verb.path}", intent, **body)
    said = {"endpoint": str(where), "change": going.change, "act": verb.act, "entry": answer["first"]}
    show(json_, said, f"{going.candidate.tag} at {where}: {verb.done} (entry {answer['first']})")


def go_back(connection: "Connection", where: Endpoint, *, json_: bool, wait: bool = False) -> None:
    """Abort the rollout in flight, or restore the former release if there is none."""
    state = connection.get(f"/api/v1/endpoints/{where}")
    if state.get("rollout") is not None:
        do(ABORT, where, connection, json_=json_)
        return
    stable, former = slots_of(state)
    intent = connection.intend("endpoint.roll-back", where, before=stable, after=former)
    answer = connection.act(f"/api/v1/endpoints/{where}/rollback", intent)
    found: dict[str, Json] = {"endpoint": str(where), "release": str(former), "entry": answer["first"]}
    done = f"{where} is to serve {former} again (entry {answer['first']})"
    if not wait:
        show(json_, found, done)
        return
    coming = awaited(connection, where, answer["first"])
    found |= {"restoration": coming.shown, "hosts": dict(coming.hosts)}
    show(json_, found, done, *coming.lines)
    if not coming.is_done:
        raise UnavailableError(f"{where} was not seen to serve {former} on every host within the window")


def slots_of(found: Mapping[str, Json]) -> tuple[Digest | None, Digest | None]:
    """Read which release is the stable one, and which the former, of an endpoint as the server shows it."""
    slots = found.get("slots")
    releases = (
        [Digest.parse(str(s["release"])) for s in slots if isinstance(s, dict)] if isinstance(slots, list) else []
    )
    stable, former = ([None, None, *releases][:-3:-1]) if releases else (None, None)
    return stable, former


def _lines(found: Mapping[str, Json]) -> list[str]:
    from lockgate.core.difference import strategy_words
    from lockgate.core.strategy import Strategy

    stable, going = _slot(found.get("stable")), _going(found)
    state = " (suspended: nothing serves)" if found.get("suspended") else ""
    if stable is None or going is None:
        return [f"stable     {stable.tag if stable else 'nothing'}{state}", "no rollout is in flight", *_ending(found)]
    strategy = plain.from_plain(Strategy, found.get("strategy"), "strategy")
    how = _WAITS[going.paused] if going.paused else "under way"
    lines = [
        f"stable     {stable.tag}  {100 - going.weight} %",
        f"candidate  {going.candidate.tag}  {going.weight} %  (change {going.change})",
        f"{how}, since {plain.to_plain(going.since)}",
    ]
    return [*lines, *_marked(strategy_words(strategy), strategy, going)]


def _marked(words: Iterator[str], strategy: "Strategy", going: "Rollout") -> list[str]:
    """Put a mark before each step: done, under way, to come."""
    head, *others = words
    steps, rest = others[: len(strategy.steps)], others[len(strategy.steps) :]
    marks = ["✔" if place < going.step else "▶" if place == going.step else " " for place in range(len(steps))]
    return [head, *(f"{mark} {line}" for mark, line in zip(marks, steps, strict=True)), *rest]


def _ending(found: Mapping[str, Json]) -> list[str]:
    from lockgate.core.rollout import Ended

    if found.get("ended") is None:
        return []
    ended: Ended = plain.from_plain(Ended, found["ended"], "ended")
    because = f", because of {ended.trigger}" if ended.trigger else ""
    return [f"the last one: {ended.tag} (change {ended.change}) was {ended.outcome}{because}; evidence {ended.why}"]


def _going(found: Mapping[str, Json]) -> "Rollout | None":
    from lockgate.core.rollout import Rollout

    shown = found.get("rollout")
    return plain.from_plain(Rollout, shown, "rollout") if shown is not None else None


def _slot(shown: Json) -> "Slot | None":
    from lockgate.core.slot import Slot

    return plain.from_plain(Slot, shown, "stable") if shown is not None else None
