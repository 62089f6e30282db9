"""Which hashes of the tree are stored where? Full tiles in a table; the rest is a row of the level below."""

from collections.abc import Callable, Sequence
from typing import LiteralString

from psycopg.rows import TupleRow

from lockgate.errors import UnavailableError, VerificationError
from lockgate.tlog.tiles import TILE_WIDTH, TilePath

Ask = Callable[[LiteralString, tuple[int, ...]], Sequence[TupleRow]]

_FULL = "SELECT hashes FROM tile WHERE level = %s::int AND n = %s::bigint"
_LEAVES = "SELECT leaf_hash FROM entry WHERE idx >= %s::bigint AND idx < %s::bigint ORDER BY idx"
_ROOTS = "SELECT root FROM tile WHERE level = %s::int AND n >= %s::bigint AND n < %s::bigint ORDER BY n"


def read_hashes(ask: Ask, level: int, n: int, width: int) -> bytes:
    """Return the first `width` hashes of a tile; raise `UnavailableError` if it has not so many (yet)."""
    if not (0 <= level < 64 and n >= 0 and 0 < width <= TILE_WIDTH):
        raise VerificationError(f"there can be no tile {str(n)[:40]} of level {str(level)[:40]} and width {width:.3g}")
    first = n * TILE_WIDTH
    if width == TILE_WIDTH:
        rows = ask(_FULL, (level, n))
    elif level == 0:
        rows = ask(_LEAVES, (first, first + width))
    else:
        rows = ask(_ROOTS, (level - 1, first, first + width))
    if len(rows) != (1 if width == TILE_WIDTH else width):
        raise UnavailableError(f"{TilePath(level, n, width).encode()} is not here")
    return b"".join(hashes for (hashes,) in rows)
