"""Does a script warn by a command, and does it hear why not?"""

import json

import pytest

from tests.live.spoken import Spoken
from tests.world import PROD

WARNING = ("alert", "raise", PROD, "--kind", "jailbreak", "--severity", "high")
NAMED = {"specversion": "1.0", "id": "7", "source": "https://guard.example", "type": "alert/v1"}
CLOUD_EVENT = {**NAMED, "subject": str(PROD), "data": {"kind": "tool", "severity": "low"}}


@pytest.fixture
def spoken(tmp_path):
    with Spoken(tmp_path) as found:
        found.world.serve()
        yield found
    found.world.check()


def test_what_a_detector_warns_of_is_listed(spoken, tmp_path):
    (tmp_path / "event.json").write_text(json.dumps(CLOUD_EVENT, indent=1))

    assert spoken.type("dave", "alert", "list", PROD) == (0, "nobody warned of prod/magika\n")
    entry = spoken.answer("guard", *WARNING, "--release", "magika@1.0.0", "--text", "it says\nhow", "--id", "1")[
        "entry"
    ]
    again = spoken.answer("guard", "alert", "raise", "--event", tmp_path / "event.json")["entry"]
    assert spoken.answer("guard", "alert", "raise", "--event", tmp_path / "event.json")["entry"] == again == entry + 1

    raised = spoken.answer("dave", "alert", "list", PROD)["raised"]
    assert [(one["danger"], one["severity"], one["count"]) for one in raised] == [
        ("jailbreak", "high", 1),
        ("tool", "low", 1),
    ]
    listed = spoken.type("dave", "alert", "list", PROD)[1]
    assert "low       tool" in listed and str(entry) in listed


@pytest.mark.parametrize(
    ("who", "words", "code", "reason"),
    [
        ("alice", WARNING, 3, "no right to alert.raise"),
        ("guard", WARNING[:-2], 2, ""),
        ("guard", (*WARNING[:2], "prod/other", *WARNING[3:]), 3, "nothing was ever activated at prod/other"),
        ("guard", (*WARNING[:2], "dev/magika", *WARNING[3:]), 3, "dev/magika is not of this installation"),
        ("guard", (*WARNING, "--release", "magika@9.0.0"), 3, "there is no release/magika@9.0.0"),
        ("guard", (*WARNING, "--text", "x" * 4001), 4, "1 to 4000 characters"),
    ],
)
def test_what_is_no_alert_is_refused_with_its_reason(spoken, who, words, code, reason):
    found, said = spoken.type(who, *words)

    assert found == code and reason in said
    assert spoken.type("dave", "alert", "list", PROD)[1] == "nobody warned of prod/magika\n"
