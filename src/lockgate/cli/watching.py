"""How does a person see a rollout go on? A table that is drawn anew every second, until the rollout has ended.

    stable     magika@1.0.0  90 %
    candidate  magika@1.1.0  10 %  step 2 of 7, under way since 12:00:05
    METRIC  CANDIDATE  STABLE    WORSE       GOOD ENOUGH  SAYS
    errors  1 of 62    3 of 536  1.2 of 250  4.1 of 20    inconclusive

Where nobody looks, there is a block for each step; with --json, a line for each change.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lockgate.cli.restoring import Coming, coming, following
from lockgate.cli.speaking import ENDPOINT, as_json, speaking, spread
from lockgate.errors import DeniedError, UnavailableError
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint
from lockgate.formats.one_line import one_line

if TYPE_CHECKING:
    from lockgate.core.analysis import Finding
    from lockgate.core.observation import Grounds
    from lockgate.core.rollout import Rollout
    from lockgate.loader.connection import Connection

_HEADS = ("METRIC", "CANDIDATE", "STABLE", "WORSE", "GOOD ENOUGH", "SAYS")
_WAITS = {None: "under way", "step": "waits for a person", "person": "paused by hand"}
_WAITS |= {"inconclusive": "inconclusive: a person decides", "failed": "failed: a person decides"}

Found = Mapping[str, Json]
Draw = Callable[[Found], None]


@click.command("watch")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@click.option(
    "--every", type=click.FloatRange(0.2, 3600), default=1.0, show_default=True, help="Seconds between looks."
)
@speaking
@as_json
def watch_rollout(where: Endpoint, every: float, connection: "Connection", json_: bool) -> int:
    """Follow a rollout: its steps, weights, and the numbers it rests on, until it ends.

    With --json there is a line for each change. Exit code 0 if the candidate became the stable release, else 3.
    If none is in flight, but a rollback is under way: what each host says of it, until all have it, or exit code 6.
    """
    found = connection.get(f"/api/v1/endpoints/{where}/rollout")
    if found.get("rollout") is None:
        return _watch_rollback(where, connection, json_)
    with _screen(json_) as draw:
        while found.get("rollout") is not None:
            draw(found)
            time.sleep(every)
            found = connection.get(f"/api/v1/endpoints/{where}/rollout")
    click.echo(json.dumps(found) if json_ else "\n".join(_ending(found)))
    ended = found.get("ended")
    promoted = isinstance(ended, Mapping) and ended.get("outcome") == "promoted"
    return 0 if promoted else DeniedError.exit_code


def _watch_rollback(where: Endpoint, connection: "Connection", json_: bool) -> int:
    """Follow a rollback until every host has it, or its window is over; write what differs from the last look."""
    shown = connection.get(f"/api/v1/endpoints/{where}").get("restoration")
    entry = shown.get("rollback") if isinstance(shown, Mapping) else None
    if entry is None or coming(connection, where, shown).is_over:
        raise DeniedError(f"no rollout is in flight at {where}, and no rollback under way")
    write = _writing(dict, lambda found: [json.dumps(found)] if json_ else _told(found))
    for last in following(connection, where, entry):
        write({"restoration": last.shown, "hosts": dict(last.hosts)})
    return 0 if last.is_done else UnavailableError.exit_code


def _told(found: Found) -> list[str]:
    hosts = found.get("hosts")
    return Coming(found.get("restoration"), hosts if isinstance(hosts, Mapping) else {}).lines


@contextmanager
def _screen(json_: bool) -> Iterator[Draw]:
    """Give what draws a look: over the last one where a person sits, else below it if anything has changed."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    if json_ or not console.is_terminal:
        yield _writing(_news if json_ else _place, (lambda found: [json.dumps(found)]) if json_ else lines_of)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda found: live.update(Text("\n".join(lines_of(found))), refresh=True)


