"""How does a person see that a rollback comes to every host? By what each of them says, until the last one has it.

host-1: serves the former release, and nothing else
host-2: does not serve it yet, or something else too
host-3: NO WORD: what it serves is not known
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lockgate.formats import plain
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint

if TYPE_CHECKING:
    from lockgate.core.restoration import Restoration
    from lockgate.loader.connection import Connection

_AGAIN_SECONDS = 0.3
_WORDS = {
    "back": "serves the former release, and nothing else",
    "not yet": "does not serve it yet, or something else too",
    "silent": "NO WORD: what it serves is not known",
}


@dataclass(frozen=True, slots=True)
class Coming:
    """How far the last rollback at an endpoint is, as the server says; None if something else happened since."""

    shown: Json
    hosts: Mapping[str, Json]

    @property
    def restoration(self) -> "Restoration | None":
        """How far it is."""
        from lockgate.core.restoration import Restoration

        return plain.from_plain(Restoration, self.shown, "restoration") if self.shown is not None else None

    @property
    def is_done(self) -> bool:
        """Whether every host has it."""
        return self.restoration is not None and self.restoration.milliseconds is not None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for: it is done, or its window is over."""
        return self.restoration is None or self.is_done or self.restoration.overdue

    @property
    def lines(self) -> list[str]:
        """Say how far it is, in words, and what each host says."""
        hosts = [] if self.is_done else [f"{node}: {_word(word)}" for node, word in sorted(self.hosts.items())]
        return [*([_line(self.restoration)] if self.restoration else []), *hosts]


def coming(connection: "Connection", where: Endpoint, shown: Json) -> Coming:
    """Say how far a rollback is that an endpoint shows, and what its hosts say if it is under way."""
    found = Coming(shown, {})
    if found.restoration is None or found.is_done:
        return found
    asked = connection.find(f"/api/v1/endpoints/{where}/restoration") or {}
    hosts = asked.get("hosts")
    return Coming(shown, hosts if isinstance(hosts, Mapping) else {})


def awaited(connection: "Connection", where: Endpoint, entry: Json) -> Coming:
    """Ask again and again until the rollback of `entry` is done or overdue, or something else happened."""
    *_, last = following(connection, where, entry)
    return last


def following(connection: "Connection", where: Endpoint, entry: Json) -> Iterator[Coming]:
    """Give each look at the rollback of `entry`, the last one when there is nothing more to wait for."""
    while True:
        found = coming(connection, where, connection.get(f"/api/v1/endpoints/{where}").get("restoration"))
        if found.restoration is not None and found.restoration.rollback != entry:
            found = Coming(None, {})
        yield found
        if found.is_over:
            return
        time.sleep(_AGAIN_SECONDS)


def _line(restoration: "Restoration") -> str:
    window = f"the window is {restoration.window_seconds} s"
    if restoration.milliseconds is not None:
        late, took = "LATE: " if restoration.overdue else "", f"{restoration.milliseconds / 1000:.1f} s after the act"
        return f"{late}every host had the former release {took}; {window}"
    if not restoration.overdue:
        return "the rollback is under way: not every host has said that it serves the former release"
    waiting = ", ".join(map(str, restoration.waiting)) or "no host reports at all"
    silent = f"; NO WORD from {', '.join(map(str, restoration.silent))}" if restoration.silent else ""
    return f"OVERDUE: the rollback was not seen to be done everywhere; {window}; waiting for: {waiting}{silent}"


def _word(word: Json) -> str:
    return _WORDS.get(str(word), str(word))
