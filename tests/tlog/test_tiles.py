"""Do tiles hold the tree, and give the proofs that the definitions give?"""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.tlog.merkle import Hash, leaf_hashes, tree_root, verify_consistency, verify_inclusion
from lockgate.tlog.tiles import (
    Tile,
    TilePath,
    consistency_proof,
    decode_bundle,
    encode_bundle,
    inclusion_proof,
    locate,
    new_tiles,
    root_at,
    tile_paths,
    tile_width,
)
from tests.tlog import oracle

MANY = leaf_hashes(i.to_bytes(4, "big") for i in range(66_000))
LEAVES = MANY[:1000]
READ = oracle.reader(LEAVES)


class Store:
    """Full tiles, leaf hashes and tile roots: what a database keeps of a tree."""

    def __init__(self) -> None:
        self.rows: dict[int, list[Hash]] = {0: []}
        self.full: dict[tuple[int, int], bytes] = {}
        self.reads = 0

    def append(self, leaves: list[Hash]) -> list[Tile]:
        tiles = new_tiles(len(self.rows[0]), leaves, self.read)
        self.rows[0] += leaves
        for tile in tiles:
            assert (tile.level, tile.n) not in self.full, "a tile is completed once"
            assert len(self.rows.setdefault(tile.level + 1, [])) == tile.n, "tiles come in order"
            self.full[tile.level, tile.n] = tile.hashes
            self.rows[tile.level + 1].append(tile.root)
        return tiles

    def read(self, level: int, n: int, width: int) -> bytes:
        assert width > 0, "an empty tile is never read"
        self.reads += 1
        if width == 256:
            return self.full[level, n]
        return b"".join(self.rows[level][n * 256 : n * 256 + width])


@pytest.fixture(scope="module")
def large() -> Store:
    store = Store()
    for at in range(0, len(MANY), 777):
        store.append(MANY[at : at + 777])
    return store


