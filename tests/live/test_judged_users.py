"""Is each user judged once in a round, at one release, of all that became of them, or not at all?"""

from itertools import pairwise

import pytest

from lockgate.core.report import MAX_ROUNDS, Tally
from lockgate.formats.names import Name
from tests.calling import CANDIDATE, ENDPOINT, STABLE, free_address, split

judged_users = pytest.importorskip("lockgate.drivers.envoy.judged_users")
access_log = pytest.importorskip("lockgate.drivers.envoy.access_log")
message_class = pytest.importorskip("lockgate.drivers.envoy.descriptors").message_class

SECOND = 1_000_000_000
WATCHED = int(judged_users.WATCHED)
LONG = 400_000  # seconds


class At:
    def __init__(self):
        self.address = free_address()


def shown(weight=50, **more):
    return split(At(), At(), weight, **{"stable": STABLE, "sticky_by": "x-user", "rollout": 7} | more)


def opened(traffic=None, **more):
    users = judged_users.Users(**more)
    users.open([traffic or shown()], 0)
    return users


def answer(caller="ann", release=CANDIDATE, *, failed=False, began=1.0):
    return judged_users.Answer(ENDPOINT, release, caller.encode(), failed, int(began * SECOND))


def hear(users, at, *answers):
    users.take(answers, int(at * SECOND))


def judged(users, at, release=CANDIDATE):
    found = users.judge(int(at * SECOND)).get((ENDPOINT, release), {})
    return {name.text: (tally.total, tally.bad) for name, tally in found.items()}


def test_somebody_is_one_however_often_they_ask_and_is_judged_when_their_time_is_over():
    users = opened()
    for at in range(1000):
        hear(users, at / 100, answer(failed=at % 7 == 3))

    assert judged(users, WATCHED - 0.1) == {}
    assert judged(users, WATCHED) == judged(users, LONG) == {"users-1": (1, 1)}


@pytest.mark.parametrize(
    ("at", "later", "bad"),
    [
        (1, answer(failed=True), 1),
        (WATCHED - 0.1, answer(failed=True), 1),
        (WATCHED, answer(failed=True), 0),
        (1, answer(failed=False), 0),
        (1, answer(release=STABLE, failed=True), 0),
        (1, answer(caller="bob", failed=True), 0),
    ],
)
def test_what_counts_is_what_their_release_did_to_them_in_their_time(at, later, bad):
    users = opened()
    hear(users, 0, answer())
    hear(users, at, later)

    users.judge(WATCHED * SECOND)
    assert judged(users, WATCHED)["users-1"] == (1, bad)


def test_who_had_a_failure_has_had_it_whatever_comes_after():
    users = opened()
    hear(users, 0, answer(failed=True))
    hear(users, 1, answer(), answer(release=STABLE))

    assert judged(users, WATCHED) == {"users-1": (1, 1)}
    assert judged(users, WATCHED, STABLE) == {}


def test_each_round_has_a_user_once_and_comes_later_than_the_one_before():
    users, began = opened(), []
    for at in range(0, LONG, 15):
        before = len(judged(users, at))
        hear(users, at, answer())
        if users._ledgers[ENDPOINT].watched and before == len(began):
            began.append(at)

    hear(users, 10 * LONG, answer())
    assert judged(users, 20 * LONG) == {f"users-{number}": (1, 0) for number in range(1, MAX_ROUNDS + 1)}
    pauses = [after - before - WATCHED for before, after in pairwise(began)]
    assert pauses == [60 * 4**number for number in range(MAX_ROUNDS - 1)]


@pytest.mark.parametrize(
    "disturb",
    [
        lambda users: users.lose(),
        lambda users: (users.close([shown(60)]), users.open([shown(60)], 0)),
        lambda users: (users.close([shown(rollout=8)]), users.open([shown(rollout=8)], 0)),
        lambda users: (users.close([shown(sticky_by=None)]), users.open([shown()], 0)),
    ],
)
def test_whoever_is_watched_while_something_changes_or_is_lost_is_judged_by_nobody(disturb):
    users = opened()
    hear(users, 0, answer(failed=True))
    disturb(users)

    assert judged(users, LONG) == {}
    hear(users, WATCHED, answer())
    assert judged(users, 3 * WATCHED) == {"users-1": (1, 0)}


@pytest.mark.parametrize("traffic", [shown(60), shown(stable=None), shown(rollout=8)])
def test_a_split_that_is_not_shown_yet_or_not_any_more_has_no_users(traffic):
    users = opened()
    users.close([traffic])
    hear(users, 0, answer())

    assert judged(users, LONG) == {} and not users.is_needed


def test_the_same_split_with_a_longer_lease_disturbs_nobody():
    users, traffic = judged_users.Users(), shown()
    users.open([traffic], 0)
    hear(users, 0, answer(failed=True))
    users.close([traffic])
    users.open([traffic], 10 * SECOND)

    assert judged(users, WATCHED) == {"users-1": (1, 1)}


def test_what_began_before_the_split_was_surely_shown_is_nobodys():
    users = judged_users.Users()
    users.open([shown()], 10 * SECOND)

    hear(users, 0, answer(began=10.1))
    assert judged(users, LONG) == {}
    hear(users, 0, answer(began=10.3))
    assert judged(users, LONG) == {"users-1": (1, 0)}


def test_a_candidate_that_comes_back_finds_those_who_were_judged():
    users = opened()
    hear(users, 0, answer())
    assert judged(users, WATCHED) == {"users-1": (1, 0)}
    users.close([shown(sticky_by=None)])
    users.open([shown()], 0)

    hear(users, WATCHED + 1, answer())
    assert judged(users, 3 * WATCHED) == {"users-1": (1, 0)}


