"""Where do the files come from by which a host learns what to judge by? A server or a folder; neither is trusted.

A feed is a static folder: `lockgate up` gives it under `/tuf/`, any web server or a stick can too. What it gives is
bounded in size by who reads, and in time by the feed.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import urllib3

from lockgate.errors import UnavailableError, VerificationError
from lockgate.loader.connection import open_pool, why_unanswered
from lockgate.loader.source import open_beneath
from lockgate.loader.tls import Tls

WHOLE_SECONDS = 30.0  # for all that one look at a feed reads, however slowly it drips
_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_PIECE = 1 << 16


class Feed(Protocol):
    """Static files by their place. Raises `UnavailableError` when it cannot be known whether a file is there."""

    def stream(self, place: str) -> Iterator[bytes] | None:
        """Give a file piece by piece, None if it is not there."""


@dataclass
class HttpFeed:
    """The files below `url`. Redirects are not followed, nothing is decoded."""

    url: str
    tls: Tls | None = None
    seconds: float = WHOLE_SECONDS

    def __post_init__(self) -> None:
        self._ends_at = time.monotonic() + self.seconds
        self._pool = open_pool(self.url, self.tls or Tls())

    def stream(self, place: str) -> Iterator[bytes] | None:
        """Ask for a file (port `Feed`)."""
        try:
            answer = self._pool.request(
                "GET", f"{self.url}/{place}", redirect=False, preload_content=False, timeout=_TIMEOUT
            )
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"no answer from {self.url}: {why_unanswered(e, self.url)}") from e
        if answer.status != 200:
            answer.close()
            if answer.status in (403, 404):
                return None
            raise UnavailableError(f"{self.url}/{place} answered {answer.status}, and no file")
        return self._pieces(answer, place)

    def _pieces(self, answer: urllib3.BaseHTTPResponse, place: str) -> Iterator[bytes]:
        try:
            while piece := answer.read1(_PIECE, decode_content=False):
                if time.monotonic() > self._ends_at:
                    raise UnavailableError(f"{self.url}/{place} takes longer than {self.seconds:g} s")
                yield piece
            if answer.length_remaining:
                raise UnavailableError(f"{place} broke off {answer.length_remaining} bytes before its end")
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as e:
            raise UnavailableError(f"{place} broke off: {type(e).__name__}") from e
        finally:
            answer.close() if answer.length_remaining else None


@dataclass(frozen=True, slots=True)
class FolderFeed:
    """The files below a folder: how a host without a network is fed."""

    folder: Path

    def stream(self, place: str) -> Iterator[bytes] | None:
        """Open a file (port `Feed`)."""
        try:
            file = os.fdopen(open_beneath(self.folder, place), "rb")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as e:
            raise UnavailableError(f"cannot read {self.folder / place}: {e.strerror}") from e

        def pieces() -> Iterator[bytes]:
            with file:
                while piece := file.read(_PIECE):
                    yield piece

        return pieces()


def read_whole(feed: Feed, place: str, limit: int) -> bytes | None:
    """Read a file of at most `limit` bytes, None if it is not there."""
    pieces, content = feed.stream(place), bytearray()
    if pieces is None:
        return None
    for piece in pieces:
        content += piece
        if len(content) > limit:
            with suppress(AttributeError):
                pieces.close()  # type: ignore[attr-defined]  # a generator
            raise VerificationError(f"{place} has more than {limit} bytes")
    return bytes(content)
