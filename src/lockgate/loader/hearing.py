"""What does the server say the moment that it happens? A line that stays open, and is opened again when it breaks.

    for news in hear(connection, …):
        None            the line is up (again): whatever was missed must be asked for now
        suspended …     ask for the lease of this endpoint, and stop if it is refused

A word is a hint and nothing else. A server that lies can make a host ask; only what is signed lets it serve, and
silence lets every lease run out.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import urllib3

from lockgate.core.news import News, read_news
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.loader.connection import Connection

NEWS = "/api/v1/news"
SILENCE = 30.0  # seconds without a whole event after which the line is dead
LONGEST = 8192  # bytes of one event
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0

Tell: TypeAlias = Callable[[str], None]


def hear(
    connection: Connection, *, ended: Callable[[], bool], pause: Callable[[float], None], tell: Tell
) -> Iterator[News | None]:
    """Yield news until `ended`; None each time that the line is up. It blocks for `SILENCE` seconds at most.

    After a failure it waits, ever longer and never the same time, so that a thousand hosts do not come back at once;
    only a line that lasted makes the next pause short again.
    """
    line, wait = replace(connection, patience=SILENCE), FIRST_PAUSE
    while not ended():
        began = time.monotonic()
        try:
            for news in _line(line):
                yield news
                if ended():
                    return
        except LockgateError as e:
            tell(f"the line to the server is down: {e}")
        if time.monotonic() - began > SILENCE:
            wait = FIRST_PAUSE
        pause(wait * random.uniform(0.5, 1.5))  # noqa: S311 - it scatters, it hides nothing
        wait = min(LONGEST_PAUSE, wait * 2)


def _line(connection: Connection) -> Iterator[News | None]:
    answer = connection.stream(NEWS)
    try:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise VerificationError("the server answered something else than events")
        yield None
        yield from _news(answer)
    finally:
        answer.close()


def _news(answer: urllib3.BaseHTTPResponse) -> Iterator[News]:
    pending, whole_at = b"", time.monotonic()
    while piece := _read(answer):
        *events, pending = (pending + piece).split(b"\n\n")
        if len(pending) > LONGEST or any(len(event) > LONGEST for event in events):
            raise VerificationError(f"the server sent an event of more than {LONGEST} bytes")
        for event in events:
            news = _event(event)
            if news is not None:
                yield news
        if events:
            whole_at = time.monotonic()
        elif time.monotonic() - whole_at > SILENCE:
            raise UnavailableError(f"it drips: no whole event came in {SILENCE:g} s")
    raise UnavailableError("the server has ended it")


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return answer.read1(LONGEST, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as e:
        raise UnavailableError(f"{type(e).__name__}") from e


def _event(written: bytes) -> News | None:
    """Read the fields of one event; lines that begin with a colon are heartbeats."""
    try:
        lines = written.decode("ascii").split("\n")
    except UnicodeDecodeError as e:
        raise VerificationError("the server sent an event that is not ASCII") from e
    fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(":"))
    return read_news(fields) if fields else None
