"""What came of one case of a check? It held, or why it did not."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lockgate.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Tried:
    """One case, and why it failed; None if it held."""

    case: str
    why: str | None = None


def all_of(case: str, reasons: Iterable[str]) -> Tried:
    """Say that a case held if there is no reason against it."""
    return Tried(case, "; ".join(reasons) or None)


def refused(case: str, look: Callable[[], object]) -> Iterator[Tried]:
    """Look, and say that the case held unless that raises `VerificationError`."""
    try:
        look()
    except VerificationError as e:
        yield Tried(case, str(e))
    else:
        yield Tried(case)
