"""By whose rules does a command verify offline? By those of a signed document, of a folder of updates, or of a host."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.speaking import now, read
from lockgate.errors import UnavailableError

if TYPE_CHECKING:
    from lockgate.core.policy import Policy
    from lockgate.core.revocation import Revocations
    from lockgate.core.trust import Agreed, Root, Trust

RULES = click.Path(path_type=Path, exists=True)
NOT_LOOKED_AT = "revocations were not looked at: a document does not say what was revoked; give HOME or a folder"


@dataclass(frozen=True, slots=True)
class Pinned:
    """What somebody judges by, under the root that they pinned. `policy` and `revoked` come with a folder or a home."""

    trust: "Agreed[Trust]"
    policy: "Agreed[Policy] | None"
    revoked: "Revocations"
    looked: bool


def pinned(where: Path, root: Path | None) -> Pinned:
    """Read a signed trust document, the home of a host, or a folder of updates; the latter two must be fresh."""
    if where.is_dir():
        return _learnt(where, root)
    from lockgate.core.revocation import Revocations
    from lockgate.core.trust import open_trust

    trust = open_trust(read(where), _root(root), now())
    return Pinned(trust, None, Revocations(trust.document.environment, ()), looked=False)


def _learnt(where: Path, root: Path | None) -> Pinned:
    from lockgate.loader.feed import FolderFeed
    from lockgate.loader.host import learn
    from lockgate.loader.updates import refresh

    if (where / "host.toml").exists():
        update = learn(where, now())
    elif (where / "timestamp.json").exists():
        with tempfile.TemporaryDirectory(prefix="lockgate-") as memory:
            update = refresh(Path(memory), _root(root), FolderFeed(where), now())
    else:
        raise UnavailableError(f"{where} is neither the home of a host nor a folder of updates")
    return Pinned(update.trust, update.policy, update.revoked, looked=True)


def _root(path: Path | None) -> "Root":
    from lockgate.core.trust import Root
    from lockgate.formats import plain

    if path is None:
        raise click.UsageError("say which root you pinned: --root (JSON: threshold, keys)")
    return plain.decode(Root, read(path))
