"""What does a release have to show, who decides that it does not matter, and what happens when there is no time?"""

from typing import Any

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.authorship import (
    attest_provenance,
    attest_release,
    describe_release,
    evaluate_release,
    seal_components,
)
from lockgate.cli.demo.company import BASELINE, FILE_TYPES, HOSTS, make_host, make_keys, start_site
from lockgate.cli.demo.magika import STANDARD_V3_2, Release
from lockgate.cli.demo.stage import Stage, free_port, promise
from lockgate.cli.demo.story import ENDPOINT, Story

GOOD, POISONED, BUSY = "1.0.0", "1.0.2", "1.0.3"
RELEASES = (
    Release(GOOD, STANDARD_V3_2),
    Release(POISONED, STANDARD_V3_2),
    Release(BUSY, STANDARD_V3_2, serving={"at_once": 0}),
)
PICKLE = b"cos\nsystem\n(S'echo hello'\ntR."
"""What would run a command in whoever unpickles it; nobody here does."""

DEMANDS: dict[str, Any] = {
    "evaluations": [FILE_TYPES, {**BASELINE, "trials": 3, "least": {"input-contract": 15}}],
    "scans": {"max_age_days": 30},
}


def play(stage: Stage) -> None:
    """Play the chapter."""
    stage.say("Evidence: what is measured, in a sandbox, before anybody may say yes; and who may say yes without it.\n")
    story = _set_up(stage)
    _evaluate(story)
    _refuse_a_pickle(story)
    _block(story)


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
        told.detail = f"{found['reasons'][0]}; {_denied(story, POISONED, 'scan')}"


def _block(story: Story) -> None:
    what = "a release that is tuned so that nobody gets an answer: right in every file, and it does not serve"
    with story.stage.step("blocked-by-failed-suite", what) as told:
        _register(story, BUSY)
        found = evaluate_release(story, story.prod, BUSY, expect=3)
        promise(found["served"], f"it was not even started: {found['reasons']}")
        told.detail = f"{found['reasons'][0]}; {_denied(story, BUSY, 'baseline')}"


def _denied(story: Story, version: str, suite: str) -> str:
    """Have a change approved, and see that it is blocked by a suite; return why."""
    number = story.authorize(version, "it is urgent")
    refused = str(story.prod_lockgate("change", "activate", number, who="dave", expect=3))
    promise(f"suite {suite} FAILED" in refused, f"refused for another reason: {refused}")
    served = story.prod_lockgate("endpoint", "show", ENDPOINT, who="dave")["slots"][-1]["tag"]
    promise(served == f"magika@{GOOD}", f"{served} should serve")
    return f"change {number} is blocked: {refused}"


def _register(story: Story, version: str) -> None:
    """Have a release signed, described, registered and attested by the CI, but for its baseline."""
    seal_components(story, version)
    describe_release(story, version)
    created = story.prod_lockgate(
        "release", "create", story.built / version / "release.toml",
        "--manifest-key", story.stage.key("ci-components"), who="alice",
    )  # fmt: skip
    story.releases[version] = created["release"]
    if version == GOOD:
        attest_release(story, version)
    else:
        attest_provenance(story, version)
