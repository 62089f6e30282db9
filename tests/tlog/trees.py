"""Which logs do tests of growth look at? Small ones, of which any head and any proof can be had."""

from lockgate.tlog.checkpoint import Checkpoint
from lockgate.tlog.merkle import Hash, leaf_hash, tree_root
from lockgate.tlog.tiles import consistency_proof
from tests.tlog.keys import ORIGIN


class Tree:
    """A log of `size` entries; another `seed` makes another log."""

    def __init__(self, size=64, seed="", origin=ORIGIN):
        self.origin = origin
        self.leaves = [leaf_hash(f"{seed}{number}".encode()) for number in range(size)]

    def head(self, size):
        return Checkpoint(self.origin, size, Hash(tree_root(self.leaves[:size])))

    def proof(self, old, new):
        if not 0 < old < new:
            return ()
        return consistency_proof(old, new, self.tile)

    def tile(self, level, n, width):
        span = 256**level
        starts = range(n * 256 * span, (n * 256 + width) * span, span)
        return b"".join(tree_root(self.leaves[start : start + span]) for start in starts)
