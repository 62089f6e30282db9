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


def after(seconds, restoration=ORDERED, **leads):
    hosts = {Name(name.replace("_", "-")): has_all for name, has_all in leads.items()}
    return settle(PROD, restoration, hosts, WINDOW, NOW + timedelta(seconds=seconds))


def test_a_release_is_back_when_every_host_says_so():
    assert after(1.5, host_1=True, host_2=True) == DONE


@pytest.mark.parametrize("leads", [{}, {"host_1": False}, {"host_1": True, "host_2": False}])
def test_where_a_host_does_not_say_so_or_nobody_says_anything_it_is_not(leads):
    assert after(59.9, **leads) is None
    waiting = tuple(Name(name.replace("_", "-")) for name, does in leads.items() if not does)
    assert after(60, **leads) == Overdue(PROD, A, 7, WINDOW, waiting)


def test_that_it_is_overdue_is_said_once_and_that_it_came_late_is_said_too():
    overdue = evolve(ORDERED, LATE)
    assert overdue.overdue and overdue.waiting == (TWO,) and overdue.window_seconds == WINDOW
    assert after(90, overdue, host_1=True, host_2=False) is None

    late = evolve(overdue, after(90, overdue, host_1=True, host_2=True))
    assert (late.milliseconds, late.overdue, late.waiting) == (90_000, True, ())


def test_what_is_done_is_looked_at_no_more_and_what_never_comes_only_for_a_day():
    assert after(120, evolve(ORDERED, DONE), host_1=False) is None
    assert after(LOOKED_FOR.total_seconds(), host_1=True) is None
    assert ORDERED.is_pending(NOW) and not evolve(ORDERED, DONE).is_pending(NOW)


@pytest.mark.parametrize("event", [DONE, LATE], ids=lambda event: event.type)
@pytest.mark.parametrize("before", [None, Restoration(A, 8, NOW), evolve(ORDERED, DONE)], ids=["none", "other", "done"])
def test_a_log_that_tells_of_a_rollback_for_which_nobody_waits_is_none(event, before):
    with pytest.raises(VerificationError, match="for which nobody waits"):
        evolve(before, event)
