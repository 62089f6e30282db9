"""What of two releases side by side is shared, and what only looks like it?"""

from dataclasses import replace

import pytest

from lockgate.core.sharing import LONGEST, Open, Seen, Shared, shared
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from tests.world import PROD

STABLE, CANDIDATE = sorted((Digest.of(b"stable"), Digest.of(b"candidate")), key=str)
CACHE = Open("file", "8:77", "/var/cache/kv", writes=True)
READ = replace(CACHE, writes=False)
REDIS = Open("connection", "10.0.0.5:6379", "10.0.0.5:6379", writes=True)


def seen(release, *opened, **more):
    return Seen(**{"endpoint": PROD, "release": release, "opened": frozenset(opened), "granted": frozenset()} | more)


@pytest.mark.parametrize(
    ("mine", "theirs", "medium", "name"),
    [
        ((CACHE,), (CACHE,), "file", "/var/cache/kv"),
        ((CACHE,), (READ,), "file", "/var/cache/kv"),
        ((READ,), (CACHE,), "file", "/var/cache/kv"),
        ((CACHE,), (replace(CACHE, name="/tmp/other-name"),), "file", "/tmp/other-name"),
        ((REDIS,), (REDIS,), "connection", "10.0.0.5:6379"),
        ((READ, CACHE), (READ,), "file", "/var/cache/kv"),
    ],
)
def test_what_both_have_open_and_one_writes_is_shared(mine, theirs, medium, name):
    found = list(shared([seen(CANDIDATE, *theirs), seen(STABLE, *mine)]))

    assert found == [Shared(PROD, (STABLE, CANDIDATE), medium, name)]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ((), ()),
        ((CACHE,), ()),
        ((READ,), (READ,)),
        ((CACHE,), (replace(CACHE, identity="8:78"),)),
        ((REDIS,), (replace(REDIS, identity="10.0.0.5:6380"),)),
    ],
)
def test_what_only_one_has_or_nobody_writes_is_not(mine, theirs):
    assert not list(shared([seen(STABLE, *mine), seen(CANDIDATE, *theirs)]))


@pytest.mark.parametrize(
    "other",
    [
        seen(STABLE, CACHE),
        seen(CANDIDATE, CACHE, endpoint=Endpoint.parse("prod/other")),
    ],
)
def test_two_runs_of_one_release_and_releases_elsewhere_may_share(other):
    assert not list(shared([seen(STABLE, CACHE), other]))


@pytest.mark.parametrize(("granted", "found"), [("10.0.0.5:6379", 0), ("10.0.0.5:6380", 1)])
def test_where_a_binding_leads_nobody_shares_because_each_has_a_login_of_its_own(granted, found):
    sides = [seen(STABLE, REDIS, granted=frozenset({granted})), seen(CANDIDATE, REDIS)]

    assert len(list(shared(sides))) == found


def test_what_nobody_could_look_at_is_said():
    found = list(shared([seen(STABLE), seen(CANDIDATE, whole=False)]))

    assert [(one.releases, one.medium) for one in found] == [((CANDIDATE,), "unseen")]


def test_a_name_is_not_endless():
    long = replace(CACHE, name="/" + "x" * 4000)

    (found,) = shared([seen(STABLE, long), seen(CANDIDATE, long)])

    assert len(found.name) == LONGEST
