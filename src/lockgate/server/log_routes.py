"""How can an outsider follow the log?

Checkpoints and hash tiles are for everyone (C2SP tlog-tiles); entries are for who has the right to read the log.
"""

from typing import Annotated

from fastapi import Path, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.errors import VerificationError
from lockgate.formats.canonical import MAX_INTEGER
from lockgate.server.rule_routes import head_of
from lockgate.server.visit import Here, Open, answer
from lockgate.tlog.proof import LogProof
from lockgate.tlog.tiles import TilePath, inclusion_proof, tile_width

PAGE = 1000
_TEXT = "text/plain; charset=utf-8"
_FOR_EVER = "public, max-age=31536000, immutable"

Index = Annotated[int, Path(ge=0, le=MAX_INTEGER)]


def get_entries(
    visit: Here,
    start: Annotated[int, Query(ge=0, le=MAX_INTEGER)] = 0,
    stop: Annotated[int | None, Query(ge=0, le=MAX_INTEGER)] = None,
) -> Response:
    """Give the entries from `start` up to, not including, `stop`: at most 1000; `next` is where to go on."""
    size = visit.installation.history.size()
    wanted = min(size, size if stop is None else stop)
    end = min(wanted, start + PAGE)
    found = [entry.decode() for entry in visit.installation.history.entries(start, end)] if start < end else []
    return answer({"items": found, "next": end if start < end < wanted else None})


def get_proof(visit: Here, index: Index) -> Response:
    """Prove under a checkpoint of now that the log holds entry `index` (c2sp.org/tlog-proof)."""
    note = publish_checkpoint(visit.installation)
    size = head_of(note).size
    if index >= size:
        raise HTTPException(404, f"the log has {size} entries")
    proof = LogProof(index, inclusion_proof(index, size, visit.installation.history.tile), note)
    return Response(proof.encode(), media_type=_TEXT)


def get_checkpoint(desk: Open) -> Response:
    """Give the newest checkpoint."""
    note = desk.installation.checkpoints.newest()
    if note is None:
        raise HTTPException(404, "no checkpoint was published yet")
    return Response(note, media_type=_TEXT, headers={"cache-control": "no-cache"})


def get_tile(desk: Open, path: Annotated[str, Path(max_length=100)]) -> Response:
    """Give a hash tile of the tree under the newest checkpoint."""
    try:
        tile = TilePath.parse(f"tile/{path}")
    except VerificationError as e:
        raise HTTPException(404, "this is not the path of a tile") from e
    note = desk.installation.checkpoints.newest()
    size = head_of(note).size if note else 0
    if tile.level is None or tile.width > tile_width(tile.level, tile.n, size):
        raise HTTPException(404, "there is no such hash tile")
    hashes = desk.installation.history.tile(tile.level, tile.n, tile.width)
    return Response(hashes, media_type="application/octet-stream", headers={"cache-control": _FOR_EVER})
