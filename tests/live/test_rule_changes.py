"""Does a person see on the command line what a change of the rules would change, before they sign?"""

import json
from dataclasses import replace

import pytest
import yaml

from lockgate.core.rights import Role
from lockgate.formats import plain
from tests.core.dossiers import ruling, trusting
from tests.live.spoken import Spoken
from tests.world import policy

LAXER = replace(ruling(provenance=False), version=2)
WEAKENS = "- weakens     no longer demands provenance at prod/magika"


@pytest.fixture
def spoken(tmp_path):
    with Spoken(tmp_path) as found:
        yield found
    found.world.check()


def test_an_approver_sees_every_difference_and_signs_exactly_that(spoken):
    number = spoken.world.propose(LAXER)

    code, shown = spoken.type("bob", "change", "show", number)
    assert code == 0 and WEAKENS in shown and "= neutral     is version 2, the one after 1" in shown
    code, refused = spoken.type("bob", "change", "approve", number, input="n\n")
    assert code == 1 and WEAKENS in refused and not spoken.world.change(number).approvals
    code, done = spoken.type("bob", "change", "approve", number, input="y\n")
    assert code == 0 and done.index(WEAKENS) < done.index(f"approve change {number}")
    found = spoken.answer("carol", "change", "approve", number, "--yes")
    assert {"effect": "weakens", "says": WEAKENS[14:], "to": None} in found["differences"]
    assert spoken.answer("dave", "change", "assess", number)["allowed"] is True
    assert [str(one.by) for one in spoken.world.change(number).approvals] == ["bob", "carol"]


def test_changes_of_both_kinds_are_listed_rejected_and_withdrawn(spoken):
    release = spoken.world.register()
    opened, first, second = spoken.world.open(release), spoken.world.propose(LAXER), spoken.world.propose(LAXER)

    code, listed = spoken.type("bob", "change", "list")
    shown = [" ".join(line.split()[1:3]) for line in listed.splitlines()[1:]]
    assert code == 0 and shown == ["prod/magika opened", "the policy", "the policy"]
    assert spoken.answer("bob", "change", "show", opened)["content"]["tag"] == "magika@1.0.0"
    spoken.answer("bob", "change", "reject", first)
    spoken.answer("ann", "change", "withdraw", second)
    for number, phase in ((first, "rejected"), (second, "withdrawn")):
        assert spoken.answer("bob", "change", "show", number)["state"]["phase"] == phase
        assert spoken.type("carol", "change", "approve", number, "--yes")[0] == 3


@pytest.mark.parametrize(
    ("who", "reason"), [("ann", "has no right to change.approve"), ("bob", "widens the rights of bob")]
)
def test_who_may_not_approve_is_told_why(spoken, who, reason):
    number = spoken.world.propose(replace(trusting("bob", roles=(Role.APPROVER, Role.OPERATOR)), version=2))

    code, said = spoken.type(who, "change", "approve", number, "--yes")
    assert code == 3 and reason in said


def test_a_server_that_hides_what_would_change_gets_no_approval(spoken):
    honest = spoken.world.propose(LAXER)
    content = spoken.world.change(honest)
    lie = plain.encode(replace(policy(), version=2))
    documents = spoken.world.memory.documents
    change = plain.decode(type(spoken_content(spoken, honest)), documents[content.content])
    kept = documents.pop(change.document)
    for shown in (None, lie):
        if shown is not None:
            documents[change.document] = shown

        code, said = spoken.type("bob", "change", "approve", honest, "--yes")
        assert code in (4, 6), said
        assert not spoken.world.change(honest).approvals
    documents[change.document] = kept


def spoken_content(spoken, number):
    from lockgate.core.change import RuleChange

    return plain.decode(RuleChange, spoken.world.memory.document(spoken.world.change(number).content))


def test_a_change_is_shown_for_what_it_was_after_the_rules_have_changed_again(spoken):
    number = spoken.world.propose(LAXER)
    before = spoken_content(spoken, number).before
    assert before == spoken.world.installation.policy().digest
    spoken.world.memory.documents[before] = plain.encode(policy())

    found = spoken.answer("bob", "change", "show", number)
    assert {one["effect"] for one in found["differences"]} == {"weakens", "neutral"}


