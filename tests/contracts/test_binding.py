"""Does every binding let in whom it was granted to, and nobody once it was cut?

A driver joins by a `Bed`: the binding, and how its model server would get in with what was granted.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import psycopg
import pytest

from lockgate.app.ports import Binding
from lockgate.core.binding import Holder
from lockgate.errors import UnavailableError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name
from tests.bound import Desk, InMemory, introspect
from tests.bound_servers import Database, Redis
from tests.calling import until
from tests.tool_server import SECRET, ToolServer
from tests.world import key

DESK, OTHER = Endpoint.parse("prod/desk"), Endpoint.parse("prod/other")
HOLDER = Holder(DESK, Name("host-1"), Digest.of(b"a"))
CANDIDATE = replace(HOLDER, release=Digest.of(b"b"))
ELSEWHERE = replace(HOLDER, node=Name("host-2"))
STRANGER = replace(HOLDER, endpoint=OTHER)
ALL = (HOLDER, CANDIDATE, ELSEWHERE, STRANGER)


@dataclass
class Bed:
    """A binding under test. `enter` gets in and returns what goes on with that session; both raise if nobody may."""

    binding: Binding
    enter: Callable
    shut: tuple[type[Exception], ...]
    observes: bool = True

    def grant(self, holder):
        return self.binding.grant(holder, datetime.now(UTC) + timedelta(minutes=5), ("count",))

    def gets_in(self, granted):
        try:
            self.enter(granted)()
        except self.shut:
            return False
        return True


def in_memory(_request, _folder):
    system = InMemory()
    yield Bed(system, system.enter, (PermissionError,))


def webhook(_request, folder):
    from lockgate.drivers.webhook import Webhook
    from lockgate.drivers.webhook.bounded_request import Target

    def enter(granted):
        def use():
            asked = urllib.request.Request(granted["url"], headers={"Authorization": f"Bearer {granted['token']}"})
            urllib.request.urlopen(asked, timeout=10).close()

        use()
        return use

    with Desk() as desk:
        at = Target(desk.url, private=True)
        driver = Webhook(Name("crm"), (Name("host-1"), key("host-1")), at, at, folder)
        yield Bed(driver, enter, (urllib.error.HTTPError,), observes=False)


def postgres_role(request, _folder):
    database = request.getfixturevalue("database")
    yield Bed(database.driver(), database.enter, (psycopg.Error,))
    database.hang_up()


def redis_user(request, _folder):
    redis = pytest.importorskip("redis")
    server = request.getfixturevalue("redis_server")
    yield Bed(server.driver(), server.enter, (redis.RedisError,))
    server.hang_up()


def credential(_request, _folder):
    from lockgate.drivers.introspection import Introspection

    driver = Introspection(Name("pass"), ("127.0.0.1", 0), "the secret of the services")

    def enter(granted):
        def use():
            if not introspect(granted["introspect"], granted["token"])["active"]:
                raise PermissionError

        use()
        return use

    yield Bed(driver, enter, (PermissionError,), observes=False)


def mcp(_request, _folder):
    from lockgate.drivers.mcp_door import McpDoor
    from lockgate.drivers.mcp_door.upstream import Upstream

    lines = []

    def ask(granted, method, **params):
        lines.append(http.client.HTTPConnection(urlsplit(granted["url"]).netloc, timeout=20))
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        lines[-1].request("POST", "/mcp", body, {"Authorization": f"Bearer {granted['token']}"})
        answer = lines[-1].getresponse()
        if answer.status != 200:
            raise PermissionError
        return answer

    def enter(granted):
        under_way = ask(granted, "tools/call", name="count")

        def use():
            ask(granted, "ping").read()
            if not under_way.readline():
                raise PermissionError

        use()
        return use

    with ToolServer() as server:
        door = McpDoor(Name("tools"), Upstream(server.url, SECRET), ("127.0.0.1", 0))
        yield Bed(door, enter, (PermissionError, http.client.HTTPException, OSError))
        for line in lines:
            line.close()


BEDS = [
    pytest.param(mcp, id="mcp", marks=pytest.mark.live),
    pytest.param(in_memory, id="memory"),
    pytest.param(webhook, id="webhook", marks=pytest.mark.live),
    pytest.param(credential, id="credential", marks=pytest.mark.live),
    pytest.param(postgres_role, id="postgres", marks=pytest.mark.live),
    pytest.param(redis_user, id="redis", marks=pytest.mark.live),
]


@pytest.fixture(scope="module")
def database():
    with Database() as database:
        yield database


@pytest.fixture(scope="module")
def redis_server():
    with Redis() as server:
        yield server


@pytest.fixture(params=BEDS)
def bed(request, tmp_path):
    beds = request.param(request, tmp_path / "kept")
    made = next(beds)
    yield made
    for holder in ALL:
        made.binding.cut(holder.endpoint)
    made.binding.close()
    made.binding.close()
    next(beds, None)


def test_who_was_granted_gets_in_again_and_again_with_the_same(bed):
    granted = bed.grant(HOLDER)

    assert bed.gets_in(granted)
    assert bed.grant(HOLDER) == granted
    assert bed.gets_in(granted)


def test_a_cut_ends_what_is_open_and_what_is_new(bed):
    granted = bed.grant(HOLDER)
    go_on = bed.enter(granted)
    go_on()

    bed.binding.cut(DESK, HOLDER)

    with pytest.raises(bed.shut):
        go_on()
    with pytest.raises(bed.shut):
        bed.enter(granted)


@pytest.mark.parametrize("holder", [HOLDER, None])
def test_what_is_probed_is_open_before_a_cut_and_shut_after_it(bed, holder):
    bed.grant(HOLDER)
    before = bed.binding.probe(DESK, holder)

    bed.binding.cut(DESK, holder)

    assert (before, bed.binding.probe(DESK, holder), bed.binding.probe(DESK)) == ("open", "shut", "shut")


def test_to_cut_twice_is_to_cut_once_and_what_was_never_granted_is_shut(bed):
    for scope in (HOLDER, None):
        for _ in range(2):
            bed.binding.cut(DESK, scope)
            assert bed.binding.probe(DESK, scope) == "shut"
    granted = bed.grant(HOLDER)
    for _ in range(2):
        bed.binding.cut(DESK, HOLDER)
        assert bed.binding.probe(DESK, HOLDER) == "shut" and not bed.gets_in(granted)


def test_a_cut_of_one_holder_leaves_all_others_in(bed):
    granted = {holder: bed.grant(holder) for holder in ALL}
    going_on = {holder: bed.enter(granted[holder]) for holder in ALL}

    bed.binding.cut(DESK, HOLDER)

    assert [holder for holder in ALL if bed.gets_in(granted[holder])] == [CANDIDATE, ELSEWHERE, STRANGER]
    for holder in (CANDIDATE, ELSEWHERE, STRANGER):
        going_on[holder]()
        assert bed.binding.probe(holder.endpoint, holder) == "open"
    assert bed.binding.probe(DESK, HOLDER) == "shut" and bed.binding.probe(DESK) == "open"


def test_a_cut_of_an_endpoint_cuts_all_of_it_and_no_other(bed):
    granted = {holder: bed.grant(holder) for holder in ALL}
    going_on = {holder: bed.enter(granted[holder]) for holder in ALL}

    bed.binding.cut(DESK)

    assert [holder for holder in ALL if bed.gets_in(granted[holder])] == [STRANGER]
    for holder in (HOLDER, CANDIDATE, ELSEWHERE):
        with pytest.raises(bed.shut):
            going_on[holder]()
        assert bed.binding.probe(DESK, holder) == "shut"
    going_on[STRANGER]()
    assert bed.binding.probe(OTHER) == "open"


def test_a_grant_after_a_cut_lets_in_again_but_not_with_what_was_cut(bed):
    first = bed.grant(HOLDER)
    bed.binding.cut(DESK)

    second = bed.grant(HOLDER)

    assert second != first and bed.gets_in(second) and not bed.gets_in(first)
    assert bed.binding.probe(DESK, HOLDER) == "open"


def test_releases_share_nothing_by_name(bed):
    granted = [{str(value) for value in bed.grant(holder).values()} for holder in ALL]

    shared = {value for each in granted for value in each if sum(value in other for other in granted) > 1}
    assert not [value for value in shared if "lockgate_" in value]
    assert len({frozenset(each) for each in granted}) == len(ALL)


def test_what_is_open_is_seen(bed):
    if not bed.observes:
        with pytest.raises(UnavailableError):
            bed.binding.observed(DESK)
        return
    granted = bed.grant(HOLDER)
    assert bed.binding.observed(DESK).logins == {HOLDER.login: 0}
    going_on = [bed.enter(granted) for _ in range(3)]

    until(lambda: bed.binding.observed(DESK).logins == {HOLDER.login: len(going_on)})
    bed.binding.cut(DESK)
    until(lambda: not bed.binding.observed(DESK).logins)
