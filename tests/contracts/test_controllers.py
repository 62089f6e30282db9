"""Does one controller at a time look after a subject, and can nobody write who has lost it?"""

import threading
import time
from datetime import timedelta
from functools import partial

import pytest

from lockgate.app.ports import Controllers, Memo
from lockgate.drivers.memory import Memory
from lockgate.drivers.postgres import Postgres
from lockgate.errors import ConflictError
from tests.contracts.cluster import run

LONG = 3600


def fills_the_port(driver: Memory | Postgres) -> Controllers:
    """Show the type checker that the drivers fill the port."""
    return driver


def _moved(to):
    return to


@pytest.fixture
def later(log, request):
    """Make every lease run out: the clock of the database is not ours to set, so its leases are."""
    if isinstance(log, Memory):
        return lambda: setattr(log, "clock", partial(_moved, log.clock() + timedelta(hours=2)))
    owner, _ = request.getfixturevalue("postgres_database")
    return lambda: run(owner, "UPDATE controller_lease SET until = until - interval '2 hours'")


def test_the_first_to_claim_has_it_and_nobody_else(log):
    assert log.claim("prod/a", "one", LONG) == 1
    assert log.claim("prod/a", "two", LONG) is None
    assert log.claim("prod/b", "two", LONG) == 1


def test_who_has_it_keeps_it_under_the_same_fence(log):
    assert [log.claim("prod/a", "one", LONG) for _ in range(3)] == [1, 1, 1]
    assert log.claim("prod/a", "two", LONG) is None


def test_what_has_run_out_is_taken_over_under_a_greater_fence(log, later):
    log.claim("prod/a", "one", LONG)
    later()

    assert log.claim("prod/a", "two", LONG) == 2
    assert log.claim("prod/a", "one", LONG) is None
    later()
    assert log.claim("prod/a", "two", LONG) == 3, "in between it could have been anybody's"


def test_a_lease_ends_by_itself(log):
    log.claim("prod/a", "one", 0.05)

    end = time.monotonic() + 20
    while (fence := log.claim("prod/a", "two", LONG)) is None and time.monotonic() < end:
        time.sleep(0.02)
    assert fence == 2


def test_what_was_remembered_is_recalled(log):
    assert log.recall("prod/a") is None
    fence = log.claim("prod/a", "one", LONG)

    log.remember("prod/a", fence, b"first")
    log.remember("prod/a", fence, b"second")

    assert log.recall("prod/a") == Memo(1, b"second")
    assert log.recall("prod/b") is None


def test_who_lost_it_cannot_write_even_before_the_next_one_does(log, later):
    stale = log.claim("prod/a", "one", LONG)
    log.remember("prod/a", stale, b"mine")
    later()
    fence = log.claim("prod/a", "two", LONG)

    with pytest.raises(ConflictError, match="1 is not the fence"):
        log.remember("prod/a", stale, b"late")
    assert log.recall("prod/a") == Memo(1, b"mine")
    log.remember("prod/a", fence, b"theirs")
    with pytest.raises(ConflictError, match="1 is not the fence"):
        log.remember("prod/a", stale, b"late")
    assert log.recall("prod/a") == Memo(2, b"theirs")


@pytest.mark.parametrize("fence", [0, 2, -1])
def test_a_fence_that_was_never_given_writes_nothing(log, fence):
    log.claim("prod/a", "one", LONG)

    with pytest.raises(ConflictError):
        log.remember("prod/a", fence, b"x")
    with pytest.raises(ConflictError):
        log.remember("prod/never", 1, b"x")
    assert log.recall("prod/a") is None and log.recall("prod/never") is None


def test_of_many_that_claim_at_once_one_has_it(log):
    got = []
    ready = threading.Barrier(8)

    def claim(name):
        ready.wait()
        got.append(log.claim("prod/a", name, LONG))

    threads = [threading.Thread(target=claim, args=(f"holder-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(got, key=str) == [1, *[None] * 7]
