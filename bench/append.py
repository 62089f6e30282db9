"""What does a durable append cost, beside one committed one-row INSERT in the same PostgreSQL on the same disk?

An append is: read the head and the object it is about, write the entry, the object, a document, the key and the head
(and sometimes tiles), commit. Both are done in turns, one at a time, so that both meet the same disk and neighbours.
"""

import statistics
import time
from itertools import count

import psycopg

from lockgate.drivers.postgres import Postgres
from lockgate.formats.digest import Digest
from tests.contracts.cluster import new_cluster, run
from tests.contracts.samples import SOURCE, activated, at_endpoint
from tests.contracts.samples import append as append_to

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

    def append():
        n = next(numbers)
        append_to(log, activated(f"x{n % ENDPOINTS}"), key=Digest.of(b"%d" % n), keep=[b"%d" % n])

    def act():
        n = next(numbers)
        subject = at_endpoint(f"x{n % ENDPOINTS}")
        append_to(log, activated(f"x{n % ENDPOINTS}"), key=Digest.of(b"%d" % n), keep=[b"%d" % n], load=[subject])

    def insert():
        connection.execute("INSERT INTO plain VALUES (%s, %b)", (next(numbers), body), prepare=True)

    append()
    body = next(log.entries(0, 1))
    _rate(append), _rate(act), _rate(insert)
    rounds = [(_rate(append), _rate(insert), _rate(act)) for _ in range(ROUNDS)]
    appended, whole = (statistics.median(each[place] / each[1] for each in rounds) for place in (0, 2))
    told = f"{statistics.median(r[0] for r in rounds):.0f}/s beside {statistics.median(r[1] for r in rounds):.0f}/s"
    return [
        _row(f"durable append with projections ÷ one-row INSERT, {told}", appended, least=LEAST),
        _row("the same with one object loaded before", whole, least=None),
    ]


def _rate(once):
    started = time.perf_counter()
    for _ in range(EACH):
        once()
    return EACH / (time.perf_counter() - started)


def _row(what, ratio, *, least):
    must = "no limit" if least is None else f"at least {least:g}"
    ok = least is None or ratio >= least
    return {"what": what, "figure": f"{ratio:.2f}", "must": must, "ok": ok, "command": COMMAND}


if __name__ == "__main__":
    for row in rows():
        print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['figure']} {row['must']}")
