"""Does the version say how far a release is from the one before, and is a smaller step refused?"""

from dataclasses import replace

import pytest

from lockgate.core.release import Contract
from lockgate.errors import DeniedError
from tests.world import World

SAME = b"the same weights"


def contract(**changes: tuple[str, ...]) -> Contract:
    return replace(Contract(("bytes",), ("label",), ("json", "python"), ()), **changes)


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        ("1.0.1", {"weights": SAME}),
        ("1.1.0", {"weights": b"other weights"}),
        ("1.1.0", {"weights": SAME, "contract": contract(labels=("json", "python", "toml"))}),
        ("2.0.0", {"weights": SAME, "contract": contract(labels=("json",))}),
        ("2.0.0", {"weights": SAME, "license": "MIT"}),
    ],
)
def test_a_step_that_is_as_large_as_the_difference_is_taken(world: World, version: str, changes: dict) -> None:
    world.register("1.0.0", weights=SAME)

    world.register(version, **changes)
    assert str(world.record(f"magika@{version}").tag) == f"magika@{version}"


@pytest.mark.parametrize(
    ("version", "changes", "reason"),
    [
        ("1.0.1", {"weights": b"other weights"}, "is a PATCH step .* but MINOR is owed: component weights"),
        (
            "1.0.1",
            {"weights": SAME, "contract": contract(tools=("shell",))},
            "MINOR is owed: contract extended: tool shell",
        ),
        ("1.1.0", {"weights": SAME, "contract": contract(labels=("json",))}, "MAJOR is owed: contract narrowed: label"),
        ("1.9.0", {"weights": SAME, "license": "MIT"}, "MAJOR is owed: licence changed"),
        ("1.0.0", {"weights": SAME, "license": "MIT"}, "magika@1.0.0 is registered already"),
    ],
)
def test_a_smaller_step_is_refused(world: World, version: str, changes: dict, reason: str) -> None:
    world.register("1.0.0", weights=SAME)

    with pytest.raises(DeniedError, match=reason):
        world.register(version, **changes)


def test_no_release_slips_in_between_two_others_to_hide_a_difference(world: World) -> None:
    world.register("1.0.0", weights=SAME)
    world.register("1.2.0", weights=SAME)

    with pytest.raises(DeniedError, match=r"magika@1\.2\.0 is a MINOR step from magika@1\.1\.0, but MAJOR is owed"):
        world.register("1.1.0", weights=SAME, contract=contract(tools=("shell",)))
