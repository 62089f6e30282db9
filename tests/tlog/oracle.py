"""What does RFC 6962 §2.1 say, word for word? The slow recursive definitions that fast code is compared with."""

from hashlib import sha256

from lockgate.tlog.merkle import Hash
from lockgate.tlog.tiles import TileReader


def leaves(size: int) -> list[Hash]:
    return [Hash(sha256(b"\x00" + entry(i)).digest()) for i in range(size)]


def entry(index: int) -> bytes:
    return b"entry %d" % index


def split(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def root(hashes: list[Hash]) -> Hash:
    if not hashes:
        return Hash(sha256(b"").digest())
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return Hash(sha256(b"\x01" + root(hashes[:k]) + root(hashes[k:])).digest())


def path(m: int, hashes: list[Hash]) -> list[Hash]:
    if len(hashes) == 1:
        return []
    k = split(len(hashes))
    if m < k:
        return [*path(m, hashes[:k]), root(hashes[k:])]
    return [*path(m - k, hashes[k:]), root(hashes[:k])]


def proof(m: int, hashes: list[Hash], *, whole: bool = True) -> list[Hash]:
    if m == len(hashes):
        return [] if whole else [root(hashes)]
    k = split(len(hashes))
    if m <= k:
        return [*proof(m, hashes[:k], whole=whole), root(hashes[k:])]
    return [*proof(m - k, hashes[k:], whole=False), root(hashes[:k])]


def reader(hashes: list[Hash]) -> TileReader:
    """Read tiles of a tree that is all in memory, each hash by its definition (C2SP tlog-tiles, Merkle Tree)."""

    def read(level: int, n: int, width: int) -> bytes:
        span = 256**level
        starts = [(n * 256 + i) * span for i in range(width)]
        assert 0 < width <= 256 and starts[-1] + span <= len(hashes), "no such tile"
        return b"".join(root(hashes[start : start + span]) for start in starts)

    return read
