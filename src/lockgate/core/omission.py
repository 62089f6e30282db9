"""Did a decision leave out what the log held? A host cannot know what it is not shown; who has the whole log can.

Each activation says in one digest which statements and which trials of the release it was decided on. Here the log is
read from its beginning, and what it held at that moment is compared.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lockgate.core.endpoint import Activated
from lockgate.core.journal import read_fact
from lockgate.core.release import Attested
from lockgate.core.trial import Begun, considered
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag


@dataclass(slots=True)
class _Held:
    statements: list[Digest] = field(default_factory=list)
    trials: list[int] = field(default_factory=list)


def left_out(entries: Iterable[bytes]) -> Iterator[str]:
    """Say of each activation that was not decided on everything that the log held of its release, what it left out.

    Enforces: failed_validation_blocks
    """
    held: dict[Tag, _Held] = {}
    said = False  # activations of before trials do not say what was considered; none comes after one that does
    for index, entry in enumerate(entries):
        event = read_fact(entry)[1]
        match event:
            case Attested():
                held.setdefault(event.tag, _Held()).statements.append(event.statement)
            case Begun():
                held.setdefault(event.tag, _Held()).trials.append(index)
                said = True
            case Activated():
                found = held.get(event.tag, _Held())
                yield from _compared(index, event, found, said=said)
                said = said or event.considered is not None
            case _:
                pass


def _compared(index: int, event: Activated, held: _Held, *, said: bool) -> Iterator[str]:
    this = f"entry {index} let {event.tag} in at {event.endpoint}"
    if event.considered is None:
        if said:
            yield f"{this} and does not say on which statements and trials"
    elif event.considered != considered(held.statements, held.trials):
        yield f"{this}, but was decided {_without(event.considered, held)}"


def _without(found: Digest, held: _Held) -> str:
    """Name what was left out, if it is one thing; of more, that it was more."""
    for trial in held.trials:
        if found == considered(held.statements, (one for one in held.trials if one != trial)):
            return f"without trial {trial}"
    for statement in held.statements:
        if found == considered((one for one in held.statements if one != statement), held.trials):
            return f"without the statement {statement}"
    return "on other statements or trials than the log held"
