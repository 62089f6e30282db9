"""Which model of somebody else is this, and what of it cannot be pinned?

A provider model is a component without bytes of ours: its directory holds one file, `provider.json`, and whoever signs
the component signs that. Provider and model are always named. Version, region and routing are each pinned by a text, or
the author says in `unpinned` why they cannot be: what is left open is written down, and never left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import ClassVar

from lockgate.core.component import Component
from lockgate.core.release import Kind, Manifest
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest

FILE = "provider.json"
MAX_BYTES = 16 << 10

_LONGEST, _LONGEST_WHY = 200, 400
_FLOATING = re.compile(
    r"any|auto(matic)?|current|default|dynamic|(.*\W|.*_)?latest|n/a|newest|none|null|tbd|un(known|pinned|specified)"
    r"|\W+|.*[*<>^~|].*"
)


class Pin(StrEnum):
    """What can be held fast of a model that somebody else serves."""

    VERSION = "version"
    REGION = "region"
    ROUTING = "routing"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """A hosted model, `provider.json` (spec/provider-model.md). `snapshot` is a fingerprint, where there is one."""

    type: ClassVar[str] = "provider-model/v1"
    provider: str
    model: str
    unpinned: Mapping[Pin, str]
    version: str | None = None
    region: str | None = None
    routing: str | None = None
    snapshot: str | None = None

    def lacks(self, pin: Pin) -> str | None:
        """Say why this model is not pinned in one respect; None if it is."""
        if getattr(self, pin) is not None:
            return None
        return f"the provider gives no {pin} pin: {self.unpinned.get(pin, 'its author does not say why')}"


def parse_provider(document: bytes) -> ProviderModel:
    """Read a `provider.json`; raise `VerificationError` for one that leaves open what it does not own up to."""
    found = plain.decode(ProviderModel, document, limit=MAX_BYTES)
    for name in ("provider", "model", *Pin):
        _check_text(name, getattr(found, name), _LONGEST)
    for pin in Pin:
        text, why = getattr(found, pin), found.unpinned.get(pin)
        _check_text(f"unpinned.{pin}", why, _LONGEST_WHY, ascii_only=False)
        if text is not None and why is not None:
            raise VerificationError(f"{pin} is pinned to {text!a}, and called unpinned")
        if text is None and why is None and pin is not Pin.SNAPSHOT:
            raise VerificationError(f"{pin} is neither pinned, nor does `unpinned` say why it cannot be")
        if text is not None and _FLOATING.fullmatch(text.casefold()):
            raise VerificationError(f"{pin} {text!a} is no pin: it moves; say so in `unpinned`")
    return found


def check_shows(shows: object) -> None:
    """Raise `VerificationError` for what a provider is said to show if it is nothing, or no text like that of a pin."""
    found = [getattr(shows, pin) for pin in Pin]
    if all(text is None for text in found):
        raise VerificationError("a provider that shows nothing was not observed")
    for pin, text in zip(Pin, found, strict=True):
        _check_text(f"shows.{pin}", text, _LONGEST)


def open_providers(
    manifest: Manifest, components: Mapping[str, Component], documents: Mapping[str, bytes]
) -> Mapping[str, ProviderModel]:
    """Read the document of every provider model of a release: exactly the file that its component's signer signed."""
    hosted = [name for name, part in manifest.components.items() if part.kind is Kind.PROVIDER_MODEL]
    if odd := sorted(documents.keys() ^ set(hosted)):
        raise VerificationError(f"release {manifest.tag}: no {FILE}, or no provider model, named {odd[0][:64]!a}")
    return {name: _opened(name, components[name], documents[name]) for name in hosted}


def left_open(providers: Mapping[str, ProviderModel]) -> tuple[str, ...]:
    """Say of each model what its author says cannot be pinned."""
    return tuple(
        f"provider-model {name}: {model.lacks(pin)}"
        for name, model in sorted(providers.items())
        for pin in Pin
        if pin in model.unpinned
    )


def missing_pins(providers: Mapping[str, ProviderModel], wanted: Iterable[Pin]) -> tuple[str, ...]:
    """Say of each model which of the pins that are wanted it has not."""
    return tuple(
        f"provider-model {name}: {why}, and the policy wants one"
        for name, model in sorted(providers.items())
        for pin in wanted
        if (why := model.lacks(pin))
    )


def provider_differences(old: Mapping[str, ProviderModel], new: Mapping[str, ProviderModel]) -> tuple[str, ...]:
    """Say what differs between the provider models of two releases, where both have one of a name."""
    return tuple(
        f"provider-model {name}: {what}"
        for name in sorted(old.keys() & new.keys())
        for what in _differences(old[name], new[name])
    )


def _differences(old: ProviderModel, new: ProviderModel) -> Iterator[str]:
    for field in fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name == "unpinned":
            for pin in Pin:
                if pin in before and pin in after and before[pin] != after[pin]:
                    yield f"{pin} is not pinned for another reason: {after[pin]}"
        elif before != after:
            yield f"{field.name} changes from {_told(before)} to {_told(after)}"


def _told(text: str | None) -> str:
    return "unpinned" if text is None else repr(text)


def _opened(name: str, component: Component, document: bytes) -> ProviderModel:
    if [file.name for file in component.files] != [FILE]:
        raise VerificationError(f"component {name}: a provider model is one file, {FILE}, and nothing else")
    if Digest.of(document) != component.files[0].sha256:
        raise VerificationError(f"component {name}: this {FILE} is not the one that was signed")
    try:
        return parse_provider(document)
    except VerificationError as e:
        raise VerificationError(f"component {name}: {FILE}: {e}") from e


def _check_text(name: str, text: str | None, longest: int, *, ascii_only: bool = True) -> None:
    """Raise `VerificationError` for text that people could read as something else, or not at all."""
    if text is None:
        return
    if not 0 < len(text) <= longest or not text.isprintable() or text != text.strip():
        raise VerificationError(f"{name} is one line of 1 to {longest} letters, without space around it")
    if ascii_only and not text.isascii():
        raise VerificationError(f"{name} has letters that are not ASCII: {text[:64]!a}")