def _writing(sight: Callable[[Found], Json], write: Callable[[Found], list[str]]) -> Draw:
    """Write what differs from the last look, as far as `sight` sees it."""
    seen: list[Json] = []

    def draw(found: Found) -> None:
        if seen[-1:] != [sight(found)]:
            click.echo("\n".join(write(found)))
        seen[:] = [sight(found)]

    return draw


def lines_of(found: Found) -> list[str]:
    """Say how far a rollout is, and on which numbers."""
    from lockgate.core.observation import Grounds
    from lockgate.core.rollout import Rollout

    rollout: Rollout = plain.from_plain(Rollout, found.get("rollout"), "rollout")
    shown = found.get("grounds")
    grounds = plain.from_plain(Grounds, shown, "grounds") if shown is not None else None
    return [*_progress(found, rollout), *(_numbers(grounds) if grounds else ["nothing was looked at yet"])]


def _progress(found: Found, rollout: "Rollout") -> list[str]:
    stable, strategy = found.get("stable"), found.get("strategy")
    tag = stable.get("tag") if isinstance(stable, Mapping) else "nothing"
    steps = strategy.get("steps") if isinstance(strategy, Mapping) else None
    of = len(steps) if isinstance(steps, list | tuple) else 0
    how = f"step {rollout.step + 1} of {of}, {_WAITS[rollout.paused]} since {rollout.since:%H:%M:%S}"
    rows = [("stable", one_line(str(tag)), f"{100 - rollout.weight} %", "")]
    return spread([*rows, ("candidate", str(rollout.candidate.tag), f"{rollout.weight} %", how)])


def _numbers(grounds: "Grounds") -> list[str]:
    lines = spread([_HEADS, *map(_row, grounds.analysis.findings)])
    lines += [
        f"ALERT: {one.severity} {one.danger} by {one.by}, {one.count} times, last at entry {one.index}"
        for one in grounds.alerts
    ]
    if grounds.revoked:
        lines.append("the candidate is revoked")
    if grounds.stable_revoked:
        lines.append("the stable release is revoked: there is nothing to go back to")
    if grounds.begun_anew:
        lines.append(f"begun anew: {one_line(grounds.begun_anew)}")
    data_at = f"{grounds.data_at:%H:%M:%S}" if grounds.data_at else "never"
    return [*lines, f"the candidate last sent data: {data_at}"]


def _row(finding: "Finding") -> tuple[str, ...]:
    worse = sound = ""
    if (values := finding.e_values) is not None:
        worse, sound = f"{values.worse} of {values.worse_needed}", f"{values.sound} of {values.sound_needed}"
    if (failures := finding.failures) is not None:
        worse = f"{failures.failed} of {failures.failure_limit + 1}"
    counted = (f"{arm.bad} of {arm.n}" for arm in (finding.candidate, finding.stable))
    says = f"{finding.conclusion.value}{' (dry run)' if finding.dry_run else ''}"
    return str(finding.name), *counted, worse, sound, says


def _ending(found: Found) -> list[str]:
    from lockgate.core.rollout import Ended

    ended: Ended = plain.from_plain(Ended, found.get("ended"), "ended")
    because = f", because of {ended.trigger}" if ended.trigger else ""
    return [
        f"{ended.tag} (change {ended.change}) was {ended.outcome}{because}; document {ended.why} says on what grounds"
    ]


def _news(found: Found) -> Json:
    """See everything but when it was looked at."""
    grounds = found.get("grounds")
    analysis = grounds.get("analysis") if isinstance(grounds, Mapping) else None
    if not isinstance(grounds, Mapping) or not isinstance(analysis, Mapping):
        return found
    return {**found, "grounds": {**grounds, "analysis": {**analysis, "looked_at": None}}}


def _place(found: Found) -> Json:
    """See where the rollout is, and whether it waits."""
    rollout = found.get("rollout")
    return [rollout.get(name) for name in ("step", "weight", "paused")] if isinstance(rollout, Mapping) else None
