"""Is what a provider serves still what was evaluated? Its appearance, held against the pins and against what it was.

    observed ──▶ as pinned, and as before     nothing follows
             ├─▶ another than before          every result that is older counts no more at this endpoint
             └─▶ another than pinned          the same, and the release does not say what serves, until it is so again

Nobody sees into a hosted model. What can be seen is what its answers say of themselves: a version, a region, a route, a
fingerprint. What is not told is not known, and is no change. Who observes signs it; a provider that lies is not found
(spec/provider-model.md).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, TypeAlias

from lockgate.core.policy import Rules
from lockgate.core.provider import Pin, ProviderModel, check_shows
from lockgate.core.requirement import Objection, Shown
from lockgate.errors import DeniedError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

ACT = "provider.observe"
KEPT = 64  # models that are remembered of an endpoint


@dataclass(frozen=True, slots=True)
class Shows:
    """What a provider says that it serves, as far as it says so."""

    version: str | None = None
    region: str | None = None
    routing: str | None = None
    snapshot: str | None = None


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What somebody saw of one provider model of a release that serves at an endpoint (spec/provider-model.md)."""

    type: ClassVar[str] = "provider-glimpse/v1"
    endpoint: Endpoint
    release: Digest
    component: Name
    shows: Shows

    @property
    def digest(self) -> Digest:
        """What the intent of whoever saw it names as `after`."""
        return Digest.of(plain.encode(self))


@dataclass(frozen=True, slots=True)
class Observed:
    """A provider serves something that was not known: `changed` says in which respect it is another than before.

    `unlike` says in which respect it is not what the release pins.
    """

    type: ClassVar[str] = "provider.observed/v1"
    endpoint: Endpoint
    release: Digest
    component: Name
    shows: Shows
    changed: tuple[str, ...]
    unlike: tuple[str, ...]
    by: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class Appearance:
    """What is known of one provider model: what it shows, and when it last changed, if it ever did.

    `told` are the entries that this follows from: the last that told each pin, and the last that was a change.
    """

    later: ClassVar[tuple[str, ...]] = ("told", "changed_index")
    release: Digest
    component: Name
    shows: Shows
    unlike: tuple[str, ...]
    index: int
    at: datetime
    changed_at: datetime | None
    changed: tuple[str, ...]
    told: Mapping[str, int] | None = None
    changed_index: int | None = None

    @property
    def entries(self) -> tuple[int, ...]:
        """Which entries of the log say all this."""
        changed = () if self.changed_index is None else (self.changed_index,)
        return tuple(sorted({self.index, *(self.told or {}).values(), *changed}))


@dataclass(frozen=True, slots=True)
class Appearances:
    """What the log says of the provider models at an endpoint, the newest last; whether one was `forgotten`."""

    kind: ClassVar[str] = "appearances"
    later: ClassVar[tuple[str, ...]] = ("forgotten",)
    endpoint: Endpoint
    seen: tuple[Appearance, ...]
    forgotten: bool | None = None

    def of(self, release: Digest) -> tuple[Appearance, ...]:
        """List what is known of the models of a release."""
        return tuple(one for one in self.seen if one.release == release)


Told: TypeAlias = tuple[Observed, int, datetime]  # an event, its index, and when


def observe(glimpse: Glimpse, model: ProviderModel, known: Appearances | None, by: Name, order: Digest) -> Observed:
    """Compare what was seen with the pins and with what was seen before; raise `DeniedError` if it is no news."""
    check_shows(glimpse.shows)
    before = _find(known, glimpse.release, glimpse.component)
    shows = _merged(before.shows, glimpse.shows) if before else glimpse.shows
    if before and shows == before.shows:
        raise DeniedError(f"{glimpse.component} shows what it showed at {before.at}: that is no news")
    unlike = tuple(_unlike(model, shows))
    known_wrong = before.unlike if before else ()
    found = [*(_changes(before.shows, shows) if before else ()), *(one for one in unlike if one not in known_wrong)]
    changed = tuple(dict.fromkeys(found))
    return Observed(glimpse.endpoint, glimpse.release, glimpse.component, glimpse.shows, changed, unlike, by, order)


def wrong_appearances(rules: Rules, seen: Sequence[Appearance], shown: Shown) -> Iterator[Objection]:
    """Say which results are older than a change of the model that they are about, and which pins do not hold.

    A result that does not say when its run began may be older.

    Enforces: provider_change_reevaluation
    """
    for one in seen:
        about = f"provider-model {one.component}"
        yield from (Objection("pins", str(one.component), f"{about}: {what}") for what in one.unlike)
        if one.changed_at is None:
            continue
        for wanted in rules.evaluations:
            begun = [run.started_at for run in shown.runs.get(wanted.suite, ())]
            if any(at is None or at <= one.changed_at for at in begun):
                what = "; ".join(one.changed)
                text = f"suite {wanted.suite} did not begin after {about} changed at {one.changed_at}: {what}"
                yield Objection("evaluation", wanted.suite, text)


def gather(told: Iterable[Told]) -> tuple[Appearance, ...]:
    """Say what entries of the log come to, about one release at one endpoint."""
    known: Appearances | None = None
    for event, index, at in told:
        known = evolve(known, event, index, at)
    return known.seen if known else ()


def held_to(seen: Iterable[Appearance], models: Mapping[str, ProviderModel]) -> tuple[Appearance, ...]:
    """Hold what is known against the pins of the release itself; whose model is not there is left as it was told."""
    return tuple(
        replace(one, unlike=tuple(_unlike(models[str(one.component)], one.shows)))
        if str(one.component) in models
        else one
        for one in seen
    )


def evolve(state: Appearances | None, event: Observed, index: int, at: datetime) -> Appearances:
    """Say what is known of the models at an endpoint after something of one was seen. The oldest is forgotten."""
    state = state or Appearances(event.endpoint, ())
    before = _find(state, event.release, event.component)
    others = [one for one in state.seen if one is not before][-(KEPT - 1) :]
    changed_at, changed = (at, event.changed) if event.changed else _last(before)
    shows = _merged(before.shows, event.shows) if before else event.shows
    told = {**((before.told or {}) if before else {}), **{pin.value: index for pin in Pin if getattr(event.shows, pin)}}
    last = index if event.changed else before.changed_index if before else None
    now = Appearance(event.release, event.component, shows, event.unlike, index, at, changed_at, changed, told, last)
    forgotten = True if len(others) + (before is not None) < len(state.seen) else state.forgotten
    return replace(state, seen=(*others, now), forgotten=forgotten)


def _find(known: Appearances | None, release: Digest, component: Name) -> Appearance | None:
    found = [one for one in known.of(release) if one.component == component] if known else []
    return found[0] if found else None


def _last(before: Appearance | None) -> tuple[datetime | None, tuple[str, ...]]:
    return (before.changed_at, before.changed) if before else (None, ())


def _merged(before: Shows, now: Shows) -> Shows:
    """Keep what was known where nothing is told."""
    return Shows(*(getattr(now, pin) or getattr(before, pin) for pin in Pin))


def _changes(before: Shows, now: Shows) -> Iterator[str]:
    for pin in Pin:
        was, found = getattr(before, pin), getattr(now, pin)
        if None not in (was, found) and was != found:
            yield f"{pin} was {was!a}, and is {found!a}"


def _unlike(model: ProviderModel, now: Shows) -> Iterator[str]:
    for pin in Pin:
        pinned, found = getattr(model, pin), getattr(now, pin)
        if None not in (pinned, found) and pinned != found:
            yield f"{pin} is pinned to {pinned!a}, and the provider shows {found!a}"
