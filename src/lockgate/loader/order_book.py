"""Which orders does this host keep, and what do they shut? One file for each, signed by the node, in HOME/orders.

    orders/ENV.NAME.DIGEST.json     core.order.Kept in a DSSE envelope: durable before anybody is told so

What is there and cannot be read shuts what its name says, and a file with no such name shuts everything: nobody but a
person who looks may take it away. An order that was lifted is kept until its intent expires, so that it is not obeyed
twice.
"""

import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from lockgate.core.order import Kept, Shutdown, check_not_shut, is_lifted_by, open_kept, sign_kept
from lockgate.core.passport import Admission
from lockgate.errors import DeniedError, UnavailableError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.loader.host import Host
from lockgate.loader.whole_file import write_whole

MAX_OF_ONE = 1024  # that one person gave: what others order is kept all the same
MAX_FOR_ONE = 16  # of one endpoint: the oldest gives way to the next

_NAME = re.compile(r"([^.]+)\.([^.]+)\.[0-9a-f]{64}\.json")
_CLOCK_SKEW = timedelta(hours=2)  # a lifted order is remembered so much longer than its intent lasts


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that cannot be read as an order; `endpoint` is what its name says, None if it says nothing."""

    path: Path
    endpoint: Endpoint | None
    why: str


class OrderBook:
    """The orders of one host. Safe to use from many threads of one agent."""

    def __init__(self, host: Host, now: datetime) -> None:
        """Read what is kept; raise `UnavailableError` if that cannot be found out."""
        self._host, self._folder = host, host.home / "orders"
        self._lock = threading.Lock()
        self._kept: dict[Digest, Kept] = {}
        self.unreadable: tuple[Unreadable, ...] = ()
        self._read(now)

    def kept(self) -> Sequence[Kept]:
        """List the orders that shut something, oldest first."""
        with self._lock:
            found = [kept for kept in self._kept.values() if kept.lifted is None]
        return sorted(found, key=lambda kept: kept.kept_at)

    def find(self, digest: Digest) -> Kept | None:
        """Return an order that this host has, lifted or not."""
        with self._lock:
            return self._kept.get(digest)

    def check(self, endpoint: Endpoint) -> None:
        """Raise `DeniedError` if an order shuts `endpoint` on this host.

        Enforces: emergency_shutdown
        """
        for found in self.unreadable:
            if found.endpoint in (None, endpoint):
                raise DeniedError(f"{endpoint} is shut: an order is kept in {found.path}, and {found.why}")
        for kept in self.kept():
            if kept.endpoint == endpoint:
                check_not_shut(kept)

    def take(self, shutdown: Shutdown, now: datetime) -> Kept:
        """Take an order: from now on its endpoint is shut for this process. Raise `DeniedError` if it was lifted."""
        with self._lock:
            held = self._kept.get(shutdown.digest)
            if held is not None and held.lifted is not None:
                raise DeniedError(f"this order was obeyed, and lifted by entry {held.lifted}: give another one")
            if held is None:
                self._make_room(shutdown, now)
                held = Kept(self._host.node, shutdown.endpoint, shutdown.order, now)
                self._kept[held.digest] = held
            return held

    def keep(self, kept: Kept) -> None:
        """Keep an order that was taken, durably: it is on the disk when this returns. Twice is once."""
        with self._lock:
            self._write(self._kept.get(kept.digest, kept))

    def record(self, digest: Digest, index: int) -> None:
        """Note at which entry the log was proved to hold an order."""
        with self._lock:
            if kept := self._kept.get(digest):
                self._change(replace(kept, recorded=index))

    def settle(self, admission: Admission) -> None:
        """Lift what a judged passport lifts, and raise `DeniedError` if its endpoint is shut all the same."""
        with self._lock:
            for kept in list(self._kept.values()):
                if kept.lifted is None and is_lifted_by(kept, admission.content):
                    self._change(replace(kept, lifted=admission.epoch))
        self.check(admission.permit.endpoint)

    def _change(self, kept: Kept) -> None:
        """Note what became of an order; if that cannot be kept, it shuts again after a restart, until it is noted."""
        self._kept[kept.digest] = kept
        with suppress(UnavailableError):
            self._write(kept)

    def _make_room(self, shutdown: Shutdown, now: datetime) -> None:
        """Let go what no longer counts, and the oldest of too many for an endpoint: the next shuts it longer than that.

        Somebody who gave too many orders that still count gives no more; nobody else is kept from it.
        """
        for kept in [kept for kept in self._kept.values() if _is_over(kept, now)]:
            self._forget(kept)
        same = [kept for kept in self._kept.values() if kept.endpoint == shutdown.endpoint and kept.lifted is None]
        if len(same) >= MAX_FOR_ONE:
            self._forget(min(same, key=lambda kept: kept.kept_at))
        if sum(kept.order.intent.intent.actor == shutdown.by for kept in self._kept.values()) >= MAX_OF_ONE:
            raise UnavailableError(f"this host keeps {MAX_OF_ONE} orders of {shutdown.by} already: see {self._folder}")

    def _forget(self, kept: Kept) -> None:
        del self._kept[kept.digest]
        with suppress(OSError):  # a file that stays opens nothing
            self._path(kept).unlink()

    def _path(self, kept: Kept) -> Path:
        where = kept.endpoint
        return self._folder / f"{where.environment}.{where.name}.{kept.digest.hex}.json"

    def _write(self, kept: Kept) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as e:
            raise UnavailableError(f"cannot make {self._folder}: {e.strerror}") from e
        write_whole(self._path(kept), sign_kept(kept, self._host.key), 0o600)

    def _read(self, now: datetime) -> None:
        try:
            paths = sorted(self._folder.iterdir())
        except FileNotFoundError:
            return
        except OSError as e:
            raise UnavailableError(f"cannot read which orders this host keeps: {self._folder}: {e.strerror}") from e
        keys = self._host.trust.document.actor(self._host.node, now).keys
        unreadable = []
        for path in paths:
            if path.name.startswith("."):  # a draft that a crash left: it was never answered for
                continue
            try:
                kept = open_kept(path.read_bytes(), self._host.node, keys)
                if path != self._path(kept):
                    raise VerificationError("it does not bear its own name")
            except (OSError, VerificationError) as e:
                unreadable.append(Unreadable(path, _endpoint(path), str(e)))
                continue
            if _is_over(kept, now):
                path.unlink(missing_ok=True)
            else:
                self._kept[kept.digest] = kept
        self.unreadable = tuple(unreadable)


def _is_over(kept: Kept, now: datetime) -> bool:
    """Tell whether an order shuts nothing, and cannot be given again."""
    return kept.lifted is not None and kept.order.intent.intent.expires + _CLOCK_SKEW <= now


def _endpoint(path: Path) -> Endpoint | None:
    """Read what a file of an order is about from its name alone."""
    found = _NAME.fullmatch(path.name)
    try:
        return Endpoint.parse(f"{found[1]}/{found[2]}") if found else None
    except VerificationError:
        return None
