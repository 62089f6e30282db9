"""What would a change of the rules change? Computed here, from both documents, whatever the server says of them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest

if TYPE_CHECKING:
    from lockgate.core.change import Content, RuleChange
    from lockgate.core.difference import Difference
    from lockgate.loader.connection import Connection

MARKS = {"weakens": "-", "strengthens": "+", "neutral": "="}


def content_of(found: Mapping[str, Json]) -> "Content | RuleChange":
    """Read the content of a change that the server shows; its digest must be the one in the log."""
    from lockgate.core.change import Content, RuleChange
    from lockgate.formats import plain

    shown, state = found.get("content"), found.get("state")
    kind: type[Content | RuleChange] = RuleChange if _type(shown) == RuleChange.type else Content
    content = plain.from_plain(kind, shown)
    if not isinstance(state, dict) or state.get("content") != str(content.digest):
        raise VerificationError(f"the server shows a content that is not the one of the change ({content.digest})")
    return content


def compare(connection: "Connection", content: "Content | RuleChange") -> "tuple[Difference, ...]":
    """Say what a change of the rules would change, from the documents that its content names; nothing for others."""
    from lockgate.core.change import RuleChange
    from lockgate.core.difference import differences
    from lockgate.core.proposal import read_document

    if not isinstance(content, RuleChange):
        return ()
    old, new = (_document(connection, content.kind, digest) for digest in (content.before, content.document))
    return differences(read_document(content.kind, old), read_document(content.kind, new))


def rolled_out(connection: "Connection", content: "Content | RuleChange") -> list[str]:
    """Say in words how a release is to get its traffic, from the strategy that the content names."""
    from lockgate.core.change import Content
    from lockgate.core.difference import strategy_words
    from lockgate.core.strategy import open_strategy

    if not isinstance(content, Content) or content.strategy is None:
        return []
    strategy = open_strategy(connection.fetch(f"/api/v1/documents/{content.strategy}"), content.strategy)
    return list(strategy_words(strategy))


def told(found: "Iterable[Difference]") -> list[str]:
    """Write differences for people: what weakens the rules first."""
    ordered = sorted(found, key=lambda one: list(MARKS).index(one.effect.value))
    return [f"{MARKS[one.effect.value]} {one.effect.value:<11} {one.says}" for one in ordered]


def as_items(found: "Iterable[Difference]") -> list[Json]:
    """Write differences for programs."""
    return [{"effect": one.effect.value, "says": one.says, "to": str(one.to) if one.to else None} for one in found]


def _type(shown: Json) -> Json:
    return shown.get("type") if isinstance(shown, dict) else None


def _document(connection: "Connection", kind: str, digest: Digest) -> bytes:
    """Fetch a document by its digest: one that was proposed or adopted here, or the one in force."""
    from lockgate.formats import dsse

    try:
        found = connection.fetch(f"/api/v1/documents/{digest}")
    except DeniedError:
        found = dsse.parse(connection.fetch(f"/api/v1/{kind}")).payload
    if Digest.of(found) != digest:
        raise VerificationError(f"the server does not show the {kind} {digest}, so nobody can say what would change")
    return found
