"""Did more users of the candidate have a failure than of stable? Each user once in a book, and no book is multiplied.

    book: what one gateway judged in one round ──▶ a row of its own ──▶ e-value × its share ──▶ the largest counts
          ½, ⅙, ¹⁄₁₂, …, 1/(j·(j+1)) for the j-th book: together they are one

Within a book each user is one outcome, so that the theorem of `odds` holds for it. In two books there may be the same
users: at another gateway, in a later round, or after a gateway forgot whom it had judged. Nothing is known of how these
hang together, so nothing is multiplied across books: that any of them reaches 1/(share·alpha) has the probability alpha
at most, whatever they have in common (the union bound over Ville's inequality).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import log
from typing import ClassVar

from lockgate.core.analysis.finding import Conclusion, Finding
from lockgate.core.analysis.metric import Users
from lockgate.core.analysis.number import Exact
from lockgate.core.analysis.odds import Row, add, log_mean, log_rare, log_sound, log_worse, upper_bound
from lockgate.core.analysis.sequential import MEANING, e_values, judge, shares, weighed
from lockgate.core.analysis.table import NONE, Counts, Table, check_counted
from lockgate.formats.names import Name

MAX_BOOKS = 256


@dataclass(frozen=True, slots=True)
class Judged:
    """What one gateway judged in one round, in one interval. Another incarnation of it begins another book."""

    book: Name
    incarnation: str
    table: Table


@dataclass(frozen=True, slots=True)
class Book:
    """What is known of one book; `peak` as in any tally, before its share is taken off."""

    name: Name
    incarnation: str
    candidate: Counts
    stable: Counts
    row: Row
    peak: Exact


@dataclass(frozen=True, slots=True)
class UsersTally:
    """All books, in the order in which they began."""

    type: ClassVar[str] = "users"
    books: tuple[Book, ...]
    missing: int

    def __post_init__(self) -> None:
        check_counted(self.missing)


def nobody_judged() -> UsersTally:
    """Begin with nothing known."""
    return UsersTally((), 0)


def enter(metric: Users, tally: UsersTally, judged: Iterable[Judged]) -> UsersTally:
    """Take one interval. A book begins with the first interval in which users of both arms were judged."""
    judged = tuple(judged)
    if not any(each.table.compares for each in judged):
        return replace(tally, missing=tally.missing + 1)
    books = {(book.name, book.incarnation): book for book in tally.books}
    for each in judged:
        place = (each.book, each.incarnation)
        if place not in books and each.table.compares and len(books) < MAX_BOOKS:
            books[place] = Book(each.book, each.incarnation, NONE, NONE, weighed(metric).empty, Exact(0))
        if place in books:
            books[place] = _entered(metric, books[place], each.table)
    return UsersTally(tuple(books.values()), 0)


def conclude_users(metric: Users, tally: UsersTally) -> Finding:
    """Say what the books come to: each by itself, with its share of alpha and of beta."""
    weighed_books = [_weigh(metric, book, number) for number, book in enumerate(tally.books, 1)]
    loudest = max(weighed_books, key=lambda each: each.worse, default=_NOBODY)
    soundest = max(weighed_books, key=lambda each: each.sound, default=_NOBODY)
    conclusion, trigger = judge(metric, loudest.worse, soundest.sound, tally.missing)
    quoted = (loudest if conclusion is Conclusion.FAILED else soundest).book
    bound = min((each.bound for each in weighed_books if each.bound is not None), default=None)
    return Finding(
        name=metric.name,
        conclusion=conclusion,
        says=f"{_said(quoted, len(tally.books))}: {MEANING[conclusion]}",
        dry_run=metric.dry_run,
        candidate=quoted.candidate if quoted else NONE,
        stable=quoted.stable if quoted else NONE,
        missing=tally.missing,
        trigger=trigger,
        e_values=e_values(metric, loudest.worse, soundest.sound, bound),
    )


@dataclass(frozen=True, slots=True)
class _Weighed:
    """What one book says with its share: log e-values, and a bound of the odds ratio."""

    book: Book | None
    worse: float
    sound: float
    bound: float | None


_NOBODY = _Weighed(None, 0.0, 0.0, None)


def share_of(number: int) -> float:
    """Say which share of alpha the book with this number has; all together have one."""
    return 1 / (number * (number + 1))


def _weigh(metric: Users, book: Book, number: int) -> _Weighed:
    share, odds = share_of(number), weighed(metric)
    sound = log_sound(book.row, odds)
    if metric.acceptable is not None:
        sound = log_mean([sound, log_rare(book.candidate, float(metric.acceptable))])
    bound = upper_bound(book.row, odds, float(metric.bounds.beta) * share)
    return _Weighed(book, book.peak + log(share), sound + log(share), bound)


def _entered(metric: Users, book: Book, table: Table) -> Book:
    odds = weighed(metric)
    row = add(book.row, table, odds)
    return replace(
        book,
        candidate=book.candidate.plus(table.candidate),
        stable=book.stable.plus(table.stable),
        row=row,
        peak=Exact(max(book.peak, log_worse(row, odds))),
    )


def _said(book: Book | None, books: int) -> str:
    if book is None:
        return "no users of both were judged"
    return f"users with a failure in book {book.name} (of {books}): {shares(book.candidate, book.stable)}"
