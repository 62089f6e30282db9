"""What does a durable append cost, beside one committed one-row INSERT in the same PostgreSQL on the same disk?

An append checks that nothing has changed since its act began, writes the entry, the object, a document, the key and the
head (and sometimes tiles) and commits. The act around it reads one object first. Both are done in turns, one at a time,
so that both meet the same disk and the same neighbours. The faster the disk acknowledges, the more the CPU counts.
"""

import statistics
import time
from itertools import count

import psycopg

from lockgate.drivers.postgres import Postgres
from lockgate.formats.digest import Digest
from tests.contracts.cluster import new_cluster, run
from tests.contracts.samples import NOW, SOURCE, activated, at_endpoint

COMMAND = "python -m bench.append"
LEAST = 0.4
ROUNDS = 9
EACH = 40
ENDPOINTS = 400


def rows():
    """Measure; each row says what was found, what it must be, and how to find it again."""
    cluster = new_cluster(on_disk=True)
    try:
        owner, app = cluster.database()
        run(owner, "CREATE TABLE plain (id bigint PRIMARY KEY, body bytea NOT NULL)")
        run(owner, "GRANT INSERT ON plain TO lockgate_app")
        log = Postgres(app, SOURCE)
        with psycopg.connect(app, autocommit=True) as connection:
            found = _measure(log, connection)
        log.close()
    finally:
        cluster.remove()
    return found


def _measure(log, connection):
    numbers = count()
    body = b""

    def act():
        n = next(numbers)
        with log.transaction() as tx:
            tx.load(at_endpoint(f"x{n % ENDPOINTS}"))
            tx.keep(b"%d" % n)
            event = activated(f"x{n % ENDPOINTS}")
            began = time.perf_counter()
            tx.append([event], actor="ann", key=Digest.of(b"%d" % n), at=NOW)
            return time.perf_counter() - began

    def insert():
        connection.execute("INSERT INTO plain VALUES (%s, %b)", (next(numbers), body), prepare=True)

    act()
    body = next(log.entries(0, 1))
    rounds = [_round(act, insert) for _ in range(ROUNDS + 1)][1:]  # the first one warms up
    append, whole, plain = (statistics.median(each[place] for each in rounds) for place in range(3))
    told = f"{append * 1000:.2f} ms beside {plain * 1000:.2f} ms, act {whole * 1000:.2f} ms"
    return [
        _row(f"rate of durable appends ÷ rate of one-row INSERTs ({told})", rounds, 0, least=LEAST),
        _row("rate of whole acts ÷ rate of one-row INSERTs", rounds, 1, least=None),
    ]


def _round(act, insert):
    """Return the median seconds that an append, its whole act and an insert take, done in turns."""
    appends, acts, inserts = [], [], []
    for _ in range(EACH):
        started = time.perf_counter()
        appends.append(act())
        acted = time.perf_counter()
        insert()
        acts.append(acted - started)
        inserts.append(time.perf_counter() - acted)
    return tuple(statistics.median(each) for each in (appends, acts, inserts))


def _row(what, rounds, place, *, least):
    ratio = statistics.median(each[2] / each[place] for each in rounds)
    must = "" if least is None else f"at least {least:g}"
    return {"what": what, "figure": f"{ratio:.2f}", "must": must, "ok": not least or ratio >= least, "command": COMMAND}


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']} {row['must']}")
