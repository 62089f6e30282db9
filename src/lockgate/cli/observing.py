"""How does somebody tell what a provider really serves, and what is known of it?"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from lockgate.cli.speaking import ENDPOINT, NAME, TAG, as_json, show, speaking, spread
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection


@click.group()
def provider() -> None:
    """What a provider serves: write down what was seen, and show what is known."""


@provider.command("observe")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@click.argument("component", type=NAME)
@click.option("--release", type=TAG, help="Which release has the model; else the one that serves there.")
@click.option("--version", help="The version that its answers name.")
@click.option("--region", help="The region that answers.")
@click.option("--routing", help="The way that requests take there.")
@click.option("--snapshot", help="The fingerprint of its answers, such as system_fingerprint.")
@speaking
@as_json
def observe_component(
    where: Endpoint, component: Name, release: Tag | None, connection: "Connection", json_: bool, **seen: str | None
) -> None:
    """Write down what the provider of COMPONENT shows now (role `detector`, `agent` or `security-authority`).

    What is another than before, or than pinned, makes older results count no more at ENDPOINT. Exit 3: it is no news.
    """
    from lockgate.core.appearance import ACT, Glimpse, Shows

    if not any(seen.values()):
        raise click.UsageError("say what was seen: --version, --region, --routing or --snapshot")
    found = Glimpse(where, _serving(connection, where, release), component, Shows(**seen))
    intent = connection.intend(ACT, where, before=found.release, after=found.digest)
    answer = connection.act("/api/v1/appearances", intent, glimpse=found)
    known = [one for one in _known(connection, where) if one.get("component") == str(component)]
    words = [line for one in known for line in _words(one)]
    told = f"wrote down what {component} shows (entry {answer['first']})"
    show(json_, {"endpoint": str(where), "entry": answer["first"], "known": known}, told, *words)


@provider.command("show")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@speaking
@as_json
def show_providers(where: Endpoint, connection: "Connection", json_: bool) -> None:
    """Show what is known of the provider models at ENDPOINT, and since when older results count no more."""
    known = _known(connection, where)
    if not known:
        show(json_, {"endpoint": str(where), "seen": []}, f"nobody wrote down what providers show at {where}")
        return
    rows = [["COMPONENT", "RELEASE", "VERSION", "REGION", "ROUTING", "SNAPSHOT", "SEEN"]]
    for one in known:
        shows = one["shows"] if isinstance(one["shows"], dict) else {}
        pins = [str(shows.get(pin) or "-") for pin in ("version", "region", "routing", "snapshot")]
        rows.append([str(one["component"]), str(one["release"])[7:23], *pins, str(one["at"])[:19]])
    words = [line for one in known for line in _words(one)]
    show(json_, {"endpoint": str(where), "seen": known}, *spread(rows), *words)


def _words(one: Mapping[str, Json]) -> list[str]:
    unlike, changed = one.get("unlike"), one.get("changed")
    lines = [f"  {one['component']}: {what}" for what in unlike] if isinstance(unlike, list) else []
    if one.get("changed_at") and isinstance(changed, list):
        what = "; ".join(map(str, changed))
        lines.append(f"  {one['component']} changed at {one['changed_at']}: {what}; results from before count no more")
    return lines


def _known(connection: "Connection", where: Endpoint) -> list[Mapping[str, Json]]:
    found = connection.find(f"/api/v1/endpoints/{where}/appearances")
    seen = found.get("seen") if found else []
    return [one for one in seen if isinstance(one, dict)] if isinstance(seen, list) else []


def _serving(connection: "Connection", where: Endpoint, tag: Tag | None) -> Digest:
    if tag is not None:
        return Digest.parse(str(connection.get(f"/api/v1/releases/{tag.name}/{tag.version}")["release"]))
    slots = connection.get(f"/api/v1/endpoints/{where}").get("slots")
    if not isinstance(slots, list) or not slots:
        raise DeniedError(f"nothing serves at {where}")
    stable = slots[-1]
    if not isinstance(stable, dict):
        raise VerificationError(f"the server does not say what serves at {where}")
    return Digest.parse(str(stable["release"]))
