"""Which stored tiles answer a question about the tree, and which are complete after an append?

    level 1   [ r0, r1 … r255 ]                        each hash is the root of a full tile of the level below
                 |
    level 0   [ h0 … h255 ] [ h256 … h511 ] [ h512 …   a tile is 256 neighbouring hashes: a subtree of height 8

The format is C2SP tlog-tiles. Only full tiles are stored, and never change. A partial tile is a row of hashes that its
level already has, so the reader can always give it. The node (height, index) covers the leaves from index * 2**height
up to, not including, (index + 1) * 2**height.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from lockgate.errors import VerificationError
from lockgate.tlog.merkle import HASH_SIZE, MAX_SIZE, Hash, fold, parents, perfect_root, split_hashes

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_ENTRY = 0xFFFF

TileReader = Callable[[int, int, int], bytes]
"""Gives the first `width` hashes of tile `n` of `level`, concatenated: (level, n, width) -> bytes."""

_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile; `root` is its hash in the level above."""

    level: int
    n: int
    hashes: bytes
    root: Hash


@dataclass(frozen=True, slots=True)
class TilePath:
    """Where a tile is published (C2SP tlog-tiles); `level` None means the bundle of entries."""

    level: int | None
    n: int
    width: int = TILE_WIDTH

    def encode(self) -> str:
        """Write the path, as in `tile/0/x001/234.p/5`."""
        digits = f"{self.n:03d}"
        groups = f"{digits:0>{-(-len(digits) // 3) * 3}}"
        parts = [groups[i : i + 3] for i in range(0, len(groups), 3)]
        number = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{'entries' if self.level is None else self.level}/{number}{partial}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read a path; only the way `encode` writes it."""
        found = _PATH.fullmatch(path)
        if not found:
            raise VerificationError("this is not the path of a tile")
        level, number, width = found.groups()
        n = int(number.replace("x", "").replace("/", ""))
        parsed = cls(None if level == "entries" else int(level), n, int(width or TILE_WIDTH))
        if parsed.encode() != path or not 0 < parsed.width <= TILE_WIDTH or (parsed.level or 0) > 63:
            raise VerificationError(f"path of a tile is not canonical, or out of range: {parsed.encode()}")
        return parsed


def locate(height: int, index: int) -> tuple[int, int, int]:
    """Return level, number and offset of the tile hash where the node (height, index) begins."""
    level, inside = divmod(height, TILE_HEIGHT)
    n, offset = divmod(index << inside, TILE_WIDTH)
    return level, n, offset


def tile_width(level: int, n: int, size: int) -> int:
    """Return how many hashes tile `n` of `level` has in a tree of `size` leaves; 0 means that there is none."""
    return max(0, min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - n * TILE_WIDTH))


def tile_paths(size: int) -> Iterator[TilePath]:
    """Yield the paths of all tiles and bundles of a tree of `size` leaves."""
    for n in range(-(-size // TILE_WIDTH)):
        yield TilePath(None, n, tile_width(0, n, size))
    level = 0
    while hashes := size >> TILE_HEIGHT * level:
        for n in range(-(-hashes // TILE_WIDTH)):
            yield TilePath(level, n, tile_width(level, n, size))
        level += 1


def new_tiles(old_size: int, leaves: Sequence[Hash], tiles: TileReader) -> list[Tile]:
    """Return the full tiles that appending `leaves` to a tree of `old_size` completes, lower levels first."""
    complete: list[Tile] = []
    level, old, added = 0, old_size, list(leaves)
    while (old + len(added)) // TILE_WIDTH > old // TILE_WIDTH:
        first, kept = divmod(old, TILE_WIDTH)
        row = (split_hashes(_read(tiles, level, first, kept)) if kept else []) + added
        full = [_tile(level, first + i, row[at : at + TILE_WIDTH]) for i, at in enumerate(_starts(row))]
        complete += full
        level, old, added = level + 1, first, [tile.root for tile in full]
    return complete


def _starts(row: Sequence[Hash]) -> range:
    return range(0, len(row) - TILE_WIDTH + 1, TILE_WIDTH)


def _tile(level: int, n: int, hashes: Sequence[Hash]) -> Tile:
    return Tile(level, n, b"".join(hashes), perfect_root(hashes))


def inclusion_proof(index: int, size: int, tiles: TileReader) -> tuple[Hash, ...]:
    """Compute the audit path of leaf `index` in the tree of `size` leaves (RFC 6962 §2.1.1)."""
    if not 0 <= index < size <= MAX_SIZE:
        raise VerificationError(f"there is no leaf {index} in a tree of {size}")
    siblings: list[tuple[int, int]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _left(high - low)
        if index < middle:
            siblings.append((middle, high))
            high = middle
        else:
            siblings.append((low, middle))
            low = middle
    return _roots(reversed(siblings), size, tiles)


def consistency_proof(size1: int, size2: int, tiles: TileReader) -> tuple[Hash, ...]:
    """Compute the proof that the tree of `size2` leaves begins with that of `size1` (RFC 6962 §2.1.2)."""
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise VerificationError(f"there is no consistency proof from size {size1} to size {size2}")
    ranges: list[tuple[int, int]] = []
    low, high = 0, size2
    while size1 != high:
        middle = low + _left(high - low)
        if size1 <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    if low:  # else what remains is the whole old tree, whose root the verifier has
        ranges.append((low, high))
    return _roots(reversed(ranges), size2, tiles)


def root_at(size: int, tiles: TileReader) -> Hash:
    """Compute the root of the tree of `size` > 0 leaves out of its tiles."""
    if not 0 < size <= MAX_SIZE:
        raise VerificationError(f"tiles have no root at size {size}")
    return _roots([(0, size)], size, tiles)[0]


def _left(count: int) -> int:
    """Return the largest power of two below `count`: the leaves on the left (RFC 6962 §2.1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _roots(ranges: Iterable[tuple[int, int]], size: int, tiles: TileReader) -> tuple[Hash, ...]:
    """Compute the root over each range of leaves; read no tile twice."""
    seen: dict[tuple[int, int], Sequence[Sequence[Hash]]] = {}

    def node(height: int, index: int) -> Hash:
        level, n, offset = locate(height, index)
        if (level, n) not in seen:
            seen[level, n] = _rows(_read(tiles, level, n, tile_width(level, n, size)))
        above = height % TILE_HEIGHT
        return seen[level, n][above][offset >> above]

    return tuple(fold([node(height, index) for height, index in _peaks(low, high)]) for low, high in ranges)


def _peaks(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Cut a range of leaves into perfect trees, the largest first."""
    while low < high:
        height = (high - low).bit_length() - 1
        yield height, low >> height
        low += 1 << height


@lru_cache(maxsize=64)
def _rows(hashes: bytes) -> Sequence[Sequence[Hash]]:
    """Compute what stands above the hashes of a tile, row by row; proofs share the upper tiles, so some are kept."""
    rows: list[Sequence[Hash]] = [split_hashes(hashes)]
    while len(rows[-1]) > 1:
        rows.append(parents(rows[-1][: len(rows[-1]) & ~1]))  # one without a neighbour has no parent here
    return rows


def _read(tiles: TileReader, level: int, n: int, width: int) -> bytes:
    found = tiles(level, n, width)
    if len(found) != width * HASH_SIZE:
        path = TilePath(level, n, width).encode()
        raise VerificationError(f"{path} has {len(found)} bytes, not {width * HASH_SIZE}")
    return found


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Write entries as a bundle, each after its length in two bytes (C2SP tlog-tiles, Log entries)."""
    if not 0 < len(entries) <= TILE_WIDTH:
        raise ValueError(f"a bundle has 1 to {TILE_WIDTH} entries, not {len(entries)}")
    if (longest := max(map(len, entries))) > MAX_ENTRY:
        raise ValueError(f"an entry has {longest} bytes, at most {MAX_ENTRY} fit")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(bundle: bytes, width: int) -> list[bytes]:
    """Read the `width` entries of a bundle, and nothing but them."""
    entries: list[bytes] = []
    at = 0
    while at < len(bundle) and len(entries) < width:
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        entries.append(bundle[start:at])
    if len(entries) != width or at != len(bundle):
        raise VerificationError(
            f"bundle of {len(bundle)} bytes has {len(entries)} entries up to {at}, not {width} in all"
        )
    return entries
