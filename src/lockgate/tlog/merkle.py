r"""Is this entry in that tree, and did the tree only grow?

               root
              /    \              A tree of 7 leaves (RFC 6962 §2.1): the largest perfect tree on the left, the rest on
            A        .            the right. Its *peaks* are the perfect trees A, B and d6: whoever holds them can
          /   \     / \           append leaves and compute the root, without the leaves before.
         .     .   B   d6
        / \   / \  | \
       d0 d1 d2 d3 d4 d5

Leaves and nodes are hashed with different first bytes, so that a node can never be shown as an entry.
Whatever is compared here is public, hence plain comparison.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import NewType, Self

from lockgate.errors import VerificationError

Hash = NewType("Hash", bytes)

HASH_SIZE = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = Hash(sha256(b"").digest())

_LEAF = sha256(b"\x00")
_NODE = sha256(b"\x01")
_BATCH = 1 << 14


def leaf_hash(entry: bytes) -> Hash:
    """Hash one entry (RFC 6962 §2.1)."""
    return Hash(sha256(b"\x00" + entry).digest())


def leaf_hashes(entries: Iterable[bytes]) -> list[Hash]:
    """Hash many entries; a copied state saves a sixth of the time of a new one."""
    hashes: list[Hash] = []
    append, copy = hashes.append, _LEAF.copy
    for entry in entries:
        state = copy()
        state.update(entry)
        append(Hash(state.digest()))
    return hashes


def node_hash(left: Hash, right: Hash) -> Hash:
    """Hash two neighbours into their parent (RFC 6962 §2.1)."""
    return Hash(sha256(b"\x01" + left + right).digest())


def perfect_root(hashes: Sequence[Hash]) -> Hash:
    """Compute the root over a power of two of neighbouring hashes."""
    row = hashes
    assert len(row).bit_count() == 1, "a perfect tree has a power of two of leaves"
    while len(row) > 1:
        row = parents(row)
    return row[0]


def parents(row: Sequence[Hash]) -> list[Hash]:
    """Hash each two neighbours of an even row into their parent."""
    above: list[Hash] = []
    append, copy, hashes = above.append, _NODE.copy, iter(row)
    for left, right in zip(hashes, hashes, strict=True):
        state = copy()
        state.update(left + right)
        append(Hash(state.digest()))
    return above


def tree_root(hashes: Iterable[Hash]) -> Hash:
    """Compute the root over all leaf hashes of a log, in little memory."""
    tree, pending = CompactRange(), iter(hashes)
    while batch := list(islice(pending, _BATCH)):
        tree = tree.extend(batch)
    return tree.root()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """A tree reduced to what appending needs: its size and its peaks, the largest first."""

    size: int = 0
    peaks: tuple[Hash, ...] = ()

    def __post_init__(self) -> None:
        assert 0 <= self.size <= MAX_SIZE and len(self.peaks) == self.size.bit_count(), "a peak for each bit"

    def append(self, leaf: Hash) -> "CompactRange":
        """Return the tree with one more leaf."""
        return self.extend((leaf,))

    def extend(self, leaves: Sequence[Hash]) -> "CompactRange":
        """Return the tree with `leaves` appended, hashed in the largest perfect trees that fit."""
        size, peaks, done = self.size, list(self.peaks), 0
        while done < len(leaves):
            count = _fitting(size, len(leaves) - done)
            root, height = perfect_root(leaves[done : done + count]), count.bit_length() - 1
            while size >> height & 1:
                root, height = node_hash(peaks.pop(), root), height + 1
            peaks.append(root)
            size, done = size + count, done + count
        return CompactRange(size, tuple(peaks))

    def root(self) -> Hash:
        """Compute the root hash (RFC 6962 §2.1)."""
        return fold(self.peaks) if self.peaks else EMPTY_ROOT

    def encode(self) -> bytes:
        """Write the size and the peaks: 8 + 32 bytes for each bit set, under 1 kB up to 2**31 - 1 leaves."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks)

    @classmethod
    def decode(cls, stored: bytes) -> Self:
        """Read what `encode` wrote."""
        if len(stored) < 8:
            raise VerificationError(f"compact range has {len(stored)} bytes, not at least 8")
        size = int.from_bytes(stored[:8], "big")
        if size > MAX_SIZE:
            raise VerificationError(f"compact range has size {size}, at most {MAX_SIZE} is possible")
        peaks = split_hashes(stored[8:])
        if len(peaks) != size.bit_count():
            raise VerificationError(f"compact range of size {size} has {len(peaks)} peaks, not {size.bit_count()}")
        return cls(size, tuple(peaks))


