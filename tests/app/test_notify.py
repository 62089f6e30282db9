"""Is everything told that matters, once and in order, whatever fails in between?"""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.app.notify import tell_from
from lockgate.core.evidence import Verdict
from lockgate.errors import UnavailableError
from tests.app.test_adopt import adopt
from tests.core.dossiers import ruling
from tests.receivers import Heard
from tests.rolling import begin
from tests.world import World


@pytest.fixture
def busy(world):
    """A world in which a policy was proposed and adopted, and an endpoint shut down."""
    world.propose(replace(ruling(provenance=False), version=2), reason="less work @everyone")
    world.serve()
    world.shut_down()
    return world


def told(world, channel, position=0):
    places = list(tell_from(world.installation, channel, position))
    return places[-1] if places else position


def test_everything_that_matters_is_told_in_order_and_then_nothing_more(busy):
    heard = Heard()

    place = told(busy, heard)

    assert place == busy.memory.size()
    assert [notice.title.partition(": ")[2] for notice in heard.notices] == [
        "trust changed", "policy changed", "policy proposed", "approval needed", "shutdown",
    ]  # fmt: skip
    assert "because 'less work everyone'" in heard.notices[2].text
    assert heard.entries == sorted(heard.entries)
    assert told(busy, heard, place) == place
    assert len(heard.notices) == 5


def test_the_place_is_to_be_remembered_after_each_message(busy):
    heard = Heard()

    places = [(place, len(heard.notices)) for place in tell_from(busy.installation, heard, 0)]

    assert places[:5] == [(entry + 1, number) for number, entry in enumerate(heard.entries, 1)]
    assert places[-1][0] == busy.memory.size()


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_a_channel_that_fails_goes_on_where_it_was(busy, stop_after):
    heard, place = Heard(), 0
    following = tell_from(busy.installation, heard, 0)
    for _ in range(stop_after):
        place = next(following)
    heard.refuses = True
    with pytest.raises(UnavailableError, match="nobody listens"):
        told(busy, heard, place)

    heard.refuses = False
    told(busy, heard, place)

    whole = Heard()
    told(busy, whole)
    assert heard.notices == whole.notices


def test_a_reason_that_cannot_be_read_is_no_reason_to_be_silent(busy):
    heard = Heard()
    busy.memory.documents.clear()

    told(busy, heard)

    assert "for a reason that cannot be read" in heard.notices[2].text


def test_nothing_is_told_of_a_log_that_is_frozen():
    world, heard = World(), Heard()
    told(world, heard)
    world.installation.watch.look()
    del world.memory.log[-1:], world.memory.hashes[-1:]

    with pytest.raises(UnavailableError, match="frozen"):
        told(world, heard)
    assert len(heard.notices) == 2


def test_of_a_log_that_was_put_back_and_accepted_the_end_is_remembered(busy):
    size = busy.memory.size()

    assert list(tell_from(busy.installation, Heard(), size + 5)) == [size]


def test_other_rules_are_told_when_they_are_in_force(world):
    heard = Heard()
    place = told(world, heard)
    adopt(world, replace(ruling(provenance=False), version=2))

    told(world, heard, place)

    assert heard.notices[-1].text.startswith("ann put version 2 of the policy into force")


def test_approvers_are_told_what_would_change(busy):
    heard = Heard()
    list(tell_from(busy.installation, heard, 0, "https://lockgate.example"))

    text = heard.notices[3].text
    assert text.startswith(
        "alice asks to serve magika@1.0.0 at prod/magika where nothing serves yet, all at once, because"
    )
    assert "lockgate change approve 6, https://lockgate.example/api/v1/changes/6" in text


def test_they_are_told_what_it_replaces_and_by_which_steps(world):
    world.serve()
    begin(world)
    heard = Heard()
    told(world, heard)

    assert "in the place of magika@1.0.0, as canary with 5, 50, 100 %" in heard.notices[-1].text


def evidence_told(world, *runs):
    """Open a change of a release of which this was attested, and return what approvers are told of its evidence."""
    release = world.register()
    if runs:
        world.attest(release, *runs)
    world.open(release)
    heard = Heard()
    told(world, heard)
    return re.search(r"; of (.*); it waits", heard.notices[-1].text)[1]


def test_approvers_are_told_that_evidence_passes_failed_or_is_missing(world):
    assert evidence_told(world, world.built(), world.ran()) == "2 pieces of evidence 2 pass"


def test_approvers_are_told_what_is_missing(world):
    told = evidence_told(world)

    assert told == "2 pieces of evidence 0 pass, 2 are missing: 'file-types, provenance'"


def test_approvers_are_told_what_failed_or_does_not_count(world):
    failed = "2 pieces of evidence 1 pass, 1 failed or do not count: 'file-types'"

    assert evidence_told(world, world.built(), world.ran(Verdict.FAILED)) == failed
    old = replace(world.ran(), finished_at=world.now - timedelta(days=31))
    assert evidence_told(World(), World().built(), old) == failed


def test_of_a_change_that_is_decided_by_now_no_evidence_is_told(world):
    world.serve()
    heard = Heard()
    told(world, heard)

    assert "pieces of evidence" not in heard.notices[-1].text
