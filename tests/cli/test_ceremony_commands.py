"""Can people sign, publish, revoke and verify with the commands as they stand in the how-to pages?"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from lockgate.app.issue_passport import passport_for
from lockgate.cli.main import cli
from lockgate.drivers.ceremony_folder import read_ceremony
from lockgate.errors import ConflictError, DeniedError, UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.loader.directory import sign_directory
from tests.live.company import serving
from tests.world import PROD, World, host_home, key, policy, trust


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("root1", "root2", "root3", "mallory", "ann", "olivia", "bob"):
        Path(f"{name}.pem").write_bytes(key(name).pem)
        Path(f"{name}.pub").write_bytes(key(name).public.pem)
    write("trust.yaml", trust())
    write("policy.yaml", policy())
    return tmp_path


def write(name, document):
    plainly = {name: value for name, value in plain.to_plain(document).items() if name != "type"}
    Path(name).write_text(yaml.safe_dump(plainly))


def say(*words):
    """Run a command; return its JSON, or raise what it raised."""
    done = CliRunner().invoke(cli, [*map(str, words), "--json"], catch_exceptions=False, standalone_mode=False)
    assert not isinstance(done.return_value, int) or done.return_value == 0
    return json.loads(done.output.splitlines()[-1])


@pytest.fixture
def site(here):
    world = World()
    world.now = datetime.now(UTC)  # that of the server
    with serving(world) as url:
        yield world, ("--server", url, "--as", "ann", "--key", "ann.pem"), here


def test_a_first_ceremony_asks_nobody_and_says_what_is_missing(here):
    begun = say("trust", "propose", "trust.yaml", "ceremony", "--policy", "policy.yaml")
    assert begun["missing"][0] == "trust: 0 of 2 signatures of the root"

    half = say("trust", "sign", "ceremony", "--key", "root1.pem")
    assert half["missing"][0] == "trust: 1 of 2 signatures of the root"
    done = say("policy", "sign", "ceremony", "--key", "root2.pem")

    assert done["missing"] == []
    shown = say("trust", "show", "ceremony")
    assert sorted(shown["signed_by"]) == sorted(str(key(name).public.key_id) for name in ("root1", "root2"))
    assert Path("ceremony/root.json").read_bytes() == plain.encode(trust().root)


def test_a_folder_is_used_once_and_a_stranger_signs_nothing(here):
    say("trust", "propose", "trust.yaml", "ceremony")

    with pytest.raises(ConflictError, match="holds a ceremony already"):
        say("trust", "propose", "trust.yaml", "ceremony")
    with pytest.raises(DeniedError, match="neither the root nor the one before it knows the key"):
        say("trust", "sign", "ceremony", "--key", "mallory.pem")


@pytest.mark.parametrize("name", ["trust.json", "policy.json", "tuf-root.json", "tuf-targets.json"])
def test_a_folder_that_somebody_altered_is_not_signed(here, name):
    say("trust", "propose", "trust.yaml", "ceremony", "--policy", "policy.yaml")
    write("other.yaml", replace(trust(), actors=()))
    write("other-policy.yaml", replace(policy(), endpoints={}))
    say("trust", "propose", "other.yaml", "other", "--policy", "other-policy.yaml")
    Path(f"ceremony/{name}").write_bytes(Path(f"other/{name}").read_bytes())
    if name == "tuf-root.json":
        write("long.yaml", replace(trust(), expires=datetime(2099, 1, 1, tzinfo=UTC)))
        say("trust", "propose", "long.yaml", "long")
        Path(f"ceremony/{name}").write_bytes(Path(f"long/{name}").read_bytes())

    with pytest.raises(VerificationError, match="not what follows"):
        say("trust", "sign", "ceremony", "--key", "root1.pem")


def test_what_is_no_ceremony_is_said(here):
    Path("empty").mkdir()

    with pytest.raises(UnavailableError, match="is no ceremony"):
        say("trust", "sign", "empty", "--key", "root1.pem")


def test_the_next_rules_are_proposed_signed_and_published(site):
    world, ann, _ = site
    write("policy-2.yaml", replace(policy(), version=2))
    begun = say("policy", "propose", "policy-2.yaml", "next", "--reason", "the year is over", *ann)
    assert read_ceremony(Path("next")).held == trust().root
    with pytest.raises(VerificationError):
        say("policy", "publish", "next", *ann)
    say("policy", "sign", "next", "--key", "root1.pem", "--key", "root3.pem")
    with pytest.raises(DeniedError):
        say("policy", "publish", "next", *ann)
    world.approve(begun["changes"]["policy"])

    done = say("policy", "publish", "next", *ann)

    assert done["published"] and world.installation.policy().document.version == 2
    assert say("policy", "show", *ann)["policy"]["version"] == 2


def test_a_release_and_a_key_are_revoked_and_everybody_is_told(site):
    world, ann, _ = site
    world.serve()
    told = say("revoke", "magika@1.0.0", "--reason", "it leaks", *ann)
    assert told["published"] and told["digest"] == str(world.record("magika@1.0.0").release)

    by_id = say("revoke", key("bob").public.key_id, "--reason", "lost", *ann)
    by_file = say("revoke", "bob.pub", "--reason", "lost", *ann)

    assert by_id["entry"] == by_file["entry"]
    assert say("endpoint", "show", PROD, *ann)["revoked"]["reason"] == "it leaks"
    assert say("release", "show", "magika@1.0.0", *ann)["revoked"]["reason"] == "it leaks"


def sealed(world, here):
    """Lay the weights of a release on the disk, signed as the CI signs them."""
    folder = here / "weights"
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b"weights 1.0.0")
    sign_directory(folder, key("components"), here / "weights.sig")
    return "verify", folder, "--signature", here / "weights.sig", "--kind", "weights", "--trust"


def test_a_directory_is_verified_by_the_trust_of_a_host_or_a_folder(here):
    world = World()
    world.serve()
    feed, words = world.feed(here / "feed"), sealed(world, here)
    home = host_home(here / "home", updates=feed)
    Path("root.json").write_bytes(plain.encode(trust().root))

    assert say(*words, home)["files"] == 1
    assert say(*words, feed, "--pinned", "root.json")["files"] == 1
    world.revoke("magika@1.0.0")
    world.feed(feed)

    for where in ((home,), (feed, "--pinned", "root.json")):
        with pytest.raises(DeniedError, match=r"is part of it, and release magika@1.0.0 is revoked"):
            say(*words, *where)


def test_a_directory_by_a_revoked_key_is_refused(here):
    world = World()
    feed, words = world.feed(here / "feed"), sealed(world, here)
    home = host_home(here / "home", updates=feed)
    assert say(*words, home)
    world.revoke("components")
    world.feed(feed)

    with pytest.raises(VerificationError, match="no key that is trusted"):
        say(*words, home)


def test_a_passport_is_judged_with_what_was_revoked(here):
    world = World()
    world.serve()
    Path("passport").write_bytes(plain.encode(passport_for(world.installation, PROD)))
    home = host_home(here / "home", updates=world.feed(here / "feed"))
    words = ("passport", "verify", "passport", "--endpoint", PROD, "--trust", home)
    assert say(*words)["revocations"] is True
    world.revoke("magika@1.0.0")
    world.feed(here / "feed")

    with pytest.raises(DeniedError, match="is revoked since"):
        say(*words)


def test_signed_documents_alone_say_that_revocations_were_not_looked_at(here):
    world = World()
    world.serve()
    Path("passport").write_bytes(plain.encode(passport_for(world.installation, PROD)))
    say("trust", "propose", "trust.yaml", "c", "--policy", "policy.yaml")
    say("trust", "sign", "c", "--key", "root1.pem", "--key", "root2.pem")
    documents = ("--trust", "c/trust.json", "--policy", "c/policy.json", "--root", "c/root.json")

    assert say("passport", "verify", "passport", "--endpoint", PROD, *documents)["revocations"] is False