def _fitting(size: int, count: int) -> int:
    """Return the size of the largest perfect tree that may start at `size` and has at most `count` leaves."""
    most = 1 << (count.bit_length() - 1)
    return min(most, size & -size) if size else most


def fold(peaks: Sequence[Hash]) -> Hash:
    """Join peaks, the largest first, into the root above them."""
    *rest, root = peaks
    for peak in reversed(rest):
        root = node_hash(peak, root)
    return root


def split_hashes(joined: bytes) -> list[Hash]:
    """Cut concatenated hashes apart."""
    if len(joined) % HASH_SIZE:
        raise VerificationError(f"{len(joined)} bytes are not a whole number of {HASH_SIZE}-byte hashes")
    return [Hash(joined[i : i + HASH_SIZE]) for i in range(0, len(joined), HASH_SIZE)]


def verify_inclusion(leaf: Hash, index: int, size: int, proof: Sequence[Hash], root: Hash) -> None:
    """Raise unless `leaf` is at `index` of the tree of `size` leaves with `root` (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size <= MAX_SIZE:
        raise VerificationError(f"inclusion proof is for leaf {index} of a tree of {size}")
    _check_hashes((leaf, root, *proof))
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if not last:
            raise VerificationError(f"inclusion proof has {len(proof)} hashes, too many for leaf {index} of {size}")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            node, last = _climb(node, last)
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise VerificationError(f"inclusion proof has {len(proof)} hashes, too few for leaf {index} of {size}")
    if found != root:
        raise VerificationError(f"inclusion proof gives root {found.hex()}, not {root.hex()}")


def verify_consistency(size1: int, size2: int, proof: Sequence[Hash], root1: Hash, root2: Hash) -> None:
    """Raise unless the tree of `size1` with `root1` is a prefix of that of `size2` with `root2` (RFC 9162 §2.1.4.2).

    The empty tree has no proof: that everything grew from nothing says nothing.
    """
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise VerificationError(f"consistency proof is from size {size1} to size {size2}")
    if size1 == size2:
        _check_same(proof, root1, root2)
        return
    _check_hashes((root1, root2, *proof))
    old, new = _grown(size1, size2, proof, root1)
    if old != root1:
        raise VerificationError(f"consistency proof gives root {old.hex()} at size {size1}, not {root1.hex()}")
    if new != root2:
        raise VerificationError(f"consistency proof gives root {new.hex()} at size {size2}, not {root2.hex()}")


def _check_same(proof: Sequence[Hash], root1: Hash, root2: Hash) -> None:
    if proof:
        raise VerificationError(f"consistency proof between equal sizes has {len(proof)} hashes, not 0")
    if root1 != root2:
        raise VerificationError(f"two roots at one size: {root1.hex()} and {root2.hex()}")


def _grown(size1: int, size2: int, proof: Sequence[Hash], root1: Hash) -> tuple[Hash, Hash]:
    """Compute the old and the new root that `proof` leads to."""
    hashes = _path(size1, proof, root1)
    node, last = _skip_left(size1 - 1, size2 - 1)
    old = new = next(hashes, EMPTY_ROOT)
    for sibling in hashes:
        if not last:
            raise VerificationError(f"consistency proof has {len(proof)} hashes, too many from {size1} to {size2}")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _climb(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise VerificationError(f"consistency proof has {len(proof)} hashes, too few from {size1} to {size2}")
    return old, new


def _path(size1: int, proof: Sequence[Hash], root1: Hash) -> Iterator[Hash]:
    """Yield the proof; a perfect old tree is its own first hash, and the proof omits it."""
    if size1.bit_count() == 1:
        yield root1
    yield from proof


def _skip_left(node: int, last: int) -> tuple[int, int]:
    while node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _climb(node: int, last: int) -> tuple[int, int]:
    """Skip the levels on which a last node without a neighbour is its own parent."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _check_hashes(hashes: Iterable[bytes]) -> None:
    for found in hashes:
        if len(found) != HASH_SIZE:
            raise VerificationError(f"a hash has {len(found)} bytes, not {HASH_SIZE}")
