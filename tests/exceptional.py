"""How does somebody do what is not the rule in the world of the tests: approve in another's place, override, hurry?"""

from datetime import timedelta

from lockgate.app.decide_change import approve_in_place
from lockgate.app.delegate import delegate
from lockgate.app.ports import Receipt
from lockgate.core.delegation import Delegation
from lockgate.core.journal import change_subject, delegation_subject
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import World


def named(world: World, principal: str, to: str, lasts: timedelta = timedelta(days=7)) -> Digest:
    """Let somebody approve in the place of `principal`; return what their approvals cite."""
    delegate(world.installation, world.say(principal, "approval.delegate", to, lasts=lasts), world.now)
    found = world.memory.find(delegation_subject(Name(principal)))
    assert isinstance(found, Delegation)
    return found.order


def approved_for(
    world: World, number: int, who: str, principal: str, order: Digest, lasts: timedelta = timedelta(hours=1)
) -> Receipt:
    """Approve a change in the place of somebody."""
    object_, content = change_subject(number), world.change(number).content
    said = world.say(who, "change.approve-in-place", object_, before=order, after=content, lasts=lasts)
    return approve_in_place(world.installation, number, Name(principal), said, world.now)
