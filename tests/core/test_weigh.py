"""Is everything said that speaks for and against a release, without deciding?"""

from dataclasses import replace

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.gate import Weighed, weigh
from lockgate.core.policy import Approvals, Evaluation
from lockgate.core.release import Kind
from lockgate.core.rights import Role
from lockgate.errors import DeniedError
from lockgate.formats.names import Endpoint
from tests.core.dossiers import AT, FINISHED, agree, dossier, evidence, good, judged, ruling, run
from tests.world import NOTHING_REVOKED, PROD, key, policy, trust

SIGNED = f"key {key('components').public.key_id.hex[:16]}…"
GROUNDS = (
    f"the manifest is signed by {SIGNED}",
    f"the config component config is signed by {SIGNED}",
    f"the weights component weights is signed by {SIGNED}",
    "provenance: built by 'https://example.com/ci', by order of 'alice'",
    f"suite file-types PASSED at {FINISHED}: accuracy is 0.99, at least 0.95 is wanted",
    "bob has approved change 7",
    "carol has approved change 7",
)


def weighed(case=None, *, ruled=None, endpoint=PROD):
    return weigh(case or good(), endpoint, agree(trust()), ruled or policy(), NOTHING_REVOKED, AT)


def test_a_good_case_has_every_ground_and_no_reason():
    assert weighed() == Weighed(GROUNDS, ())


@pytest.mark.parametrize(
    ("case", "ruled", "lost", "reason"),
    [
        (replace(good(), approvals=good().approvals[:1]), policy(), {6}, "1 of 2 approvals"),
        (replace(good(), approvals=()), policy(), {5, 6}, "0 of 2 approvals"),
        (replace(good(), opening=None, approvals=()), policy(), {5, 6}, "no change is open that would bring it to"),
        (replace(good(), evidence=()), policy(), {3, 4}, "suite file-types has no result"),
        (evidence(run(result=Verdict.FAILED)), policy(), {4}, "suite file-types FAILED, it must have PASSED"),
        (good(), ruling(components=(Kind.WEIGHTS, Kind.TOKENIZER)), {1}, "the release has no tokenizer component"),
        (good(), ruling(evaluations=(Evaluation("other", {"f1": "1"}, 1),)), {4}, "suite other has no result"),
        (good(), ruling(approvals=Approvals(3, Role.APPROVER)), set(), "2 of 3 approvals"),
        (dossier(approvers=("bob", "alice")), policy(), {6}, "alice approved without the role approver"),
    ],
)
def test_what_is_missing_is_no_ground_and_a_reason(case, ruled, lost, reason):
    found = weighed(case, ruled=ruled)

    assert found.grounds == tuple(ground for number, ground in enumerate(GROUNDS) if number not in lost)
    assert any(reason in one for one in found.reasons), found.reasons


def test_the_reasons_are_those_of_the_gate():
    spoilt = replace(good(), evidence=(), approvals=())

    with pytest.raises(DeniedError) as denied:
        judged(spoilt)
    assert weighed(spoilt).reasons == denied.value.reasons


@pytest.mark.parametrize(
    "found",
    [
        weighed(endpoint=Endpoint.parse("prod/other")),
        weighed(replace(good(), manifest=b"{}")),
        weighed(ruled=replace(policy(), expires=AT)),
    ],
)
def test_where_nothing_can_be_weighed_only_that_is_said(found):
    assert found.grounds == () and len(found.reasons) == 1


def test_nobody_is_an_author_by_a_change_that_is_not_there():
    found = weighed(replace(dossier(opener="bob", approvers=("bob", "carol")), opening=None))

    assert found.grounds[-2:] == GROUNDS[-2:]
