"""Do two releases side by side share nothing: no login, no secret, no session? And is it seen if they do?"""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.binding import Holder
from lockgate.core.scratch import parse_scratch
from lockgate.core.sharing import Open, Seen, shared
from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.bound import InMemory
from tests.world import NOW, PROD

STABLE = Holder(PROD, Name("host-1"), Digest.of(b"stable"))
CANDIDATE = replace(STABLE, release=Digest.of(b"candidate"))


@pytest.fixture
def system():
    return InMemory()


def granted(system, holder):
    return system.grant(holder, NOW + timedelta(seconds=30))


def test_stable_and_candidate_hold_a_binding_under_names_and_secrets_of_their_own(system):
    stable, candidate = granted(system, STABLE), granted(system, CANDIDATE)

    assert not set(stable.values()) & set(candidate.values())
    with pytest.raises(PermissionError):
        system.enter({**stable, "login": candidate["login"]})


def test_what_one_of_them_loses_the_other_keeps(system):
    stable, candidate = granted(system, STABLE), granted(system, CANDIDATE)
    going_on = system.enter(stable)

    system.cut(PROD, CANDIDATE)

    going_on()
    with pytest.raises(PermissionError):
        system.enter(candidate)


def test_the_same_release_on_another_host_is_another_holder():
    assert replace(STABLE, node=Name("host-2")).login not in (STABLE.login, CANDIDATE.login)


@pytest.mark.parametrize(
    ("what", "is_shared"),
    [
        (Open("file", "8:77", "/var/cache/prompts", writes=True), True),
        (Open("connection", "10.0.0.5:6379", "10.0.0.5:6379", writes=True), True),
        (Open("file", "8:12", "/usr/lib/libc.so.6", writes=False), False),
    ],
)
def test_a_cache_or_memory_that_both_have_open_is_seen(what, is_shared):
    both = [Seen(PROD, holder.release, frozenset({what}), frozenset()) for holder in (STABLE, CANDIDATE)]

    assert bool(list(shared(both))) is is_shared


def test_on_a_host_that_says_nothing_each_writes_in_a_place_of_its_own_alone():
    scratch = parse_scratch({})

    assert (scratch.kind, scratch.writable) == ("only", ())
    scratch.check_beside(PROD)


def test_a_folder_that_a_host_lets_both_write_is_refused_to_a_candidate():
    with pytest.raises(DeniedError, match="both write /srv/cache"):
        parse_scratch({"writable": ["/srv/cache"]}).check_beside(PROD)
