"""How does a person take a release or a key back, for good?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.speaking import as_json, public_key, show, speaking
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection


@click.command()
@click.argument("what", metavar="RELEASE|KEYID|PUBLIC-KEY-FILE")
@click.option("--reason", required=True, help="Why, in writing. It is public: hosts and readers of the log see it.")
@speaking
@as_json
def revoke(what: str, reason: str, connection: "Connection", json_: bool) -> None:
    """Revoke a release (NAME@X.Y.Z) or a key (sha256:… or its public half in PEM), at once and for good.

    A release is neither granted nor activated nor rolled back to from now on, and no host loads it. Of a key nothing
    counts any more: not what it will sign, and not what it ever signed. One authorised hand is enough; asking twice
    does it once. Root keys, and the server's key for updates, are replaced by the next trust document instead.
    """
    act, path, object_, before = _named(connection, what)
    intent = connection.intend(act, object_, before=before, after=Digest.of(reason.encode()))
    answer = connection.act(path, intent, reason=reason)
    published = answer.get("published")
    found = {"revoked": str(object_), "digest": str(before), "entry": answer["first"], "published": published}
    found["anchored"] = answer.get("anchored") is True
    told = (
        f"published at {published}: no host that looks from now on loads it"
        if published
        else "not published yet: hosts learn of it when the server can write again; leases are refused already"
    )
    show(json_, found, f"{object_} is revoked (entry {answer['first']})", told, *_who_obeys(published))


def _named(connection: "Connection", what: str) -> tuple[str, str, object, Digest]:
    """Say what is meant: act, path, object and digest."""
    if "@" in what and not Path(what).is_file():
        tag = Tag.parse(what)
        path = f"/api/v1/releases/{tag.name}/{tag.version}"
        record = connection.get(path)
        return "release.revoke", f"{path}/revocation", tag, Digest.parse(str(record["release"]))
    key = Digest.parse(what) if what.startswith("sha256:") else public_key(Path(what)).key_id
    return "key.revoke", f"/api/v1/keys/{key}/revocation", key, key


def _who_obeys(published: object) -> list[str]:
    if not published:
        return []
    return ["running model servers stop at their next renewal; whoever cannot be reached is out when its lease ends"]
