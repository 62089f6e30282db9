"""How do files come and go, whatever their size, without being held in memory?

They come in as they are and are stored encrypted; they go out encrypted, and whoever may read them has the keys.
Uploads wait for slow senders, so they have threads of their own: nobody can occupy those that a shutdown needs.
"""

import os
from collections.abc import Iterator
from typing import Annotated, BinaryIO

import anyio.from_thread
import anyio.to_thread
from fastapi import Depends, Path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from lockgate.app.keep_blob import is_kept, keep_blob
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.server.json_schema import DIGEST
from lockgate.server.visit import Here, Visit, answer

UPLOADS = 16  # at the same time; others wait
_PIECE = 1 << 20
_MEDIA = "application/octet-stream"


async def _digest(digest: Annotated[str, Path(pattern=f"^{DIGEST}$")]) -> Digest:
    return Digest.parse(digest)


Named = Annotated[Digest, Depends(_digest)]


async def put_blob(request: Request, visit: Here, digest: Named) -> Response:
    """Store a file, encrypted, under its digest."""
    if "content-length" not in request.headers:
        raise HTTPException(411, "a blob needs a Content-Length")
    stream = request.stream()

    async def piece() -> bytes:
        return await anext(stream, b"")

    def pieces() -> Iterator[bytes]:
        while part := anyio.from_thread.run(piece):
            yield part

    limiter = request.app.state.uploads
    given = visit.installation, pieces(), digest, visit.now
    size = await anyio.to_thread.run_sync(keep_blob, *given, limiter=limiter)
    return answer({"digest": digest, "size": size})


def get_blob(visit: Here, digest: Named) -> Response:
    """Give a file as it is stored: encrypted (spec/encrypted-blob.md)."""
    stream = _open(visit, digest)
    return StreamingResponse(_pieces(stream), headers={"content-length": str(_size(stream))}, media_type=_MEDIA)


def head_blob(visit: Here, digest: Named) -> Response:
    """Tell whether a file is stored and can be opened, and how large it is encrypted."""
    if not is_kept(visit.installation, digest):
        raise HTTPException(404, f"there is no blob {digest}")
    with _open(visit, digest) as stream:
        return Response(headers={"content-length": str(_size(stream))}, media_type=_MEDIA)


def get_document(visit: Here, digest: Named) -> Response:
    """Give a kept document."""
    try:
        found = visit.installation.catalog.document(digest)
    except UnavailableError as e:
        visit.installation.history.size()  # raises if it is the database that is not there
        raise HTTPException(404, f"there is no document {digest}") from e
    return Response(found, media_type=_MEDIA)


def _open(visit: Visit, digest: Digest) -> BinaryIO:
    if not visit.installation.blobs.wraps(digest):
        raise HTTPException(404, f"there is no blob {digest}")
    return visit.installation.blobs.open(digest)


def _size(stream: BinaryIO) -> int:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(_PIECE):
            yield piece
