"""How is the log taken away and verified by somebody who trusts neither the server nor its database?

DIRECTORY/checkpoint                the signed head
          tile/entries/000.p/7 …    the entries, in bundles of 256
          tile/0/000.p/7 …          the hashes above them
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lockgate.core.journal import State, Subject, read_fact, replay
from lockgate.core.trust import Agreed, Trust
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.loader.connection import Connection
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint, parse_decimal
from lockgate.tlog.merkle import leaf_hashes, tree_root
from lockgate.tlog.tiles import TILE_WIDTH, TilePath, decode_bundle, encode_bundle, tile_paths

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Verified:
    """A log whose tree matches its signed head, and the state that follows from it."""

    entries: tuple[bytes, ...]
    checkpoint: Checkpoint
    states: Mapping[Subject, State]


def entries_of(connection: Connection, start: int, stop: int | None) -> Iterator[bytes]:
    """Read entries of the log, page by page."""
    while stop is None or start < stop:
        answer = connection.get("/api/v1/log/entries", start=start, stop=stop)
        items = answer["items"]
        if not isinstance(items, list) or not items:
            return
        yield from (str(item).encode() for item in items)
        start += len(items)


def export(connection: Connection, directory: Path) -> int:
    """Write the log under its newest checkpoint into `directory`; return how many entries it has."""
    connection.get("/api/v1/installation")  # has a checkpoint signed that covers everything until now
    note = connection.fetch("/log/checkpoint")
    size = _size(note)
    entries = list(entries_of(connection, 0, size))
    if len(entries) != size:
        raise VerificationError(f"the server signed a log of {size} entries, and gives {len(entries)}")
    for path in tile_paths(size):
        if path.level is None:
            first = path.n * TILE_WIDTH
            content = encode_bundle(entries[first : first + path.width])
        else:
            content = connection.fetch("/log/" + path.encode())
        _write(directory / path.encode(), content)
    _write(directory / "checkpoint", note)
    return len(entries)


def verified(directory: Path, trust: Agreed[Trust], *, until: datetime | None = None) -> Verified:
    """Verify an exported log: the signature of its head, every leaf, the tree, and that a state follows from it."""
    try:
        note = (directory / "checkpoint").read_bytes()
        checkpoint = open_checkpoint(note, trust.document.log_verifiers())
        entries = tuple(_entries(directory, checkpoint.size))
    except OSError as e:
        raise UnavailableError(f"the export is not whole: {e.filename}: {e.strerror}") from e
    if tree_root(leaf_hashes(entries)) != checkpoint.root:
        raise VerificationError(f"the entries are not those of the checkpoint: the root of {len(entries)} differs")
    return Verified(entries, checkpoint, replay(entries, until=until))


def read_events(directory: Path) -> list[Mapping[str, Json]]:
    """Read the events of an export without verifying it."""
    return [read_event(entry) for entry in read_entries(directory)]


def read_entries(directory: Path) -> list[bytes]:
    """Read the entries of an export without verifying it."""
    try:
        size = _size((directory / "checkpoint").read_bytes())
        return list(_entries(directory, size))
    except OSError as e:
        raise UnavailableError(f"the export is not whole: {e.filename}: {e.strerror}") from e


def read_event(entry: bytes) -> Mapping[str, Json]:
    """Read an entry of the log; raise `VerificationError` if it is none."""
    read_fact(entry)
    return canonical.parse_object(entry)


def _entries(directory: Path, size: int) -> Iterator[bytes]:
    for first in range(0, size, TILE_WIDTH):
        width = min(TILE_WIDTH, size - first)
        bundle = (directory / TilePath(None, first // TILE_WIDTH, width).encode()).read_bytes()
        yield from decode_bundle(bundle, width)


def _size(note: bytes) -> int:
    """Read the size out of a checkpoint that nobody has verified yet."""
    try:
        return parse_decimal(note.decode().split("\n")[1])
    except (IndexError, UnicodeDecodeError) as e:
        raise VerificationError("not a checkpoint: it has no second line") from e


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as e:
        raise UnavailableError(f"cannot write {path}: {e.strerror}") from e
