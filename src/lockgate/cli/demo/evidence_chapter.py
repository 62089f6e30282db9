"""What does a release have to show, who decides that it does not matter, and what happens when there is no time?"""

from typing import Any

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.authorship import (
    attest_provenance,
    attest_release,
    create_release,
    describe_release,
    evaluate_release,
    seal_components,
)
from lockgate.cli.demo.company import BASELINE, FILE_TYPES, HOSTS, make_host, make_keys, start_site
from lockgate.cli.demo.magika import STANDARD_V3_2, Release
from lockgate.cli.demo.stage import Stage, free_port, promise
from lockgate.cli.demo.story import ENDPOINT, Story

GOOD, POISONED, BUSY, FIX = "1.0.0", "1.0.2", "1.0.3", "1.0.4"
RELEASES = (
    Release(GOOD, STANDARD_V3_2),
    Release(POISONED, STANDARD_V3_2),
    Release(BUSY, STANDARD_V3_2, serving={"at_once": 0}),
    Release(FIX, STANDARD_V3_2, serving={"at_once": 32}),
)
PICKLE = b"cos\nsystem\n(S'echo hello'\ntR."
"""What would run a command in whoever unpickles it; nobody here does."""

DEMANDS: dict[str, Any] = {
    "evaluations": [FILE_TYPES, {**BASELINE, "trials": 8, "least": {"input-contract": 15}}],
    "scans": {"max_age_days": 30},
    "overrides": {"by": ["dave"], "about": ["evaluation"], "longest_hours": 8},
    "emergencies": {
        "authority": {"count": 1, "role": "security-authority"},
        "decide_minutes": 60,
        "evaluations": ["baseline"],
        "rollout": {
            "required": True, "first_weight": 5, "least_seconds": 60, "metrics": ["errors"], "window_seconds": 3600,
        },
        "review_days": 14,
    },
}  # fmt: skip
STRATEGY = """
canary:
  steps:
  - setWeight: 5
  - pause: {duration: 60s}
  - analysis: {templates: [errors]}
  - setWeight: 100
maxDuration: 30m
patience: 2m
noData: 3m
metrics:
- {name: errors, interval: 1s, sequential: {event: errors, alpha: 0.004, oddsMargin: 1.5}, envoy: {}}
"""


def play(stage: Stage) -> None:
    """Play the chapter."""
    stage.say("Evidence: what is measured, in a sandbox, before anybody may say yes; and who may say yes without it.\n")
    story = _set_up(stage)
    _evaluate(story)
    _refuse_a_pickle(story)
    number = _block(story)
    _override(story, number)
    _hurry(story)


def _set_up(stage: Stage) -> Story:
    built = stage.folder / "magika"
    magika.build(magika.fetch(wheels.default_cache(), [STANDARD_V3_2]), built, RELEASES)
    (built / POISONED / "config" / "labels.bin").write_bytes(PICKLE)
    make_keys(stage)
    prod, _ = start_site(stage, "prod", None, **DEMANDS)
    host = make_host(stage, HOSTS[0], prod)
    return Story(stage, prod, prod, built, host, f"http://127.0.0.1:{free_port()}")


def _evaluate(story: Story) -> None:
    what = "a release is served in a sandbox from compared bytes, and measured from outside; the gate goes by that"
    with story.stage.step("evaluate-baseline", what) as told:
        _register(story, GOOD)
        found = evaluate_release(story, story.prod, GOOD)
        promise(not found["reasons"] and found["served"], f"not served, or not good: {found}")
        number = story.authorize(GOOD, "it was measured")
        story.prod_lockgate("change", "activate", number, who="dave")
        rows = [row for row in found["measures"] if row["of"]]
        shown = ", ".join(f"{row['measure']} {row['value']} (at least {row['bound'][:5]})" for row in rows)
        trial = found["attested"]["baseline"]["trial"]
        told.detail = f"trial {trial}: {shown}; held by {', '.join(found['isolation'])}; {GOOD} may serve"


