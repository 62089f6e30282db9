"""Can every history prove each of its entries, at each of its sizes?"""

import pytest

from lockgate.errors import UnavailableError, VerificationError
from lockgate.tlog.merkle import EMPTY_ROOT, leaf_hash, leaf_hashes, tree_root, verify_consistency, verify_inclusion
from lockgate.tlog.tiles import TILE_WIDTH, consistency_proof, inclusion_proof, tile_paths, tile_width
from tests.contracts.samples import append, denied, digest

SIZES = [1, 2, 255, 256, 257, 512, 513]


@pytest.fixture
def long(log):
    """A log of 513 entries, appended in pieces that end before, at and after the edge of a tile."""
    grow(log, SIZES[-1])
    return log


def grow(log, size):
    for stop in [each for each in SIZES if log.size() < each <= size]:
        append(log, *[denied(str(n)) for n in range(log.size(), stop)])


def test_an_empty_log_has_the_root_of_nothing(log):
    assert (log.size(), log.root(), list(log.entries(0, 10))) == (0, (0, EMPTY_ROOT), [])


def test_entries_are_read_in_ranges(long):
    entries = list(long.entries(0, 513))

    assert len(entries) == 513
    assert list(long.entries(250, 260)) == entries[250:260]
    assert list(long.entries(510, 10_000)) == entries[510:]
    assert list(long.entries(7, 7)) == list(long.entries(513, 514)) == list(long.entries(9, 3)) == []


def test_the_root_is_that_of_the_entries_at_every_size(log):
    for stop in SIZES:
        grow(log, stop)
        entries = list(log.entries(0, stop))
        assert log.root() == (stop, tree_root(leaf_hashes(entries)))


def test_every_tile_is_there_in_every_width(long):
    hashes = leaf_hashes(long.entries(0, 513))
    for path in tile_paths(513):
        if path.level is None:
            continue
        span = TILE_WIDTH**path.level
        firsts = range(path.n * TILE_WIDTH * span, 513, span)
        row = [tree_root(hashes[first : first + span]) for first in firsts if first + span <= 513][:TILE_WIDTH]
        assert len(row) == tile_width(path.level, path.n, 513) == path.width
        for width in {1, path.width // 2 or 1, path.width}:
            assert long.tile(path.level, path.n, width) == b"".join(row[:width])


def test_a_partial_tile_is_the_same_after_it_has_grown(log):
    grow(log, 2)
    before = log.tile(0, 0, 2)
    grow(log, 513)

    assert log.tile(0, 0, 2) == before == log.tile(0, 0, 256)[:64]


@pytest.mark.parametrize(
    ("level", "n", "width"), [(0, 2, 2), (0, 2, 256), (0, 3, 1), (1, 0, 3), (1, 0, 256), (2, 0, 1)]
)
def test_what_is_not_there_yet_is_not_made_up(long, level, n, width):
    with pytest.raises(UnavailableError):
        long.tile(level, n, width)


def test_every_entry_is_proved_under_the_root(long):
    size, root = long.root()
    for index, entry in enumerate(long.entries(0, size)):
        if index % 16 in (0, 15) or index > 509:
            verify_inclusion(leaf_hash(entry), index, size, inclusion_proof(index, size, long.tile), root)


def test_every_size_is_a_prefix_of_the_next(log):
    roots = {}
    for stop in SIZES:
        grow(log, stop)
        roots[stop] = log.root()[1]

    for old, new in [(old, new) for old in SIZES for new in SIZES if old <= new]:
        verify_consistency(old, new, consistency_proof(old, new, log.tile), roots[old], roots[new])


def test_a_root_is_published_for_good(log):
    assert (log.newest(), log.root_of(0)) == (None, None)

    log.publish("five\n", 5, digest("five").raw)
    log.publish("nine\n", 9, digest("nine").raw)
    log.publish("seven\n", 7, digest("seven").raw)

    assert log.newest() == "nine\n"
    assert (log.root_of(7), log.root_of(8)) == (digest("seven").raw, None)


def test_a_root_that_was_published_is_not_published_anew(log):
    log.publish("five\n", 5, digest("five").raw)
    log.publish("five, signed again\n", 5, digest("five").raw)

    assert log.newest() == "five\n"


def test_another_root_of_the_same_size_is_refused(log):
    log.publish("five\n", 5, digest("five").raw)

    with pytest.raises(VerificationError, match="5"):
        log.publish("another five\n", 5, digest("another").raw)

    assert (log.newest(), log.root_of(5)) == ("five\n", digest("five").raw)
