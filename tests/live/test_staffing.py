"""Do people join and leave, and keys change, by commands that others approve and root keys sign?"""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from lockgate.core.rights import Role
from lockgate.formats.names import Name
from tests.live.spoken import Spoken
from tests.world import key

WHY = ("--reason", "as agreed")


@pytest.fixture
def spoken(tmp_path):
    with Spoken(tmp_path) as found:
        yield found
    found.world.check()


def carried_out(spoken, folder, number, *, roots=("root1", "root2"), who=("bob", "carol")):
    """Approve, sign and publish what was proposed."""
    for name in who:
        spoken.answer(name, "change", "approve", number, "--yes")
    for root in roots:
        spoken.answer("x", "trust", "sign", folder, "--key", spoken.key(root))
    spoken.answer("ann", "trust", "publish", folder)
    return spoken.world.installation.trust().document


def public(spoken, name):
    return f"{spoken.key(name)}.pub"


def test_a_person_joins(spoken, tmp_path):
    folder = tmp_path / "ceremony"
    words = ("person", "add", "erin", folder, "--role", "approver", "--public-key", public(spoken, "erin"), *WHY)

    code, said = spoken.type("ann", *words)
    assert code == 0 and "- weakens     lets erin approve (role approver)" in said
    (number,) = [change.number for change in spoken.world.memory.listing("change")]
    found = carried_out(spoken, folder, number)

    assert found.actor(Name("erin"), spoken.world.now).roles == (Role.APPROVER,)
    assert "erin" in spoken.type("bob", "person", "list")[1]
    again = tmp_path / "again"
    assert spoken.type("ann", *words[:3], again, *words[4:])[0] == 3 and not again.exists()


def test_a_person_may_bring_the_key_of_their_ssh_agent(spoken, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    words = ("person", "add", "erin", tmp_path / "ceremony", "--role", "viewer", "--public-key", tmp_path / "id.pub")

    assert len(spoken.answer("ann", *words, *WHY)["differences"]) == 4


def test_a_person_leaves_at_once_and_the_document_follows(spoken, tmp_path):
    release = spoken.world.register()
    spoken.world.attest(release)
    number = spoken.world.open(release)
    spoken.world.approve(number)

    assert spoken.type("alice", "person", "offboard", "bob", *WHY)[0] == 3
    assert spoken.answer("olivia", "person", "offboard", "bob", *WHY)["person"] == "bob"
    assert spoken.type("bob", "release", "list")[0] in (3, 4)
    code, said = spoken.type("dave", "change", "activate", number)
    assert code == 3 and "1 of 2 approvals" in said
    code, said = spoken.type("olivia", "person", "offboard", "alice", "--folder", tmp_path / "ceremony", *WHY)
    assert code == 3, "too few are left to approve, so the document must bring somebody"


def test_a_document_follows_who_left(spoken, tmp_path):
    folder = tmp_path / "ceremony"
    number = spoken.answer("olivia", "person", "offboard", "alice", "--folder", folder, *WHY)["changes"]["trust"]
    found = carried_out(spoken, folder, number)

    assert next(actor for actor in found.actors if actor.name == Name("alice")).until is not None


def test_a_key_is_rotated_with_overlap(spoken, tmp_path):
    folder = tmp_path / "ceremony"
    words = ("key", "rotate", public(spoken, "dave"), public(spoken, "dave2"), folder, "--overlap", "2d", *WHY)
    found = carried_out(spoken, folder, spoken.answer("ann", *words)["changes"]["trust"])

    later = datetime.now(UTC) + timedelta(days=3)
    assert found.actor(Name("dave"), spoken.world.now).keys == (key("dave2").public, key("dave").public)
    assert found.actor(Name("dave"), later).keys == (key("dave2").public,)
    assert spoken.type("dave", "release", "list")[0] == 0
    unknown = ("key", "rotate", public(spoken, "mallory"), public(spoken, "eve"), tmp_path / "again", *WHY)
    assert spoken.type("ann", *unknown)[0] == 3


def test_a_lost_root_key_is_replaced_by_the_threshold_that_is_left(spoken, tmp_path):
    folder, lost = tmp_path / "ceremony", key("root3").public.key_id
    number = spoken.answer("ann", "key", "rotate", lost, public(spoken, "root4"), folder, *WHY)["changes"]["trust"]
    found = carried_out(spoken, folder, number)

    assert found.root.keys == tuple(key(name).public for name in ("root1", "root2", "root4"))


def test_a_key_is_revoked(spoken):
    spoken.answer("olivia", "key", "revoke", public(spoken, "dave"), *WHY)

    assert spoken.type("dave", "release", "list")[0] in (3, 4)