def test_whom_there_is_no_room_for_is_judged_by_nobody_and_that_is_said():
    users = opened(most=2)
    hear(users, 0, *(answer(caller, failed=caller == "cid") for caller in ("ann", "bob", "cid")))

    assert judged(users, WATCHED) == {"users-1": (2, 0)}
    assert users.unjudged == "2 users are remembered, and nobody judges any others"


def test_a_rollout_that_is_over_makes_room_and_is_never_judged_again():
    users = opened(most=1)
    hear(users, 0, answer("ann"))
    users.close([shown(rollout=8)])
    users.open([shown(rollout=8)], 0)
    hear(users, 0, answer("bob"))
    assert users.unjudged is None and judged(users, WATCHED) == {"users-1": (1, 0)}

    other = shown(rollout=8, endpoint=type(ENDPOINT).parse("prod/other"))
    users.close([shown(sticky_by=None)])
    users.open([other], 0)
    hear(users, 0, judged_users.Answer(other.endpoint, CANDIDATE, b"cid", failed=False, began_ns=SECOND))
    users.close([shown(sticky_by=None, endpoint=other.endpoint)])
    users.open([shown(rollout=8)], 0)
    hear(users, LONG, answer("bob"))
    assert judged(users, 2 * LONG) == {"users-1": (1, 0)}
    assert "users of prod/magika were forgotten" in users.unjudged


def test_nothing_of_a_user_is_kept_but_a_hash_under_a_key_of_this_process():
    one, other = opened(), opened()
    for users in (one, other):
        hear(users, 0, answer("ann@example.com"))

    kept = [next(iter(users._ledgers[ENDPOINT].users)) for users in (one, other)]
    assert len(kept[0]) == 16 and kept[0] != kept[1]
    assert b"ann" not in repr(vars(one)).encode()


class Line:
    """Records of Envoy, as they come by the line; `clock` is told by the test."""

    def __init__(self):
        self.now, self.users = 0, opened()
        self.log = access_log.AccessLog(self.users, lambda: self.now)

    def hear(self, *entries, ends=False):
        message = message_class("envoy.service.accesslog.v3.StreamAccessLogsMessage")()
        for entry in entries:
            message.http_logs.log_entry.add().CopyFrom(entry)
        body = message.SerializeToString()
        self.log._hear(iter([body]), None) if ends else self.log._take(body)

    def known(self, at, records, *, life=1, lost=0):
        self.now = at * SECOND
        return self.log.known_ns(access_log.Written(life, records, lost)) // SECOND


def entry(status=200, *flags, caller="ann", release=CANDIDATE):
    found = message_class("envoy.data.accesslog.v3.HTTPAccessLogEntry")()
    about = found.common_properties
    if release is not None:
        name = f"{ENDPOINT}/{release.hex}"
        about.upstream_remote_address.envoy_internal_address.server_listener_name = name
    about.start_time.FromNanoseconds(SECOND)
    if caller is not None:
        about.metadata.filter_metadata["lockgate"].fields["caller"].string_value = caller
    for flag in flags:
        setattr(about.response_flags, flag, True)
    found.response.response_code.value = status
    return found


@pytest.mark.parametrize(
    ("record", "judgement"),
    [
        (entry(200), (1, 0)),
        (entry(404), (1, 0)),
        (entry(499), (1, 0)),
        (entry(500), (1, 1)),
        (entry(503, "upstream_connection_failure"), (1, 1)),
        (entry(200, "upstream_connection_termination"), (1, 1)),
        (entry(200, "upstream_remote_reset"), (1, 1)),
        (entry(0, "upstream_remote_reset"), (1, 1)),
        (entry(0, "upstream_protocol_error", "downstream_connection_termination"), (1, 1)),
        (entry(200, "duration_timeout"), (1, 1)),
        (entry(200, "downstream_connection_termination"), None),
        (entry(0, "downstream_remote_reset"), None),
        (entry(0), None),
        (entry(503, "no_healthy_upstream", release=None), None),
        (entry(200, caller=None), None),
        (entry(200, caller=""), None),
    ],
)
def test_a_record_is_an_answer_a_failure_or_nothing(record, judgement):
    line = Line()
    line.hear(record)

    assert judged(line.users, LONG).get("users-1") == judgement


def test_nobody_is_judged_before_everything_that_was_written_by_then_has_come():
    line = Line()
    assert line.known(0, 0) == 0
    assert line.known(10, 1) == 0
    assert line.known(20, 2) == 0  # of what was written at 10, nothing has come
    line.hear(entry())
    assert line.known(30, 2) == 0
    line.hear(entry())
    assert line.known(40, 2) == 30


@pytest.mark.parametrize("more", [{"lost": 1}, {"life": 2}])
def test_what_envoy_lost_or_took_along_makes_nobody_a_success(more):
    line = Line()
    line.known(0, 0)
    line.hear(entry())
    line.known(5, 1, **more)

    line.known(50, 1, **more)
    assert line.known(60, 1, **more) == 50 and judged(line.users, 50) == {}


def test_a_line_that_breaks_makes_nobody_a_success_and_a_new_one_goes_on():
    line = Line()
    line.known(0, 0)
    line.hear(entry(), ends=True)
    line.known(1, 3)
    line.hear(entry(caller="bob"))
    line.known(50, 4)

    assert line.users.judge(line.log.known_ns(access_log.Written(1, 4, 0)))[ENDPOINT, CANDIDATE] == {
        Name("users-1"): Tally(1, 0)
    }


def test_what_is_no_record_breaks_the_line():
    line = Line()
    line.hear(entry())
    line.log._hear(iter([b"\xff\xff"]), None)

    assert judged(line.users, LONG) == {}
