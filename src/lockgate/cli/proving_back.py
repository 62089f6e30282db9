"""How does a person know that an endpoint could go back? By the last look at every byte of its former release."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from lockgate.cli.speaking import ENDPOINT, as_json, show, speaking
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection

_AGAIN_SECONDS = 0.5
_EXITS = {"whole": 0, "damaged": VerificationError.exit_code, "unknown": UnavailableError.exit_code}


@click.command("prove")
@click.argument("where", metavar="ENDPOINT", type=ENDPOINT)
@speaking
@as_json
def prove(where: Endpoint, connection: "Connection", json_: bool) -> int:
    """Have every byte of the release that an endpoint would go back to read now, and wait for what is found.

    Exit 4 if it is damaged, 6 if nobody could tell. Reading has a bounded pace: of a large release it takes a while.
    """
    path = f"/api/v1/endpoints/{where}/preservation"
    found: Mapping[str, Json] = canonical.parse_object(connection.post(path, b"{}"))
    asked_at = str(found["now"])
    if found.get("target") is None:
        raise DeniedError(f"{where} has no release to go back to now")
    while not isinstance(look := found.get("look"), Mapping) or str(look["looked_at"]) < asked_at:
        time.sleep(_AGAIN_SECONDS)
        found = connection.get(path)
        if found.get("target") is None:
            raise DeniedError(f"{where} has no release to go back to any more")
    show(json_, found, *way_back_lines(found))
    return _EXITS[str(look["finding"])]


def shown_way_back(connection: "Connection", where: Endpoint) -> Mapping[str, Json]:
    """Ask what is known of the way back; nothing of a server that does not look."""
    return connection.find(f"/api/v1/endpoints/{where}/preservation") or {}


def way_back_lines(found: Mapping[str, Json]) -> list[str]:
    """Say what is wrong with the way back, or when it was last seen whole."""
    flags, look = found.get("flags"), found.get("look")
    if isinstance(flags, list) and flags:
        return [f"WAY BACK: {flag}" for flag in flags]
    if not isinstance(look, Mapping):
        return ["the way back was not looked at yet"] if found.get("target") is not None else []
    if look["finding"] != "whole":
        return [f"WAY BACK: {look['finding']}: {_flaws(look)}"]
    return [f"the way back was seen whole at {look['looked_at']}: {look['files']} files, {look['size']} bytes"]


def _flaws(look: Mapping[str, Json]) -> str:
    flaws = look["flaws"]
    return (
        "; ".join(str(flaw["says"]) for flaw in flaws if isinstance(flaw, Mapping)) if isinstance(flaws, list) else ""
    )
