"""Which beginnings do many tests have in common? Each happens once; every other world is put where it left the first.

A story goes on from another one only in a world that is exactly as that one left it, whatever else was done to it.
No two worlds of a test share one: they would have one log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lockgate.drivers.memory import Memory

if TYPE_CHECKING:
    from tests.world import World

T = TypeVar("T")
Story = tuple[object, ...] | None  # what has happened in a world; none: what happens in no other
BEGINNING: Story = ()

_OWN = {"lock", "clock", "gauges", "signer"}  # what each world has of its own


@dataclass(frozen=True)
class _Told:
    state: dict[str, dict[str, object]]
    agreed: dict[Any, Any]  # a cache of the installation: whatever is in it was checked
    result: object


_told: dict[tuple[object, ...], _Told] = {}
_begun: set[tuple[object, ...]] = set()  # in the test that runs


def next_test() -> None:
    """Let beginnings be shared again."""
    _begun.clear()


def tell(world: "World", words: tuple[object, ...] | None, happen: Callable[[], T]) -> T:
    """Let what `words` stand for happen, or put the world where they left another one; without words it happens."""
    if words is None or not _is_as_told(world) or (world.story == BEGINNING and words in _begun):
        world.story = None
        return happen()
    if world.story == BEGINNING:
        _begun.add(words)
    story = (*(world.story or ()), words)
    if story not in _told:
        result = happen()
        _told[story] = _Told(_state_of(world), dict(world.installation._agreed), result)
    world.story = story
    _put(world, _told[story])
    return _told[story].result  # type: ignore[return-value]


def _is_as_told(world: "World") -> bool:
    if world.story is None or not isinstance(world.memory, Memory) or world.memory.gauges.nodes:
        return False
    return not world.story or _told[world.story].state == _state_of(world)


def _parts(world: "World") -> dict[str, object]:
    made = world.installation
    return {"memory": made.ledger, "blobs": made.blobs, "vault": made.vault, "heads": made.heads, "feed": made.updates}


def _state_of(world: "World") -> dict[str, dict[str, object]]:
    known = {name: getattr(world, name) for name in ("now", "nonces", "trust", "policy", "files")}
    held = {name: vars(part) for name, part in _parts(world).items()} | {"world": known}
    return {
        part: {name: _copied(value) for name, value in values.items() if name not in _OWN}
        for part, values in held.items()
    }


def _put(world: "World", told: _Told) -> None:
    for name, part in _parts(world).items():
        vars(part).update(_copied(told.state[name]))
    vars(world).update(_copied(told.state["world"]))
    world.installation._agreed.update(told.agreed)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    return value.copy() if isinstance(value, list | set) else value
