"""Who is told what the log holds? Each channel everything that matters, in order, at least once."""

from collections.abc import Iterator
from functools import partial
from itertools import count

from lockgate.app.activate import against
from lockgate.app.installation import Installation
from lockgate.app.ports import Channel
from lockgate.core.change import Content, RuleChange
from lockgate.core.emergency import spared
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.core.notice import asked, counted_evidence, notice_of, quoted
from lockgate.core.requirement import wanted_evidence
from lockgate.core.strategy import SetWeight, open_strategy
from lockgate.errors import LockgateError
from lockgate.formats import canonical, plain
from lockgate.formats.cloudevent import decode_entry
from lockgate.formats.digest import Digest

_BATCH = 256


def tell_from(installation: Installation, channel: Channel, position: int, address: str | None = None) -> Iterator[int]:
    """Tell `channel` of what the log holds from `position` on; yield where to go on, whenever that must be remembered.

    `address` is where people reach the server, for links.

    A log that is frozen tells nothing. One that was put back, and that its signer was made to accept, has news from its
    end on. Raises `UnavailableError` when the channel or the database does not answer; then nothing was left out.
    """
    known = installation.watch.known(to_act=True)
    size, root = installation.history.root()
    installation.watch.check(known, size, root)
    if position > size:
        yield size
    start = position = min(position, size)
    while position < size:
        batch = list(installation.history.entries(position, min(position + _BATCH, size)))
        for index, entry in zip(count(position), batch, strict=False):
            notice = notice_of(
                entry, index, str(installation.environment), partial(_words, installation, index), address
            )
            if notice is not None:
                channel.tell(notice)
                yield index + 1
        position += len(batch)
        if not batch:
            break
    if position != start:
        yield position


def _words(installation: Installation, number: int, content: Digest) -> str:
    """Say what a change asks for, or why somebody wants other rules. What cannot be read is no reason to be silent."""
    try:
        document = installation.catalog.document(content)
        if canonical.parse_object(document).get("type") == RuleChange.type:
            return quoted(plain.decode(RuleChange, document).reason)
        wanted = plain.decode(Content, document)
        said = asked(wanted, _before(installation, wanted), _steps(installation, wanted))
        return said + _evidence(installation, number, wanted)
    except LockgateError:
        return "for a reason that cannot be read"


def _evidence(installation: Installation, number: int, content: Content) -> str:
    """Say in numbers what the evidence of an open change comes to now: as of the newest entry of the log."""
    try:
        size, _ = installation.history.root()
        (newest,) = installation.history.entries(size - 1, size)
        found = against(installation, number, decode_entry(newest).time)
        rules = installation.policy().document.rules_for(content.endpoint)
    except LockgateError:
        return ""  # it is decided by now, or nobody can say
    if found.reasons and not found.objections:
        return f"; it cannot be weighed: {quoted('; '.join(found.reasons))}"
    return counted_evidence(wanted_evidence(rules, spared(content, rules)), found.objections)


def _before(installation: Installation, content: Content) -> str:
    if content.before is None:
        return "where nothing serves yet"
    state = installation.catalog.find(endpoint_subject(content.endpoint))
    slots = state.slots if isinstance(state, State) else ()
    named = next((str(slot.tag) for slot in slots if slot.release == content.before), content.before.hex[:16])
    return f"in the place of {named}"


def _steps(installation: Installation, content: Content) -> str:
    if content.strategy is None:
        return ", all at once"
    strategy = open_strategy(installation.catalog.document(content.strategy), content.strategy)
    weights = ", ".join(f"{step.weight}" for step in strategy.steps if isinstance(step, SetWeight))
    return f", as {strategy.kind} with {weights} %"
