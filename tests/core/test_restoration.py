"""When is a former release back, and when does nobody know?"""

from datetime import timedelta

import pytest

from lockgate.core.restoration import LOOKED_FOR, Overdue, Restoration, Restored, evolve, settle
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import NOW, PROD

A = Digest.of(b"a")
ORDERED = Restoration(A, 7, NOW)
ONE, TWO = Name("host-1"), Name("host-2")
WINDOW = 60
DONE = Restored(PROD, A, 7, 1500, WINDOW, (ONE, TWO))
LATE = Overdue(PROD, A, 7, WINDOW, (TWO,))


def after(seconds, restoration=ORDERED, **words):
    hosts = {Name(name.replace("_", "-")): word for name, word in words.items()}
    return settle(PROD, restoration, hosts, WINDOW, NOW + timedelta(seconds=seconds))


def test_a_release_is_back_when_every_host_says_so():
    assert after(1.5, host_1="back", host_2="back") == DONE


@pytest.mark.parametrize(
    ("words", "waiting", "silent"),
    [
        ({}, (), None),
        ({"host_1": "not yet"}, (ONE,), None),
        ({"host_1": "silent"}, (ONE,), (ONE,)),
        ({"host_1": "back", "host_2": "not yet"}, (TWO,), None),
        ({"host_1": "not yet", "host_2": "silent"}, (ONE, TWO), (TWO,)),
    ],
)
def test_where_a_host_does_not_say_so_or_nobody_says_anything_it_is_not(words, waiting, silent):
    assert after(59.9, **words) is None
    assert after(60, **words) == Overdue(PROD, A, 7, WINDOW, waiting, silent)


def test_that_it_is_overdue_is_said_once_and_that_it_came_late_is_said_too():
    overdue = evolve(ORDERED, LATE)
    assert overdue.overdue and overdue.waiting == (TWO,) and overdue.window_seconds == WINDOW
    assert after(90, overdue, host_1="back", host_2="not yet") is None

    late = evolve(overdue, after(90, overdue, host_1="back", host_2="back"))
    assert (late.milliseconds, late.overdue, late.waiting) == (90_000, True, ())


def test_what_is_done_is_looked_at_no_more_and_what_never_comes_only_for_a_day():
    assert after(120, evolve(ORDERED, DONE), host_1="not yet") is None
    assert after(LOOKED_FOR.total_seconds(), host_1="back") is None
    assert ORDERED.is_pending(NOW) and not evolve(ORDERED, DONE).is_pending(NOW)


@pytest.mark.parametrize("event", [DONE, LATE], ids=lambda event: event.type)
@pytest.mark.parametrize("before", [None, Restoration(A, 8, NOW), evolve(ORDERED, DONE)], ids=["none", "other", "done"])
def test_a_log_that_tells_of_a_rollback_for_which_nobody_waits_is_none(event, before):
    with pytest.raises(VerificationError, match="for which nobody waits"):
        evolve(before, event)
