"""What would be, without deciding: by the policy in force, or by a draft of the next one?"""

from dataclasses import replace

import pytest

from lockgate.app.simulate import simulate
from lockgate.core.gate import Weighed
from lockgate.core.policy import Policy
from lockgate.errors import DeniedError
from lockgate.formats.names import Endpoint, Tag
from tests.core.dossiers import ruling
from tests.world import PROD, World

TAG = Tag.parse("magika@1.0.0")
STRICTER = replace(
    ruling(evaluations=(replace(ruling().endpoints[str(PROD)].evaluations[0], metrics={"accuracy": "0.999"}),)),
    version=2,
)


def asked(world: World, draft: Policy | None = None, at: Endpoint = PROD) -> Weighed:
    size = world.memory.size()
    found = simulate(world.installation, TAG, at, draft, world.now)
    assert world.memory.size() == size
    return found


def test_before_a_change_is_open_that_is_what_is_missing(world: World) -> None:
    release = world.register()
    assert any("has no result" in reason for reason in asked(world).reasons)

    world.attest(release)
    assert asked(world).reasons == (
        "no change is open that would bring it to prod/magika",
        "0 of 2 approvals by somebody with the role approver who is no author",
    )
    assert any("suite file-types PASSED" in ground for ground in asked(world).grounds)


def test_an_open_change_is_judged_with_its_approvals(world: World) -> None:
    release = world.register()
    world.attest(release)
    older, number = world.open(release), world.open(release)
    world.approve(number, "bob")
    world.propose(STRICTER)

    assert f"bob has approved change {number}" in asked(world).grounds
    assert asked(world).reasons == ("1 of 2 approvals by somebody with the role approver who is no author",)
    world.approve(number, "carol")
    assert asked(world).reasons == () and older < number


def test_a_draft_is_judged_by_what_it_says(world: World) -> None:
    release = world.register()
    world.attest(release)
    world.approve(world.open(release))

    reasons = asked(world, STRICTER).reasons
    assert "suite file-types: accuracy is '0.99', at least 0.999 is wanted" in reasons
    assert reasons[-1].startswith("the change was opened under policy")
    assert asked(world).reasons == ()


def test_the_endpoint_as_it_is_counts(world: World) -> None:
    world.serve()
    assert "no change is open that would bring it to prod/magika" in asked(world).reasons

    second = world.register("1.1.0")
    world.attest(second)
    number = world.open(second)
    world.shut_down()
    found = simulate(world.installation, second.manifest.tag, PROD, None, world.now)
    assert any("has changed" in reason for reason in found.reasons) and number


def test_what_is_not_there_cannot_be_asked_about(world: World) -> None:
    with pytest.raises(DeniedError, match="is not registered here"):
        asked(world)
    world.register()
    assert asked(world, at=Endpoint.parse("prod/other")).reasons[0].startswith("the policy of prod does not name")