def test_small_trees_give_the_proofs_of_rfc_6962():
    for size in range(1, 300, 7):
        leaves = LEAVES[:size]
        read = oracle.reader(leaves)
        for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
            assert inclusion_proof(index, size, read) == tuple(oracle.path(index, leaves))
        for size1 in {1, 2, size // 2, size - 1, size} & set(range(1, size + 1)):
            assert consistency_proof(size1, size, read) == tuple(oracle.proof(size1, leaves))
        assert root_at(size, read) == oracle.root(leaves)


@given(st.data())
@settings(max_examples=settings().max_examples // 2)
def test_any_proof_out_of_tiles_is_that_of_rfc_6962(data):
    size = data.draw(st.integers(1, 1000))
    index = data.draw(st.integers(0, size - 1))

    assert inclusion_proof(index, size, READ) == tuple(oracle.path(index, LEAVES[:size]))
    assert consistency_proof(index + 1, size, READ) == tuple(oracle.proof(index + 1, LEAVES[:size]))


@pytest.mark.parametrize("size", [255, 256, 257, 65_535, 65_536, 65_537, 66_000])
def test_proofs_over_three_levels_of_tiles_verify(large, size):
    root = tree_root(MANY[:size])

    assert root_at(size, large.read) == root
    for index in {0, 1, 255, 256, 511, 65_535, 65_536, size // 3, size - 1} & set(range(size)):
        verify_inclusion(MANY[index], index, size, inclusion_proof(index, size, large.read), root)
        old = tree_root(MANY[: index + 1])
        verify_consistency(index + 1, size, consistency_proof(index + 1, size, large.read), old, root)


def test_a_proof_reads_no_tile_twice(large):
    before = large.reads

    inclusion_proof(12_345, 66_000, large.read)

    assert large.reads - before <= 4, "two leaf tiles, two above"


@given(st.lists(st.integers(0, 600), max_size=8))
@settings(max_examples=settings().max_examples // 2)
def test_appending_in_any_steps_completes_the_tiles_of_the_tree(steps):
    store, at = Store(), 0
    for step in steps:
        store.append(LEAVES[at : at + step])
        at = min(len(LEAVES), at + step)

    full = {(path.level, path.n) for path in tile_paths(at) if path.level is not None and path.width == 256}
    assert set(store.full) == full
    for (level, n), hashes in store.full.items():
        assert hashes == READ(level, n, 256)


def test_one_append_can_complete_tiles_of_two_levels(large):
    full = Store()
    full.append(MANY[:65_535])

    assert [(tile.level, tile.n) for tile in full.append(MANY[65_535:65_536])] == [(0, 255), (1, 0)]
    assert full.full[1, 0] == large.full[1, 0]
    assert full.rows[2] == [tree_root(MANY[:65_536])]


def test_an_append_inside_a_tile_reads_nothing():
    store = Store()

    assert store.append(LEAVES[:255]) == []
    assert store.reads == 0


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (0, 2**63)])
def test_there_is_no_proof_of_a_leaf_outside(index, size):
    with pytest.raises(VerificationError, match="there is no leaf"):
        inclusion_proof(index, size, READ)


@pytest.mark.parametrize(("size1", "size2"), [(0, 5), (-1, 5), (6, 5), (1, 2**63)])
def test_there_is_no_proof_between_sizes_that_never_were(size1, size2):
    with pytest.raises(VerificationError, match="there is no consistency proof"):
        consistency_proof(size1, size2, READ)


@pytest.mark.parametrize("size", [0, -1, 2**63])
def test_tiles_have_no_root_at_an_impossible_size(size):
    with pytest.raises(VerificationError, match="no root"):
        root_at(size, READ)


@pytest.mark.parametrize("spoil", [lambda tile: tile[:-1], lambda tile: tile[32:], lambda tile: tile + tile[:32]])
def test_a_tile_of_another_width_is_refused(spoil: Callable[[bytes], bytes]):
    def short(level: int, n: int, width: int) -> bytes:
        return spoil(READ(level, n, width))

    with pytest.raises(VerificationError, match=r"tile/0/\d{3}.* has"):
        inclusion_proof(300, 1000, short)
    with pytest.raises(VerificationError, match=r"tile/0/000\.p/5 has"):
        new_tiles(5, LEAVES[5:300], short)


def test_an_altered_tile_gives_a_proof_that_convinces_nobody():
    def altered(level: int, n: int, width: int) -> bytes:
        return bytes([READ(level, n, width)[0] ^ 1]) + READ(level, n, width)[1:]

    with pytest.raises(VerificationError, match="gives root"):
        verify_inclusion(LEAVES[7], 7, 1000, inclusion_proof(7, 1000, altered), tree_root(LEAVES))


def test_nodes_lie_where_the_tiles_have_them():
    assert locate(0, 0) == (0, 0, 0)
    assert locate(0, 257) == (0, 1, 1)
    assert locate(3, 33) == (0, 1, 8)
    assert locate(7, 1) == (0, 0, 128)
    assert locate(8, 257) == (1, 1, 1)
    assert locate(17, 3) == (2, 0, 6)


def test_tree_of_seventy_thousand_has_the_tiles_that_the_specification_counts():
    paths = [path for path in tile_paths(70_000) if path.level is not None]
    partial = [path.encode() for path in paths if path.width < 256]

    assert partial == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]
    assert [sum(path.level == level and path.width == 256 for path in paths) for level in (0, 1, 2)] == [273, 1, 0]
    assert [path.encode() for path in tile_paths(256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert list(tile_paths(0)) == []


def test_width_is_zero_where_no_tile_is():
    assert [tile_width(0, n, 300) for n in range(3)] == [256, 44, 0]
    assert [tile_width(level, 0, 300) for level in range(3)] == [256, 1, 0]


PATHS = {
    "tile/0/000": TilePath(0, 0),
    "tile/0/x001/234.p/5": TilePath(0, 1234, 5),
    "tile/63/x001/x234/067": TilePath(63, 1234067),
    "tile/entries/999.p/255": TilePath(None, 999, 255),
    "tile/entries/x001/000": TilePath(None, 1000),
}


@pytest.mark.parametrize(("path", "tile"), PATHS.items())
def test_tile_paths_are_those_of_the_specification(path, tile):
    assert tile.encode() == path
    assert TilePath.parse(path) == tile


@given(st.none() | st.integers(0, 63), st.integers(0, 2**55), st.integers(1, 256))
def test_each_tile_path_reads_back(level, n, width):
    path = TilePath(level, n, width)

    assert TilePath.parse(path.encode()) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/100/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000",
        "tile/0/x000/001",
        "tile/0/001/234",
        "tile/0/x001/x234",
        "tile/0/../000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/05",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/5/",
        "tile/0/\u0660\u0660\u0660",
        "tile/entries/000.p/0",
        "tile/entries/" + "x999/" * 6 + "999",
        "tile/data/000",
    ],
)
def test_near_misses_of_tile_paths_are_refused(path):
    with pytest.raises(VerificationError):
        TilePath.parse(path)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_each_bundle_reads_back(entries):
    bundle = encode_bundle(entries)

    assert decode_bundle(bundle, len(entries)) == entries
    for width in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(VerificationError):
            decode_bundle(bundle, width)


def test_bundle_is_written_as_the_specification_says():
    assert encode_bundle([b"", b"ab", b"x" * 65_535]) == b"\0\0" + b"\0\2ab" + b"\xff\xff" + b"x" * 65_535


def test_every_shortening_and_lengthening_of_a_bundle_is_refused():
    bundle = encode_bundle([b"one", b"", b"three"])

    for end in range(len(bundle)):
        with pytest.raises(VerificationError):
            decode_bundle(bundle[:end], 3)
    for more in (b"\x00", b"\x00\x00", b"\x00\x01x"):
        with pytest.raises(VerificationError):
            decode_bundle(bundle + more, 3)


@pytest.mark.parametrize("entries", [[], [b""] * 257, [b"x" * 65_536]])
def test_what_fits_no_bundle_is_our_own_mistake(entries):
    with pytest.raises(ValueError, match=r"bundle has|entry has"):
        encode_bundle(entries)
