"""How does a person or a script warn of what serves, and what was said so far?"""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.speaking import ENDPOINT, EXISTING, TAG, as_json, now, read, show, speaking, spread
from lockgate.core.danger import Danger, Severity
from lockgate.core.detection import ACT, Alerts, read_alert
from lockgate.formats import canonical, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.instant import write_instant
from lockgate.formats.names import Endpoint, Tag
from lockgate.formats.one_line import one_line

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection

_COLUMNS = ("LAST", "SEVERITY", "KIND", "RELEASE", "TIMES", "BY", "ENTRY")


@click.group()
def alert() -> None:
    """Warn of what serves at an endpoint. A rollout whose strategy says so is rolled back at once."""


@alert.command("raise")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT, required=False)
@click.option("--kind", type=click.Choice([danger.value for danger in Danger]), help="What was seen.")
@click.option("--severity", type=click.Choice([each.value for each in Severity]), help="How bad it is.")
@click.option("--release", type=TAG, help="In which release, if that is known; else the endpoint as a whole is meant.")
@click.option("--text", help="In words, up to 4000 characters. They are kept as a document, not in the log.")
@click.option("--id", "name", help="Its id; the same id is the same alert. Default: a new one.")
@click.option("--event", type=EXISTING, help="A CloudEvent in JSON instead of all of these.")
@speaking
@as_json
def raise_(event: Path | None, json_: bool, connection: "Connection", **said: object) -> None:
    """Raise an alert (role `detector` or `security-authority`)."""
    given = canonical.parse(read(event)) if event else _composed(connection, said)
    if event and any(value is not None for value in said.values()):
        raise click.UsageError("--event says everything itself")
    found = read_alert(given)
    intent = connection.intend(ACT, found.endpoint, before=found.finding.release, after=found.digest)
    answer = connection.act("/api/v1/alerts", intent, event=given)
    told = {"endpoint": str(found.endpoint), "entry": answer["first"], "id": found.id, "source": found.source}
    finding = found.finding
    show(json_, told, f"{finding.severity} {finding.kind} alert about {found.endpoint} (entry {answer['first']})")


@alert.command("list")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@speaking
@as_json
def list_(where: Endpoint, connection: "Connection", json_: bool) -> None:
    """List what was raised about an endpoint: the newest of each sort, and how often."""
    found = connection.find(f"/api/v1/endpoints/{where}/alerts")
    if found is None:
        show(json_, {"endpoint": str(where), "raised": []}, f"nobody warned of {where}")
        return
    alerts = plain.from_plain(Alerts, dict(found), "alerts")
    rows = [
        (
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            one.severity.value,
            one.danger.value,
            one.release.hex[:16] if one.release else "any",
            str(one.count),
            str(one.by),
            str(one.index),
        )
        for one in reversed(alerts.raised)
    ]
    show(json_, alerts, *spread([_COLUMNS, *rows]))


def _composed(connection: "Connection", said: Mapping[str, object]) -> dict[str, Json]:
    """Make a CloudEvent of what was said on the command line."""
    where, kind, severity = (said[name] for name in ("where", "kind", "severity"))
    if where is None or kind is None or severity is None:
        raise click.UsageError("an alert needs ENDPOINT, --kind and --severity, or an --event")
    release, text = said["release"], said["text"]
    data: dict[str, Json] = {"kind": str(kind), "severity": str(severity)}
    if isinstance(release, Tag):
        data["release"] = str(_digest(connection, release))
    if text is not None:
        data["text"] = one_line(str(text))
    return {
        "specversion": "1.0",
        "id": str(said["name"] or uuid.uuid4()),
        "source": f"/lockgate/{connection.actor}",
        "type": "alert/v1",
        "subject": str(where),
        "time": write_instant(now()),
        "data": data,
    }


def _digest(connection: "Connection", tag: Tag) -> Digest:
    found = connection.get(f"/api/v1/releases/{tag.name}/{tag.version}")
    return plain.from_plain(Digest, found["release"], "release")
