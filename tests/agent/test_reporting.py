"""Does the server learn what a gateway counted, so that nothing counts twice and nothing goes back?"""

from types import SimpleNamespace

import pytest

from lockgate.agent.reporting import Numbering, written_report
from lockgate.core.report import MAX_COUNTED, NOTHING, Counted, open_report
from lockgate.core.traffic import Counting
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import NOW, PROD, key, trust

FIRST, SECOND = "a" * 32, "b" * 32


@pytest.fixture
def node():
    return SimpleNamespace(host=SimpleNamespace(node=Name("host-1"), key=key("host-1")))


def counting(incarnation, releases=1):
    counted = tuple(Counted(PROD, Digest.of(str(number).encode()), NOTHING) for number in range(releases))
    return Counting(incarnation, counted)


def opened(written):
    return open_report(written, lambda name: trust().actor(name, NOW))[0]


def test_reports_of_one_incarnation_are_numbered_and_another_begins_anew(node):
    numbering = Numbering()
    reports = [opened(written_report(node, counting(each), numbering)) for each in (FIRST, FIRST, SECOND, SECOND)]
    assert [(one.incarnation, one.sequence) for one in reports] == [(FIRST, 1), (FIRST, 2), (SECOND, 1), (SECOND, 2)]
    assert {one.node for one in reports} == {Name("host-1")}


def test_what_is_too_much_for_a_report_is_left_out(node):
    assert len(opened(written_report(node, counting(FIRST, MAX_COUNTED + 1), Numbering())).counted) == MAX_COUNTED


def test_a_report_that_another_key_signed_is_none(node):
    node.host.key = key("mallory")
    with pytest.raises(VerificationError):
        opened(written_report(node, counting(FIRST), Numbering()))
