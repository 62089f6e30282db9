"""Does the gate let nothing through that gets its traffic in another way than was demanded and approved?"""

from dataclasses import replace

import pytest

from lockgate.core.gate import wrong_rollout
from lockgate.core.strategy import Pause, SetWeight
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from tests.core.dossiers import content_of, release
from tests.core.strategies import CANARY, DEMANDS, canary

STABLE = Digest.of(b"stable")
GOOD = content_of(release(), before=STABLE, strategy=CANARY.digest)
PLAIN = replace(GOOD, strategy=None)
DOCUMENT = plain.encode(CANARY)
HASTY = canary(steps=(SetWeight(5), SetWeight(100)))
ENDLESS = canary(steps=(SetWeight(5), Pause()))


@pytest.mark.parametrize(
    ("content", "document", "demands"),
    [
        (GOOD, DOCUMENT, DEMANDS),
        (GOOD, DOCUMENT, None),
        (PLAIN, None, None),
        (PLAIN, None, replace(DEMANDS, required=False)),
        (replace(PLAIN, before=None), None, DEMANDS),
        (replace(PLAIN, resumes=True), None, DEMANDS),
    ],
)
def test_what_is_as_it_was_demanded_has_nothing_against_it(content, document, demands):
    assert list(wrong_rollout(content, document, demands)) == []


@pytest.mark.parametrize(
    ("content", "document", "demands", "reason"),
    [
        (PLAIN, None, DEMANDS, "the policy demands a rollout, and the change has no strategy"),
        (replace(GOOD, before=None), DOCUMENT, None, "no other release to compare a candidate with"),
        (replace(GOOD, resumes=True), DOCUMENT, None, "no other release to compare a candidate with"),
        (replace(GOOD, before=GOOD.release), DOCUMENT, None, "no other release to compare a candidate with"),
        (GOOD, None, None, f"the strategy is {Digest.of(b'')}, not {CANARY.digest}"),
        (GOOD, plain.encode(HASTY), None, f"the strategy is {HASTY.digest}, not {CANARY.digest}"),
        (replace(GOOD, strategy=Digest.of(b"{}")), b"{}", None, "wanted type strategy/v1"),
        (replace(GOOD, strategy=ENDLESS.digest), plain.encode(ENDLESS), None, "the weights end at 5"),
        (replace(GOOD, strategy=HASTY.digest), plain.encode(HASTY), DEMANDS, "the policy demands 300 s"),
        (GOOD, DOCUMENT, replace(DEMANDS, required=False, first_weight=1), "the policy allows 1 %"),
    ],
)
def test_everything_else_has(content, document, demands, reason):
    found = wrong_rollout(content, document, demands)

    assert len(found) == 1 and reason in found[0]
