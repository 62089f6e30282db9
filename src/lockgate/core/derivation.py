"""Which releases was this one made from, and how? A derivative is another model, and needs results of its own.

What a parent passed was passed by other bytes: quantised weights answer otherwise at the edges, where guardrails and
refusals live, and a merge may lose what each of its parents had. So the evidence of a parent is shown to people and
never counted. A statement is about one digest, and the gate knows no way from a parent to a child.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag

MOST_PARENTS = 16


class How(StrEnum):
    """How a derivative was made."""

    QUANTISED = "quantised"
    PRUNED = "pruned"
    DISTILLED = "distilled"
    MERGED = "merged"
    ADAPTED = "adapted"


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a release was made from others, each by its tag and its release digest."""

    how: How
    parents: Mapping[Tag, Digest]


def check_derivation(tag: Tag, derivation: Derivation) -> None:
    """Raise `VerificationError` for a derivation that makes no sense."""
    parents = derivation.parents
    if not 1 <= len(parents) <= MOST_PARENTS or len(set(parents.values())) < len(parents):
        raise VerificationError(f"release {tag} derives from 1 to {MOST_PARENTS} releases, each of them another one")
    if derivation.how is How.MERGED and len(parents) == 1:
        raise VerificationError(f"release {tag} is merged from one release alone")
    if tag in parents:
        raise VerificationError(f"release {tag} derives from itself")


def derivation_words(derivation: Derivation | None, revocation: Callable[[Digest], object]) -> tuple[str, ...]:
    """Say of each parent what it is to the derivative, and that it was revoked, if there is a `revocation` of it."""
    return tuple(_words(derivation, revocation)) if derivation else ()


def _words(derivation: Derivation, revocation: Callable[[Digest], object]) -> Iterator[str]:
    for tag, digest in sorted(derivation.parents.items(), key=str):
        yield f"{derivation.how} from {tag} ({digest}): what that passed counts for nothing here"
        if entry := revocation(digest):
            yield f"its parent {entry}"
