"""Is a version of a suite bound once, by who may, and to what they signed?"""

import pytest

from lockgate.app.add_suite import NewSuite, add_suite
from lockgate.core.journal import suite_subject
from lockgate.core.suite import Suite
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag, Version
from tests.tried import ONE, add
from tests.world import CONTENT, NOW, World

OTHER = Digest.of(b"another")


@pytest.fixture
def world():
    world = World()
    yield world
    world.check()


def test_a_suite_is_known_by_name_version_and_content(world):
    index = add(world, "agentic").first

    found = world.memory.find(suite_subject(Tag.parse("agentic@1.0.0")))
    assert found == Suite(Name("agentic"), ONE, CONTENT, "0" * 40, Name("ci"), NOW, index)
    assert world.memory.listing("suite") == [found]


@pytest.mark.parametrize("digest", [CONTENT, OTHER])
def test_a_version_is_bound_once(world, digest):
    add(world, "agentic")

    with pytest.raises(DeniedError, match=r"suite/agentic@1\.0\.0 is known already"):
        add(world, "agentic", digest=digest)
    add(world, "agentic", digest=digest, version=Version(1, 0, 1))


def test_saying_it_twice_adds_it_once(world):
    new = NewSuite(Name("agentic"), ONE, CONTENT, "0" * 40)
    said = world.say("ann", "suite.add", "suite/agentic@1.0.0", after=CONTENT)

    assert add_suite(world.installation, new, said, NOW) == add_suite(world.installation, new, said, NOW)


@pytest.mark.parametrize("who", ["alice", "bob", "dave", "olivia", "host-1", "guard"])
def test_only_the_ci_and_admins_add_suites(world, who):
    with pytest.raises(DeniedError, match=f"{who} has no right to suite.add"):
        add(world, "agentic", who)


@pytest.mark.parametrize("name", ["scan", "baseline", "reward-hacking"])
def test_a_name_of_the_house_is_not_taken(world, name):
    with pytest.raises(DeniedError, match="is a suite of Lockgate itself"):
        add(world, name)


def test_a_suite_comes_from_a_commit(world):
    with pytest.raises(VerificationError, match="not a Git commit"):
        add(world, "agentic", commit="main")


@pytest.mark.parametrize(
    ("object_", "after"),
    [("suite/agentic@1.0.1", CONTENT), ("suite/others@1.0.0", CONTENT), ("suite/agentic@1.0.0", OTHER)],
)
def test_what_is_added_is_what_was_signed(world, object_, after):
    new = NewSuite(Name("agentic"), ONE, CONTENT, "0" * 40)

    with pytest.raises(DeniedError, match="the intent says"):
        add_suite(world.installation, new, world.say("ci", "suite.add", object_, after=after), NOW)
