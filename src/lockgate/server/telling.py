"""When is somebody told, and what if they cannot be reached? A thread for each channel, which follows the log.

    look every half second ─▶ tell ─▶ remember the place ─▶ tell ─▶ remember …
                               │ no answer
                               └──▶ wait 1 s, 2 s, 4 s … 5 min, then the same message again

The place is remembered in HOME/notified.json after each message: a server that is killed in between tells one of them
twice, and leaves none out. Of servers that share a home one tells, and when it ends another. No request waits for this.
"""

import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lockgate.app.installation import Installation
from lockgate.app.notify import tell_from
from lockgate.app.ports import Channel
from lockgate.core.notice import Notice, frozen
from lockgate.errors import LockgateError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.loader.whole_file import write_whole

FILE = "notified.json"

_PULSE = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_URGENT = 16  # messages that are about no entry, and wait

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notified:
    """How far each channel was told: the index of the first entry that it does not know of."""

    places: Mapping[str, int]


class Places:
    """Remembers how far each channel was told. Safe to use from many threads."""

    def __init__(self, path: Path, names: Iterable[str], size: int) -> None:
        """Read the file. A new channel begins where the last of the former ones stands; the first of all, at `size`."""
        held = _read(path)
        begin = min(held.values(), default=size)
        self._path, self._lock = path, threading.Lock()
        self._turn: int | None = None
        self._places = {name: held.get(name, begin) for name in names}
        self._write()

    def is_ours(self) -> bool:
        """Tell whether this is the process of the home that tells; until then learn how far that one is."""
        with self._lock:
            if self._turn is None:
                self._turn = _take(self._path.with_suffix(".lock"))
                self._places |= {name: place for name, place in _read(self._path).items() if name in self._places}
            return self._turn is not None

    def of(self, name: str) -> int:
        """Say where to go on for a channel."""
        with self._lock:
            return self._places[name]

    def remember(self, name: str, place: int) -> None:
        """Note that a channel was told everything before `place`."""
        with self._lock:
            self._places[name] = place
            self._write()

    def end(self) -> None:
        """Tell no more: another process of the home may."""
        with self._lock:
            if self._turn is not None:
                os.close(self._turn)
            self._turn = None

    def _write(self) -> None:
        write_whole(self._path, plain.encode(Notified(self._places)), 0o600)


class Teller:
    """Follows the log for one channel, and counts."""

    def __init__(
        self, installation: Installation, channel: Channel, places: Places, address: str | None = None
    ) -> None:
        self.told = self.failed = 0
        self.failing = False
        self._installation, self._channel, self._places = installation, channel, places
        self._address = address
        self._urgent: deque[Notice] = deque(maxlen=_URGENT)

    @property
    def name(self) -> str:
        """That of the channel."""
        return self._channel.name

    @property
    def place(self) -> int:
        """Everything before this entry was told."""
        return self._places.of(self.name)

    def urge(self, notice: Notice) -> None:
        """Tell this before anything that the log holds. It is forgotten when the server ends."""
        self._urgent.append(notice)

    def tell(self, notice: Notice) -> None:
        """Tell the channel (port `Channel`), and count."""
        try:
            self._channel.tell(notice)
        except Exception:
            self.failed += 1
            self.failing = True
            raise
        self.told += 1
        self.failing = False

    def follow(self, ended: threading.Event) -> None:
        """Tell what is new, or wait for the channel to answer, until `ended`."""
        pause, complaint = 0.0, ""
        while not ended.wait(pause or _PULSE):
            try:
                self._tell_all(ended)
                pause, complaint = 0.0, ""
            except Exception as e:  # noqa: BLE001 - a library of many authors: whatever it is, others are told, and so is this later
                pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE) if self.failing else _FIRST_PAUSE
                if str(e) != complaint:
                    _log.warning("not everything was told: %s", e if isinstance(e, LockgateError) else type(e).__name__)
                complaint = str(e)

    def end(self) -> None:
        """Let another process of the home tell, once nothing follows the log here any more."""
        self._places.end()

    def _tell_all(self, ended: threading.Event) -> None:
        while self._urgent:
            self.tell(self._urgent[0])
            self._urgent.popleft()
        if not self._places.is_ours():
            return
        for place in tell_from(self._installation, self, self.place, self._address):
            self._places.remember(self.name, place)
            if ended.is_set() or self._urgent:
                return


def tellers_of(
    installation: Installation, channels: Sequence[Channel], home: Path, address: str | None = None
) -> tuple[Teller, ...]:
    """Make a teller for each channel; without channels nothing is remembered."""
    if not channels:
        return ()
    places = Places(home / FILE, [channel.name for channel in channels], installation.history.size())
    tellers = tuple(Teller(installation, channel, places, address) for channel in channels)

    def urge_all(reason: str | None) -> None:
        for teller in tellers:
            teller.urge(frozen(str(installation.environment), reason))

    installation.watch.hooks.append(urge_all)
    if installation.watch.frozen is not None:  # since before anybody could be told
        urge_all(installation.watch.frozen)
    return tellers


def readiness(tellers: Sequence[Teller]) -> dict[str, str]:
    """Say in public whether everybody is told: how many are not, and nothing about who."""
    failing = sum(teller.failing for teller in tellers)
    told = f"{failing} of {len(tellers)} channels do not answer" if failing else "told"
    return {"notifications": told} if tellers else {}


def samples(tellers: Sequence[Teller]) -> Iterator[str]:
    """Write down how far everybody was told (Prometheus text format)."""
    rows = (
        ("messages_total", "counter", "Messages by channel and answer.", ("answer", "told"), "told"),
        ("messages_total", "", "", ("answer", "failed"), "failed"),
        ("failing", "gauge", "1 while a channel does not answer.", None, "failing"),
        ("place", "gauge", "The first entry of the log that a channel was not told of.", None, "place"),
    )
    for name, kind, text, label, value in rows if tellers else ():
        if kind:
            yield f"# HELP lockgate_notification_{name} {text}"
            yield f"# TYPE lockgate_notification_{name} {kind}"
        for teller in tellers:
            more = f',{label[0]}="{label[1]}"' if label else ""
            yield f'lockgate_notification_{name}{{channel="{teller.name}"{more}}} {int(getattr(teller, value))}'


def _take(path: Path) -> int | None:
    """Take a lock for as long as this process lives; None if another one has it."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise UnavailableError(f"cannot open {path}: {e.strerror}") from e
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _read(path: Path) -> Mapping[str, int]:
    try:
        held = plain.decode(Notified, path.read_bytes()).places
        if min(held.values(), default=0) < 0:
            raise VerificationError("a place in the log is not negative")
    except FileNotFoundError:
        return {}
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e
    except VerificationError as e:
        raise VerificationError(f"{path} does not say who was told what: {e}. Without it, only news are told") from e
    return held
