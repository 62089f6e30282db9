"""To whom was something granted on this host, and not proven to be cut since? Kept, so that no restart forgets it.

    HOME/bindings/granted.json    written before anything is granted, and when it was proven that nobody gets in

What is in it and held by no run is cut. It proves nothing to anybody else, and only ever makes the agent cut.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lockgate.core.binding import Holder
from lockgate.errors import UnavailableError
from lockgate.formats import plain
from lockgate.formats.names import Endpoint, Name
from lockgate.loader.whole_file import write_whole


@dataclass(frozen=True, slots=True)
class Entry:
    """A binding, and whom it was granted to."""

    name: Name
    holder: Holder


@dataclass(frozen=True, slots=True)
class _Page:
    type: ClassVar[str] = "granted-book/v1"
    entries: tuple[Entry, ...]


class GrantBook:
    """What this host has granted. Safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        """Read it; raise `UnavailableError` or `VerificationError` if that cannot be done."""
        self._path, self._lock = folder / "granted.json", threading.Lock()
        try:
            self._entries = set(plain.decode(_Page, self._path.read_bytes()).entries)
        except FileNotFoundError:
            self._entries = set()
        except OSError as e:
            raise UnavailableError(f"cannot read {self._path}: {e.strerror}") from e

    def note(self, name: Name, holder: Holder) -> None:
        """Note durably that something is about to be granted; raise `UnavailableError` if that cannot be kept."""
        with self._lock:
            noted = self._entries | {Entry(name, holder)}
            if noted != self._entries:
                self._write(noted)
                self._entries = noted

    def forget(self, name: Name, holders: Sequence[Holder]) -> None:
        """Note that nobody of these gets in any more. If that cannot be kept, the next agent cuts them once more."""
        with self._lock:
            left = self._entries - {Entry(name, holder) for holder in holders}
            if left != self._entries:
                self._entries = left
                with suppress(UnavailableError):
                    self._write(left)

    def holders(self, name: Name) -> Sequence[Holder]:
        """List whom a binding was granted to."""
        with self._lock:
            return sorted(entry.holder for entry in self._entries if entry.name == name)

    def names(self, endpoint: Endpoint) -> Mapping[Name, Sequence[Holder]]:
        """List what was granted at an endpoint, to whom."""
        with self._lock:
            found = [entry for entry in self._entries if entry.holder.endpoint == endpoint]
        return {name: [each.holder for each in found if each.name == name] for name in {each.name for each in found}}

    def _write(self, entries: set[Entry]) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as e:
            raise UnavailableError(f"cannot make {self._path.parent}: {e.strerror}") from e
        listed = sorted(entries, key=lambda entry: (entry.name, entry.holder))
        write_whole(self._path, plain.encode(_Page(tuple(listed))), 0o600)
