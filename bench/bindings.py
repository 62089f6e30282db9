"""How long until all that an endpoint holds is cut, and was tried, whatever one of the other systems does?

A real PostgreSQL with 200 open sessions of the endpoint's role (half of them in the middle of a statement), a real
Redis with 200 connections of its user, and a webhook over HTTP; each is cut and tried by the agent's own code. Then the
same beside one binding that hangs, one that lies and one that is down. From the order to the last instant at which
trying to get in failed.
"""

import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from lockgate.agent.grant_book import GrantBook
from lockgate.agent.tethers import Leave, Scope, Tethers
from lockgate.core.binding import Holder, Severed
from lockgate.drivers.webhook import Webhook
from lockgate.drivers.webhook.bounded_request import Target
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.host_wiring import Wired
from tests.bound import Desk, InMemory
from tests.bound_servers import Database, Redis
from tests.world import PROD, key

SESSIONS, ROUNDS = 200, 5
MOST_MS, NAMED_MS = 1000.0, 5000.0
COMMAND = "python -m bench bindings"
SPOILT = ("hangs", "lies", "down")
HOLDER = Holder(PROD, Name("host-1"), Digest.of(b"a"))


def rows() -> list[dict[str, object]]:
    """Measure; three rows."""
    with ExitStack() as leaving:
        database, memory = leaving.enter_context(Database()), leaving.enter_context(Redis())
        desk = leaving.enter_context(Desk())  # type: ignore[no-untyped-call]  # of the tests
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="lockgate-bench-")))
        at = Target(desk.url, private=True)
        crm = Webhook(Name("crm"), (Name("host-1"), key("host-1")), at, at, folder / "crm")
        sound = {"database": Wired("postgres", database.driver()), "memory": Wired("redis", memory.driver())}
        sound["crm"] = Wired("webhook", crm)
        alone = [_beside(sound, folder / str(number), database, memory, ())[0] for number in range(ROUNDS)]
        beside = [_beside(sound, folder / f"beside-{number}", database, memory, SPOILT) for number in range(ROUNDS)]
    what = f"cut {SESSIONS} PostgreSQL sessions, {SESSIONS} Redis connections and a webhook, and try each"
    others = [each[0] for each in beside]
    named = max(each[1] for each in beside)
    return [
        _row(what, alone, MOST_MS),
        _row("the same, beside one that hangs, one that lies and one that is down", others, MOST_MS),
        {
            "what": "until those three are named",
            "figure": f"most {named:.0f} ms",
            "must": f"at most {NAMED_MS:.0f} ms",
            "ok": named <= NAMED_MS,
            "command": COMMAND,
        },
    ]


def _row(what: str, found: list[float], most: float) -> dict[str, object]:
    figure = f"median {statistics.median(found):.0f} ms, most {max(found):.0f} ms"
    return {
        "what": what,
        "figure": figure,
        "must": f"at most {most:.0f} ms",
        "ok": max(found) <= most,
        "command": COMMAND,
    }


def _beside(
    sound: dict[str, Wired], folder: Path, database: Database, memory: Redis, spoilt: tuple[str, ...]
) -> tuple[float, float]:
    systems = {name: InMemory() for name in spoilt}  # type: ignore[no-untyped-call]  # of the tests
    all_of_them = sound | {name: Wired("webhook", system) for name, system in systems.items()}

    def spoil() -> None:
        for name, system in systems.items():
            system.trouble = name

    took, named = _round(all_of_them, folder, database, memory, spoil)  # type: ignore[no-untyped-call]
    for system in systems.values():
        system.answers.set()
    return took, named


def _round(wired, folder, database, memory, spoil=lambda: None):  # type: ignore[no-untyped-def]  # as above
    """Fill, cut, try; return how long the sound ones took, and how long it took to be told of all, in ms."""
    tethers = Tethers({Name(name): each for name, each in wired.items()}, GrantBook(folder))
    until = datetime.now(UTC) + timedelta(minutes=10)
    granted = {
        str(name): tethers.grant(tether, Leave(HOLDER, until), tethers.fence(PROD)).means
        for name, tether in tethers.all.items()
    }
    going_on = [database.enter(granted["database"]) for _ in range(SESSIONS)]
    for connection in database.opened[: SESSIONS // 2]:
        connection.pgconn.send_query(b"SELECT pg_sleep(600)")
    going_on = going_on[SESSIONS // 2 :] + [memory.enter(granted["memory"]) for _ in range(SESSIONS)]
    spoil()
    began, ordered = datetime.now(UTC), time.monotonic()
    severed = {str(one.name): one for one in tethers.sever(Scope(PROD)).result(tethers) or ()}
    named = (time.monotonic() - ordered) * 1000
    _check(severed, going_on)
    for each in (database, memory):
        each.hang_up()
    sound = [severed[name] for name in ("database", "memory", "crm")]
    tried = [(one.probed_at or datetime.max.replace(tzinfo=UTC)) - began for one in sound]
    return max(tried) / timedelta(milliseconds=1), named


def _check(severed: dict[str, Severed], going_on) -> None:  # type: ignore[no-untyped-def]
    import redis

    wanted = {"hangs": "unknown", "lies": "open", "down": "unknown"}
    assert {name: one.state for name, one in severed.items()} == {name: wanted.get(name, "cut") for name in severed}
    for go_on in going_on:
        try:
            go_on()
        except (psycopg.Error, redis.RedisError):
            continue
        raise AssertionError("a session goes on")
