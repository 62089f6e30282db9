"""How does somebody override what is against a change, hurry, and review it afterwards; and who sees it?"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lockgate.cli.comparing import content_of
from lockgate.cli.speaking import EXISTING, SPAN, as_json, now, read, show, speaking
from lockgate.core.writing import read_writing
from lockgate.errors import DeniedError
from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest

if TYPE_CHECKING:
    from lockgate.core.change import Content
    from lockgate.core.override import Aside
    from lockgate.core.trial import Trial
    from lockgate.loader.connection import Connection


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a release shall get its traffic, and whether it is in a hurry."""

    strategy: Path | None
    emergency: bool
    risk: Path | None

    def assessed(self) -> bytes | None:
        """Read the risk assessment of an emergency; the two go together."""
        if self.emergency != (self.risk is not None):
            raise click.UsageError("--emergency and --risk-assessment go together")
        if self.risk is None:
            return None
        found = read(self.risk)
        read_writing(found, "risk assessment")
        return found


def wanting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how a release gets its traffic and how fast; it gets them as `wanted`."""

    @functools.wraps(command)
    def wanted(*args: Any, file: Path | None, emergency: bool, risk: Path | None, **more: Any) -> None:
        command(*args, wanted=Wanted(file, emergency, risk), **more)

    options = (
        click.option(
            "--strategy", "file", type=EXISTING, help="How it gets its traffic (YAML); without it, all at once."
        ),
        click.option("--emergency", is_flag=True, help="In a hurry, as the policy allows; it is reviewed afterwards."),
        click.option("--risk-assessment", "risk", type=EXISTING, help="What could go wrong, in writing: a text file."),
    )
    for option in reversed(options):
        wanted = option(wanted)
    return wanted


@click.command("override")
@click.argument("number", type=click.IntRange(min=0))
@click.option("--justification-file", "file", type=EXISTING, required=True, help="Why, in writing: a text file.")
@click.option("--for", "lasts", type=SPAN, default="24h", show_default=True, help="How long it counts: 8h, 2d.")
@click.option(
    "--about", multiple=True, help="What is set aside, such as evaluation:baseline; else everything that may be."
)
@speaking
@as_json
def override(
    number: int, file: Path, lasts: timedelta, about: Sequence[str], connection: "Connection", json_: bool
) -> None:
    """Set what is against change NUMBER aside, in writing and for a time, if the policy names you for it.

    Integrity and approvals cannot be overridden. It is shown wherever the release is, and to whoever is told what
    matters; the change still needs its approvals.
    """
    from lockgate.core.change import Content
    from lockgate.core.override import Aside, Override, seen_of

    justification = read(file)
    text = read_writing(justification, "justification")
    found = connection.get(f"/api/v1/changes/{number}")
    asked = content_of(found)
    if not isinstance(asked, Content):
        raise DeniedError(f"change {number} is about the rules, which nobody overrides")
    named = tuple(Aside.parse(one) for one in about) or _may_be(connection, number)
    begins = now()
    seen = seen_of(named, *_evidence(connection, asked))
    document = Override(number, asked.digest, named, seen, Digest.of(justification), begins, begins + lasts)
    intent = connection.intend("change.override", f"change/{number}", before=asked.digest, after=document.digest)
    answer = connection.act(f"/api/v1/changes/{number}/overrides", intent, override=document, justification=text)
    said: dict[str, object] = {"change": number, "about": [str(one) for one in named], "expires": document.expires}
    said |= {"override": document.digest, "entry": answer["first"]}
    lines = [f"{connection.actor} overrides {one} for change {number} until {document.expires}" for one in named]
    show(json_, said, *lines)


@click.command("review")
@click.argument("number", type=click.IntRange(min=0))
@click.option("--file", type=EXISTING, required=True, help="What you found, in writing: a text file.")
@click.option("--verdict", type=click.Choice(["accepted", "rejected"]), required=True)
@speaking
@as_json
def review(number: int, file: Path, verdict: str, connection: "Connection", json_: bool) -> None:
    """Review an emergency afterwards. You made no part of it, approved nothing of it and set nothing of it aside."""
    from lockgate.core.emergency import Review

    report = read(file)
    text = read_writing(report, "report of the review")
    content = content_of(connection.get(f"/api/v1/changes/{number}")).digest
    document = Review(number, content, "accepted" if verdict == "accepted" else "rejected", Digest.of(report))
    intent = connection.intend("change.review", f"change/{number}", before=content, after=document.digest)
    answer = connection.act(f"/api/v1/changes/{number}/reviews", intent, review=document, report=text)
    said = {"change": number, "verdict": verdict, "report": str(document.report), "entry": answer["first"]}
    show(json_, said, f"{connection.actor} reviewed change {number}: {verdict} (entry {answer['first']})")


def is_emergency(found: Mapping[str, Json]) -> bool:
    """Tell whether a change that the server shows is an emergency."""
    return getattr(content_of(found), "risk", None) is not None


def risk_of(connection: "Connection", found: Mapping[str, Json]) -> list[str]:
    """Show the risk assessment of an emergency to whoever decides about it."""
    from lockgate.core.change import Content
    from lockgate.core.writing import open_writing

    content = content_of(found)
    if not isinstance(content, Content) or content.risk is None:
        return []
    text = open_writing(connection.fetch(f"/api/v1/documents/{content.risk}"), content.risk, "risk assessment")
    return ["this is an emergency; its risk assessment:", *(f"    {line}" for line in text.splitlines())]


def overridden(found: Mapping[str, Json]) -> list[str]:
    """Say in words what was overridden for a change that the server shows."""
    state = found.get("state")
    held = state.get("overrides") if isinstance(state, dict) else None
    rows = [row for row in held if isinstance(row, dict)] if isinstance(held, list) else []
    return [
        f"{row['by']} overrides {one} until {row['expires']}; why: {row['justification']}"
        for row in rows
        for one in _listed(row.get("about"))
    ]


def flagged(connection: "Connection", **about: object) -> list[str]:
    """Say what must be known of concessions: of a change, an endpoint or a release."""
    number = about.pop("change", None)
    lines: list[str] = []
    after: Json = ""
    while after is not None:
        page = connection.get("/api/v1/concessions", after=after, **about)
        for row in _rows(page["items"]):
            conceded = row["concession"]
            if number is None or (isinstance(conceded, dict) and conceded.get("change") == number):
                lines += _listed(row["flags"])
        after = page["next"]
    return lines


def flag_lines(found: Mapping[str, Json]) -> list[str]:
    """Say which breakers have flagged an endpoint that the server shows."""
    return [
        f"flagged by the breaker {row['breaker']} at {row['at']} (entry {row['index']}); why: {row['evidence']}"
        for row in _rows(found.get("flagged"))
    ]


def against(connection: "Connection", found: Mapping[str, Json]) -> list[str]:
    """List what is against an open change now, each with the name by which it could be overridden."""
    state = found.get("state")
    if not isinstance(state, dict) or state.get("phase") != "opened":
        return []
    told = connection.get(f"/api/v1/changes/{state['number']}/assessment")
    named = [f"{row['kind']}:{row['about']}: {row['text']}" for row in _rows(told.get("objections"))]
    rest = [reason for reason in _listed(told.get("reasons")) if not any(line.endswith(reason) for line in named)]
    return [f"in the way: {line}" for line in (*named, *rest)]


def _evidence(connection: "Connection", asked: "Content") -> "tuple[list[bytes], list[Trial]]":
    """Fetch all statements about the release of a change, and its trials."""
    from lockgate.core.trial import Trial

    record = connection.get(f"/api/v1/releases/{asked.tag.name}/{asked.tag.version}")
    documents = [connection.fetch(f"/api/v1/documents/{digest}") for digest in _listed(record["evidence"])]
    return documents, [plain.from_plain(Trial, row) for row in _rows(record.get("trials"))]


def _may_be(connection: "Connection", number: int) -> "tuple[Aside, ...]":
    """Say what is against a change now that somebody may override."""
    from lockgate.core.override import Aside
    from lockgate.core.policy import OVERRIDABLE

    told = connection.get(f"/api/v1/changes/{number}/assessment")
    rows = [row for row in _rows(told.get("objections")) if row["kind"] in OVERRIDABLE]
    if not rows:
        raise DeniedError(f"nothing is against change {number} that could be overridden")
    return tuple(sorted({Aside(str(row["kind"]), str(row["about"])) for row in rows}))


def _rows(value: Json) -> list[dict[str, Json]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _listed(value: Json) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
