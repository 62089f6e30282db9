"""Can a person do on the command line what is not the rule, and does everybody see that they did?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.cli.complying import report
from lockgate.controllers.concessions import Concessions
from lockgate.formats import plain
from tests.exceptional import RISK, WHY, failed_change, lenient
from tests.live.spoken import Spoken
from tests.world import PROD

FAST = b"""
canary:
  steps:
  - setWeight: 5
  - pause: {duration: 5m}
  - setWeight: 100
maxDuration: 2h
onFailure: rollback
metrics:
- {name: errors, sequential: {event: errors, alpha: 0.004, oddsMargin: 1.5}, envoy: {}}
- {name: latency, sequential: {event: latency, alpha: 0.003}, envoy: {}}
"""


@pytest.fixture
def spoken(tmp_path):
    with Spoken(tmp_path) as found:
        found.world.policy = replace(lenient(), version=2)
        found.world.adopt(found.world.trust, found.world.policy)
        yield found
    found.world.check()


@pytest.fixture
def text(tmp_path):
    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


def test_a_delegate_is_named_sees_what_waits_and_approves(spoken):
    world = spoken.world
    release = world.register()
    world.attest(release)
    number = world.open(release)

    code, waiting = spoken.type("bob", "change", "mine")
    assert code == 0 and waiting.startswith(f"change {number}: {PROD}, serve magika@1.0.0, by alice: because")
    assert "0 of 2 approvals" in waiting
    assert spoken.type("dave", "change", "mine") == (0, "nothing waits for dave\n")
    named = spoken.answer("bob", "change", "delegate", "dave", "--for", "7d")
    assert (named["principal"], named["to"]) == ("bob", "dave")
    (listed,) = spoken.answer("carol", "change", "delegates")["items"]
    assert (listed["principal"], listed["to"]) == ("bob", "dave")
    (mine,) = spoken.answer("dave", "change", "mine")["items"]
    assert (mine["change"], mine["in_place_of"]) == (number, "bob")
    spoken.answer("dave", "change", "approve", number, "--in-place-of", "bob", "--yes")
    assert [str(one.in_place_of) for one in world.change(number).approvals] == ["bob"]
    assert spoken.answer("bob", "change", "delegate", "--revoke")["recalled"] == "dave"
    code, refused = spoken.type("dave", "change", "approve", number, "--in-place-of", "bob", "--yes")
    assert code == 3 and "bob has not named dave" in refused
    assert spoken.type("bob", "change", "delegate", "dave")[0] == 2
    assert spoken.type("bob", "change", "delegate", "--revoke", "--for", "7d")[0] == 2


def test_a_result_is_overridden_and_seen_wherever_the_release_is(spoken, text):
    world = spoken.world
    number = failed_change(world)
    why = text("why.txt", WHY)

    code, shown = spoken.type("bob", "change", "show", number)
    assert code == 0 and "in the way: evaluation:file-types: suite file-types FAILED" in shown
    assert spoken.type("dave", "change", "override", number, "--justification-file", why)[0] == 3
    empty = text("empty.txt", b"\n")
    assert spoken.type("olivia", "change", "override", number, "--justification-file", empty)[0] == 4
    done = spoken.answer("olivia", "change", "override", number, "--justification-file", why, "--for", "8h")
    assert done["about"] == ["evaluation:file-types"]
    code, asked = spoken.type("bob", "change", "approve", number, input="y\n")
    assert code == 0 and "olivia overrides evaluation:file-types until" in asked
    spoken.answer("carol", "change", "approve", number, "--yes")
    world.now = datetime.now(UTC)
    spoken.answer("dave", "change", "activate", number)

    for words in (("change", "show", number), ("endpoint", "show", PROD), ("release", "show", "magika@1.0.0")):
        (line,) = [one for one in spoken.answer("bob", *words)["exceptions"] if "let through" in one]
        assert "against evaluation:file-types, overridden by olivia: until" in line
    statements_cross_to_an_outsider_and_are_verified_there(spoken, text)


def statements_cross_to_an_outsider_and_are_verified_there(spoken, text):
    folder, carried = spoken.folder / "bare", spoken.folder / "carried"
    feed, root = spoken.world.feed(spoken.folder / "feed"), text("root.json", plain.encode(spoken.world.trust.root))
    words = ("--trust", feed, "--root", root)
    files = spoken.answer("ann", "statement", "export", "magika@1.0.0", "--into", folder)["files"]
    assert {"override-1.json", "approval-1.json", "verification-summary-1.json", "provenance-1.json"} < {*files}
    assert spoken.type("ann", "statement", "export", "magika@1.0.0", "--into", folder)[0] == 6

    said = spoken.answer("ann", "statement", "verify", folder, *words)
    assert {one["by"] for one in said["items"] if one["file"].startswith(("override", "approval"))} >= {"olivia"}
    assert len(said["items"]) == len(files) - 1
    spoken.answer("ann", "statement", "export", "magika@1.0.0", "--into", carried, "--signing-key", spoken.key("ann"))
    by = ("--carrier", f"{spoken.key('ann')}.pub")
    assert spoken.answer("ann", "statement", "verify", carried, *words, *by)["items"] == said["items"]
    assert (
        "approval-1.json: no key that is trusted"
        in spoken.type("ann", "statement", "verify", carried, *words, "--carrier", f"{spoken.key('bob')}.pub")[1]
    )
    assert spoken.type("ann", "statement", "verify", folder, *words, *by)[0] == 4
    altered = (folder / "override-1.json").read_text().replace("only the test set", "only the whole set")
    (folder / "override-1.json").write_text(altered)
    code, refused = spoken.type("ann", "statement", "verify", folder, *words)
    assert code == 4 and "override-1.json: the justification is" in refused
    (folder / "override-1.json").write_bytes((carried / "passport.json").read_bytes())
    assert spoken.type("ann", "statement", "verify", folder, *words)[0] == 4


def test_an_emergency_is_opened_approved_and_reviewed(spoken, text):
    world = spoken.world
    world.serve()
    release = world.register("1.1.0", weights=b"fixed")
    world.attest(release, world.built())
    risk, report_ = text("risk.txt", RISK), text("report.txt", b"rightly so")
    strategy = text("fast.yaml", FAST)
    words = ("change", "open", "magika@1.1.0", "--endpoint", str(PROD), "--reason", "leak", "--strategy", strategy)

    assert spoken.type("alice", *words, "--emergency")[0] == 2
    assert spoken.type("alice", *words, "--risk-assessment", risk)[0] == 2
    number = spoken.answer("alice", *words, "--emergency", "--risk-assessment", risk)["change"]
    (mine,) = spoken.answer("olivia", "change", "mine")["items"]
    assert mine["does"] == "serve magika@1.1.0 in an emergency"
    assert spoken.answer("bob", "change", "mine")["items"] == []
    assert spoken.type("bob", "change", "approve", number, "--yes")[0] == 3
    code, asked = spoken.type("olivia", "change", "approve", number, input="y\n")
    assert code == 0 and "this is an emergency; its risk assessment:" in asked and RISK.decode() in asked
    spoken.answer("dave", "change", "activate", number)
    assert "a review is due by" in spoken.answer("bob", "endpoint", "show", PROD)["exceptions"][0]
    assert spoken.type("olivia", "change", "review", number, "--file", report_, "--verdict", "accepted")[0] == 3
    spoken.answer("bob", "change", "review", number, "--file", report_, "--verdict", "rejected")
    assert "bob rejected it in review" in spoken.answer("ann", "endpoint", "show", PROD)["exceptions"][0]


def test_compliance_lists_what_was_let_through(spoken, tmp_path, text):
    world = spoken.world
    number = failed_change(world)
    spoken.answer("olivia", "change", "override", number, "--justification-file", text("why.txt", WHY), "--for", "1h")
    world.now = datetime.now(UTC)
    world.approve(number)
    world.activate(number)
    Concessions(world.installation, lambda: world.now + timedelta(hours=2)).look()
    spoken.answer("ann", "log", "export", str(tmp_path / "log"))

    _, found = report(tmp_path / "log")
    (line,) = found["exceptions"]
    assert "overridden by olivia" in line
