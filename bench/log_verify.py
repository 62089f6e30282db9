"""How fast is a whole log verified, and one entry of it proved, out of PostgreSQL?

A log of LOCKGATE_BENCH_ENTRIES entries (a million) is copied into a database: entries of real size, their tiles and
head. Verifying hashes each entry as it was read, and the tree. A proof is computed from tiles that the driver reads;
cold means that the driver was just opened and has seen no tile.
"""

import itertools
import os
import random
import statistics
import time

import psycopg

from lockgate.drivers.postgres import Postgres
from lockgate.tlog.merkle import CompactRange, leaf_hash, leaf_hashes, verify_inclusion
from lockgate.tlog.tiles import inclusion_proof, new_tiles
from tests.contracts.cluster import new_cluster
from tests.contracts.samples import SOURCE, activated, append

COMMAND = "python -m bench.log_verify"
FEWEST = 300_000  # entries/s on one core
SLOWEST = 1.0  # ms
PROOFS = 400
BATCH = 1 << 14


def rows():
    """Measure; each row says what was found, what it must be, and how to find it again."""
    size = int(os.environ.get("LOCKGATE_BENCH_ENTRIES", "1000000"))
    cluster = new_cluster()
    try:
        owner, app = cluster.database()
        log = Postgres(app, SOURCE)
        append(log, activated("magika"))
        _copy(owner, next(log.entries(0, 1)), size)
        log.close()
        found = [*_verify(app, size), *_prove(app, size)]
    finally:
        cluster.remove()
    return found


def _copy(owner, pattern, size):
    """Fill the log up with entries that differ from `pattern` in their salt."""
    at = pattern.index(b'"salt":"') + len(b'"salt":"')
    tree = CompactRange().append(leaf_hash(pattern))

    with psycopg.connect(owner) as connection, connection.cursor() as cursor:
        rest = [leaf_hash(pattern)]
        with cursor.copy("COPY entry (idx, leaf_hash, body) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int8", "bytea", "bytea"])
            for start in range(1, size, BATCH):
                numbers = range(start, min(start + BATCH, size))
                entries = [pattern[:at] + b"%032x" % n + pattern[at + 32 :] for n in numbers]
                leaves = leaf_hashes(entries)
                for row in zip(numbers, leaves, entries, strict=True):
                    copy.write_row(row)
                rest += leaves
                tree = tree.extend(leaves)
        made = new_tiles(0, rest, lambda _level, _n, _width: b"")
        with cursor.copy("COPY tile (level, n, root, hashes) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4", "int8", "bytea", "bytea"])
            for tile in made:
                copy.write_row((tile.level, tile.n, tile.root, tile.hashes))
        cursor.execute("UPDATE head SET size = %s, peaks = %s", (tree.size, b"".join(tree.peaks)))
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _verify(app, size):
    log = Postgres(app, SOURCE)
    told = log.root()
    entries = log.entries(0, size)
    hashing, started = 0.0, time.process_time()
    tree = CompactRange()
    while batch := list(itertools.islice(entries, BATCH)):
        before = time.process_time()
        tree = tree.extend(leaf_hashes(batch))
        hashing += time.process_time() - before
    spent = time.process_time() - started
    log.close()
    assert told == (tree.size, tree.root())
    what = f"verify a log of {size} entries"
    return [
        _row(f"{what}: leaf hashes and tree, on one core", size / hashing, "entries/s", least=FEWEST),
        _row(f"{what}: with reading it out of PostgreSQL, CPU of the reader", size / spent, "entries/s"),
    ]


def _prove(app, size):
    chance = random.Random(7)
    indexes = [chance.randrange(size) for _ in range(PROOFS)]
    log = Postgres(app, SOURCE)
    _, root = log.root()
    leaf = {index: leaf_hash(next(log.entries(index, index + 1))) for index in indexes}
    first = []
    for index in indexes:
        log._tile.cache_clear()
        first.append(_timed(log, index, size, root, leaf))
    times = [_timed(log, index, size, root, leaf) for index in indexes]
    log.close()
    what = f"inclusion proof in a log of {size} entries, out of PostgreSQL, p50"
    return [
        _row(what, statistics.median(times), "ms", most=SLOWEST),
        _row(f"{what}, cold", statistics.median(first), "ms"),
    ]


def _timed(log, index, size, root, leaf):
    started = time.perf_counter()
    proof = inclusion_proof(index, size, log.tile)
    spent = (time.perf_counter() - started) * 1000
    verify_inclusion(leaf[index], index, size, proof, root)
    return spent


def _row(what, found, unit, *, least=None, most=None):
    figure = f"{found:,.2f} {unit}" if found < 100 else f"{found:,.0f} {unit}"
    must = f"at least {least:,}" if least else f"at most {most}" if most else ""
    ok = (least is None or found >= least) and (most is None or found <= most)
    return {"what": what, "figure": figure, "must": must, "ok": ok, "command": COMMAND}


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']} {row['must']}")