def test_a_policy_is_simulated_with_every_ground_and_reason(spoken, tmp_path):
    release = spoken.world.register()
    spoken.world.attest(release)
    draft = tmp_path / "draft.yaml"
    draft.write_text(json.dumps(plain.to_plain(LAXER)))

    code, said = spoken.type("bob", "policy", "simulate", "magika@1.0.0", "prod/magika")
    assert code == 3 and "+ suite file-types PASSED" in said and "- 0 of 2 approvals" in said
    assert "- no change is open that would bring it to prod/magika" in said
    spoken.world.approve(spoken.world.open(release))
    code, said = spoken.type("bob", "policy", "simulate", "magika@1.0.0", "prod/magika")
    assert code == 0 and said.endswith("magika@1.0.0 could serve at prod/magika\n") and "\n- " not in said
    code, said = spoken.type("bob", "policy", "simulate", "magika@1.0.0", "prod/magika", "--policy", draft)
    assert code == 3 and "- the change was opened under policy" in said
    draft.write_text("environment: prod")
    assert spoken.type("bob", "policy", "simulate", "magika@1.0.0", "prod/magika", "--policy", draft)[0] == 4
    assert spoken.type("bob", "policy", "simulate", "magika@9.0.0", "prod/magika")[0] == 3


def written_to(path, document):
    path.write_text(yaml.safe_dump(plain.to_plain(document)))
    return path


def test_the_next_policy_goes_from_its_proposal_to_its_publication(spoken, tmp_path):
    folder, draft = tmp_path / "ceremony", written_to(tmp_path / "policy.yaml", LAXER)
    for root in ("root1", "root2"):
        spoken.key(root)

    assert spoken.type("ann", "policy", "propose", draft, folder)[0] == 2 and not folder.exists()
    code, said = spoken.type("ann", "policy", "propose", draft, folder, "--reason", "made elsewhere")
    assert code == 0 and WEAKENS in said and "targets: 0 of 2 signatures of the root" in said
    (number,) = json.loads((folder / "changes.json").read_text()).values()
    assert f"change {number} opened, of the policy: others approve it" in said
    for root in ("root1", "root2"):
        code, said = spoken.type("x", "policy", "sign", folder, "--key", tmp_path / f"{root}.pem")
        assert code == 0, said
    code, said = spoken.type("ann", "policy", "publish", folder)
    assert code == 3 and "0 of 2 approvals" in said
    for who in ("bob", "carol"):
        spoken.answer(who, "change", "approve", number, "--yes")
    found = spoken.answer("ann", "policy", "publish", folder)

    assert spoken.world.installation.policy().document == LAXER
    assert spoken.world.change(number).phase == "closed" and found["published"]
    assert spoken.answer("bob", "change", "show", number)["differences"]
    again = spoken.type("ann", "policy", "propose", draft, tmp_path / "again", "--reason", "x")
    assert again[0] == 3 and "in force already" in again[1] and not (tmp_path / "again").exists()
    written_to(draft, replace(LAXER, version=9))
    again = spoken.type("ann", "policy", "propose", draft, tmp_path / "again", "--reason", "x")
    assert again[0] == 3 and "version 9 does not follow 2" in again[1] and not (tmp_path / "again").exists()


def test_the_next_trust_document_goes_the_same_way(spoken, tmp_path):
    folder = tmp_path / "ceremony"
    document = replace(trusting("alice", roles=(Role.AUTHOR, Role.OPERATOR)), version=2)
    words = ("trust", "propose", written_to(tmp_path / "trust.yaml", document), folder, "--reason", "she helps out")

    assert spoken.type("bob", *words)[0] == 3
    number = spoken.answer("olivia", *words)["changes"]["trust"]
    for who in ("bob", "carol"):
        spoken.answer(who, "change", "approve", number, "--yes")
    for root in ("root2", "root3"):
        spoken.answer("x", "trust", "sign", folder, "--key", spoken.key(root))
    (folder / "changes.json").unlink()
    assert spoken.type("ann", "trust", "publish", folder)[0] == 3
    spoken.answer("ann", "trust", "publish", folder, "--change", number)

    assert spoken.world.installation.trust().document == document


def test_a_folder_is_used_once_and_nothing_is_proposed_for_it_twice(spoken, tmp_path):
    draft, size = written_to(tmp_path / "policy.yaml", LAXER), spoken.world.memory.size()
    (tmp_path / "ceremony").mkdir()
    (tmp_path / "ceremony" / "trust.json").write_text("{}")

    assert spoken.type("ann", "policy", "propose", draft, tmp_path / "ceremony", "--reason", "x")[0] == 5
    assert spoken.world.memory.size() == size