def _refuse_a_pickle(story: Story) -> None:
    what = "a pickle that calls itself labels.bin: nothing is started, and no approval helps"
    with story.stage.step("scan-refuses-pickle", what) as told:
        _register(story, POISONED)
        found = evaluate_release(story, story.prod, POISONED, expect=3)
        promise(not found["served"], "what the scan refused was started")
        told.detail = f"{found['reasons'][0]}; {_denied(story, POISONED, 'scan')[1]}"


def _block(story: Story) -> int:
    what = "a release that is tuned so that nobody gets an answer: right in every file, and it does not serve"
    with story.stage.step("blocked-by-failed-suite", what) as told:
        _register(story, BUSY)
        found = evaluate_release(story, story.prod, BUSY, expect=3)
        promise(found["served"], f"it was not even started: {found['reasons']}")
        number, why = _denied(story, BUSY, "baseline")
        told.detail = f"{found['reasons'][0]}; {why}"
    return number


def _override(story: Story, number: int) -> None:
    what = "only whom the policy names may set a result aside: in writing, for a time, and never integrity"
    with story.stage.step("override", what) as told:
        why = story.stage.folder / "justification.txt"
        why.write_text("The other endpoint is on fire, and a server that answers 503 is better than one that lies.\n")
        words = ("change", "override", number, "--justification-file", why, "--for", "8h")
        refused = story.prod_lockgate(*words, "--about", "evaluation:baseline", who="bob", expect=3)
        integrity = story.prod_lockgate(*words, "--about", "scan:scan", who="dave", expect=3)
        found = story.prod_lockgate(*words, who="dave")
        story.prod_lockgate("change", "activate", number, who="dave")
        promise(_serving(story) == f"magika@{BUSY}", f"{_serving(story)} serves")
        told.detail = (
            f"bob: {refused}; of the scan: {integrity}; dave sets aside {', '.join(found['about'])}"
            f" until {found['expires']}; {BUSY} serves, and everybody is told"
        )


def _hurry(story: Story) -> None:
    stage = story.stage
    what = "one named authority, in an hour, by a rollout, on the suites that must hold even then; reviewed afterwards"
    with stage.step("emergency-change", what) as told:
        _register(story, FIX)
        found = evaluate_release(story, story.prod, FIX)
        promise(not found["reasons"], f"the fix is not good: {found['reasons']}")
        (stage.folder / "careful.yaml").write_text(STRATEGY)
        risk = stage.folder / "risk.txt"
        risk.write_text("Nobody gets an answer now. The fix changes one number; its accuracy was not measured.\n")
        opened = story.prod_lockgate(
            "change", "open", f"magika@{FIX}", "--endpoint", ENDPOINT, "--reason", "nobody gets an answer",
            "--strategy", stage.folder / "careful.yaml", "--emergency", "--risk-assessment", risk, who="alice",
        )  # fmt: skip
        number = opened["change"]
        early = story.prod_lockgate("change", "activate", number, who="dave", expect=3)
        story.prod_lockgate("change", "approve", number, who="dave")
        story.prod_lockgate("change", "activate", number, who="dave")
        report = stage.folder / "review.txt"
        report.write_text("It was right to hurry. Measure accuracy before the next one.\n")
        story.prod_lockgate("change", "review", number, "--file", report, "--verdict", "accepted", who="bob")
        told.detail = f"before dave: {early}; {FIX} begins as a candidate with 5 %; reviewed and accepted by bob"


def _serving(story: Story) -> str:
    return str(story.prod_lockgate("endpoint", "show", ENDPOINT, who="dave")["slots"][-1]["tag"])


def _denied(story: Story, version: str, suite: str) -> tuple[int, str]:
    """Have a change approved, and see that it is blocked by a suite; return its number, and why."""
    number = story.authorize(version, "it is urgent")
    refused = str(story.prod_lockgate("change", "activate", number, who="dave", expect=3))
    promise(f"suite {suite} FAILED" in refused, f"refused for another reason: {refused}")
    promise(_serving(story) == f"magika@{GOOD}", f"{_serving(story)} serves")
    return number, f"change {number} is blocked: {refused}"


def _register(story: Story, version: str) -> None:
    """Have a release signed, described, registered and attested by the CI, but for its baseline."""
    seal_components(story, version)
    describe_release(story, version)
    create_release(story, version)
    if version == GOOD:
        attest_release(story, version)
    else:
        attest_provenance(story, version)
