"""Is Envoy told what changed, only that, and until it has it?"""

import pytest

from lockgate.errors import UnavailableError
from tests.calling import SECOND, boottime

delta_ads = pytest.importorskip("lockgate.drivers.envoy.delta_ads")
descriptors = pytest.importorskip("lockgate.drivers.envoy.descriptors")

CLUSTER, LISTENER, ROUTES = delta_ads.ORDER
REQUEST = descriptors.message_class("envoy.service.discovery.v3.DeltaDiscoveryRequest")


class Line:
    """A feed, and somebody who speaks as Envoy does."""

    def __init__(self):
        self.feed = delta_ads.Feed("unix:nowhere", 2.0)
        self.feed._beaten_ns = boottime()
        self.begin()

    def begin(self, **has):
        self.feed._streams += 1
        self.stream = self.feed._line = delta_ads._Stream(self.feed._streams)
        for kind in delta_ads.ORDER:
            self.hear(kind, initial_resource_versions=has if kind == LISTENER else {})
        return self.told()

    def hear(self, kind, refusal="", **said):
        request = REQUEST(type_url=descriptors.PREFIX + kind, **said)
        request.error_detail.message = refusal
        self.feed._hear(self.stream, request)

    def told(self):
        return self.feed._due(self.stream)

    def answer(self, response, refusal=""):
        self.hear(response.type_url.removeprefix(descriptors.PREFIX), refusal, response_nonce=response.nonce)

    def put(self, body, *names, until_ns=None, gone=(), kind=LISTENER):
        return self.feed.put(kind, {name: delta_ads.Resource(body, until_ns) for name in names}, gone)

    def is_so(self, goals):
        try:
            self.feed.wait(goals, 0)
        except UnavailableError as e:
            return str(e)
        return True


@pytest.fixture
def line():
    found = Line()
    everything = found.put(b"1", "a", "b", "c", until_ns=boottime() + 600 * SECOND)
    found.answer(found.told()[0])
    assert found.is_so(everything) is True
    return found


def said(responses):
    """Say what responses tell: names with a body, names that shall stay, names that shall go."""
    added = [each for response in responses for each in response.resources]
    bodies = [each.name for each in added if each.HasField("resource")]
    stay = [each.name for each in added if not each.HasField("resource")]
    return sorted(bodies), sorted(stay), [name for response in responses for name in response.removed_resources]


def test_a_change_costs_what_it_changes(line):
    line.put(b"2", "a", until_ns=boottime() + 600 * SECOND)
    line.put(b"", gone=["b"])

    assert said(line.told()) == (["a"], [], ["b"])
    line.put(b"2", "a", until_ns=boottime() + 700 * SECOND)
    assert said(line.told()) == ([], ["a"], [])
    assert said(line.told()) == ([], [], [])


@pytest.mark.parametrize("between", [{"gone": ["a"]}, {"body": b"2", "names": ["a"]}])
def test_what_went_and_came_back_before_it_was_told_needs_no_answer(line, between):
    until_ns = boottime() + 600 * SECOND
    line.put(between.get("body", b""), *between.get("names", ()), until_ns=until_ns, gone=between.get("gone", ()))
    back = line.put(b"1", "a", until_ns=until_ns)

    assert said(line.told())[0] == [] and line.is_so(back) is True


def test_what_is_on_its_way_is_waited_for_though_it_went_and_came_back(line):
    line.put(b"2", "a", until_ns=boottime() + 600 * SECOND)
    (sent,) = line.told()
    line.put(b"", gone=["a"])
    back = line.put(b"2", "a", until_ns=boottime() + 600 * SECOND)
    line.told()

    assert "not acknowledged" in str(line.is_so(back))
    line.answer(sent)
    assert line.is_so(back) is True


def test_everything_is_told_that_it_shall_stay_at_a_third_of_the_ttl(line):
    line.feed._beaten_ns -= int(0.7 * SECOND)

    assert said(line.told()) == ([], ["a", "b", "c"], [])


def test_who_waits_for_one_waits_for_no_other(line):
    ours, theirs = line.put(b"", gone=["a"]), line.put(b"2", "b")
    (both,) = line.told()
    more = line.put(b"3", "b")
    line.answer(both)

    assert line.is_so(ours) is True
    assert "not acknowledged" in line.is_so(theirs) and "not acknowledged" in line.is_so(more)
    line.answer(line.told()[0])
    assert line.is_so(theirs) is line.is_so(line.feed.everything()) is True


def test_what_is_refused_is_named_and_told_again_when_it_is_put_again(line):
    goals = line.put(b"2", "a", "b", until_ns=boottime() + 600 * SECOND)
    line.answer(line.told()[0], "no such thing")

    assert line.is_so(goals) == "Envoy refused Listener a: no such thing"
    assert said(line.told()) == ([], [], [])
    again = line.put(b"2", "a", until_ns=boottime() + 600 * SECOND)
    line.answer(line.told()[0])
    assert line.is_so(again) is True
    assert line.is_so(goals) == "Envoy refused Listener b: no such thing"


def test_what_is_refused_can_still_be_taken_away(line):
    line.put(b"2", "a")
    line.answer(line.told()[0], "no such thing")

    goals = line.put(b"", gone=["a"])

    (response,) = line.told()
    assert said([response]) == ([], [], ["a"])
    line.answer(response)
    assert line.is_so(goals) is True


def test_a_refusal_of_what_was_changed_meanwhile_says_nothing(line):
    line.put(b"2", "a", until_ns=boottime() + 600 * SECOND)
    (earlier,) = line.told()
    goals = line.put(b"3", "a", until_ns=boottime() + 600 * SECOND)
    (later,) = line.told()
    line.answer(earlier, "no such thing")
    line.answer(later)

    assert line.is_so(goals) is True
    line.feed._beaten_ns -= int(0.7 * SECOND)
    assert said(line.told()) == ([], ["a", "b", "c"], [])


def test_what_was_never_there_need_not_go(line):
    goals = line.put(b"", gone=["unheard-of"])

    assert line.is_so(goals) is True
    goals = line.put(b"1", "new", until_ns=boottime() - 1)
    line.told()
    assert line.is_so(goals) is True


def test_another_envoy_is_told_what_it_has_not_got(line):
    versions = {name: each.version for name, each in line.feed._wanted[LISTENER].resources.items()}
    responses = line.begin(a=versions["a"], b="another", gone="1")

    assert said(responses) == (["b", "c"], [], ["gone"])
    for response in responses:
        line.answer(response)
    assert line.is_so(line.feed.everything()) is True


def test_what_is_over_goes_and_comes_back_as_another(line):
    line.put(b"1", "a", until_ns=boottime() + 1)
    responses = line.told()
    assert said(responses) == ([], [], ["a"])

    goals = line.put(b"1", "a", until_ns=boottime() + 600 * SECOND)

    assert "not acknowledged" in line.is_so(goals)
    assert said(line.told())[0] == ["a"]


def test_after_a_silence_all_that_has_an_end_is_told_again(line):
    line.feed._beaten_ns -= 2 * SECOND

    bodies, _, gone = said(line.told())

    assert (bodies, gone) == (["a", "b", "c"], [])
