"""Does anything pass that was not scanned, or not as the policy wants it? A second scanner can only say no."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.policy import Scans
from lockgate.formats.digest import Digest
from tests.core.dossiers import AT, FINISHED, TICK, denied, evidence, judged, ruling, run
from tests.core.trials import OTHER, RULES, SCANS, complete, demanding, permitted, probed, scanned, second, shown

DAY = timedelta(days=1)
FAILED, WARNED = Verdict.FAILED, Verdict.WARNED


def case(*scans):
    return shown(probed(), *scans)


def refused(reason, *scans, wanted=SCANS):
    (found,) = denied(reason, case(*scans), ruled=demanding(scans=wanted))
    return found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"result": FAILED}, "^suite scan FAILED, it must have PASSED$"),
        ({"result": WARNED}, "^suite scan WARNED, it must have PASSED$"),
        ({"finished_at": AT - 30 * DAY - TICK}, "suite scan finished at .*, not in the 30 days before"),
        ({"finished_at": AT + TICK}, "suite scan finished at .*, not in the 30 days before"),
        ({"harness": "another"}, "suite scan is by 'another', not by lockgate-scanner"),
        ({"suite_digest": None}, "suite scan went by the rules None, which are not ones"),
        ({"suite_digest": OTHER}, f"suite scan went by the rules {OTHER}, which are not ones that the policy lists"),
        ({"excused": None}, "suite scan does not say which exceptions it made"),
        ({"excused": ("pickle",)}, "an exception for 'pickle', which the policy does not"),
        (
            {"excused": ("native-code", "pickle")},
            "suite scan made an exception for 'pickle', which the policy does not",
        ),
        ({"suite": "scans"}, "suite scan has no result by a trusted signer for this release"),
    ],
)
def test_a_scan_that_is_not_as_the_policy_wants_it_is_denied(changes, reason):
    refused(reason, scanned(**changes), second())


@pytest.mark.parametrize(
    "changes", [{"excused": ("native-code",)}, {"finished_at": AT - 30 * DAY}, {"finished_at": AT}]
)
def test_a_scan_that_just_is_is_permitted(changes):
    permitted(case(scanned(**changes), second()))


@pytest.mark.parametrize(
    ("scans", "reason"),
    [
        ([second()], "suite scan has no result by a trusted signer"),
        ([scanned()], "suite scan/second has no result by a trusted signer"),
        ([scanned(), scanned("scan/other")], "suite scan/second has no result by a trusted signer"),
        ([scanned(), second(result=FAILED)], "suite scan/second FAILED, it must have PASSED"),
        ([scanned(), second(result=WARNED)], "suite scan/second WARNED, it must have PASSED"),
        ([scanned(), second(finished_at=AT - 31 * DAY)], "suite scan/second finished at .* not in the 30 days"),
    ],
)
def test_every_scanner_that_is_wanted_must_have_passed(scans, reason):
    refused(reason, *scans)


@pytest.mark.parametrize("name", ["scan/other", "scan/third", "scan/Ünknown"])
def test_any_second_scanner_can_say_no(name):
    assert refused("FAILED", scanned(), second(), scanned(name, result=FAILED)) == f"suite {name} FAILED"
    permitted(case(scanned(), second(), scanned(name)))
    permitted(case(scanned(), second(), scanned(name, result=WARNED)))


@pytest.mark.parametrize("name", ["scan", "scan/other"])
def test_a_scan_that_found_something_denies_where_nobody_asks_for_one(name):
    found = scanned(name, result=FAILED)

    assert denied("FAILED", evidence(run(), found)) == (f"suite {name} FAILED",)
    judged(evidence(run(), found, replace(scanned(name), finished_at=FINISHED + TICK)))
    judged(evidence(run(), scanned("scanned", result=FAILED)))


def test_no_yes_of_a_second_scanner_takes_a_no_away():
    refused("suite scan FAILED", scanned(result=FAILED), second(), scanned("scan/other"))


@pytest.mark.parametrize("exceptions", [None, (), ("pickle",)])
def test_an_exception_is_one_that_the_policy_lists(exceptions):
    wanted = replace(SCANS, exceptions=exceptions)

    refused("an exception for 'native-code'", scanned(excused=("native-code",)), second(), wanted=wanted)


def test_what_the_policy_leaves_open_may_be_anything():
    permitted(case(scanned(suite_digest=OTHER)), demanding(scans=Scans(30)))
    refused("rules None", scanned(suite_digest=None), wanted=Scans(30))


def test_an_empty_list_of_rule_sets_accepts_none():
    refused(f"rules {RULES}, which are not ones", scanned(), second(), wanted=replace(SCANS, rules=()))


def test_the_newest_scan_counts():
    earlier, later = ({"finished_at": FINISHED + step} for step in (-TICK, TICK))

    permitted(case(scanned(), scanned(result=FAILED, **earlier), second()))
    refused("suite scan FAILED", scanned(), scanned(result=FAILED, **later), second())


def test_a_scan_is_wanted_besides_what_else_is():
    assert len(denied("suite scan has no result", evidence(run()), ruled=ruling(scans=Scans(30, (RULES,))))) == 1
    assert Digest.of(b"") != RULES and permitted(complete()).trials
