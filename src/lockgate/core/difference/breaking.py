"""What does a new policy change about breakers, in words?"""

from collections.abc import Iterator, Sequence

from lockgate.core.breaker import (
    Breaker,
    Condition,
    OnAlerts,
    OnFailures,
    OnOverrideExpired,
    OnProviderChanged,
    OnRevoked,
    OnUnguarded,
)
from lockgate.core.difference.sentence import Difference, in_another_order, neutral, paired, stronger, weaker

_FAILING = {"errors": "answers are errors", "guardrail": "guardrail verdicts are no", "tool": "tool calls fail"}


def breakers(old: Sequence[Breaker] | None, new: Sequence[Breaker] | None, where: str) -> Iterator[Difference]:
    """Say which breakers come, go, or trip at something else; of the last nobody can say whether it is stricter."""
    before, after = old or (), new or ()
    for was, now in paired(before, after, lambda breaker: breaker.name):
        if now is None and was is not None:
            yield weaker(f"takes away the breaker {was.name} at {where}, which {_does(was)}")
        elif was is None and now is not None:
            yield stronger(f"adds the breaker {now.name} at {where}, which {_does(now)}")
        elif was is not None and now is not None:
            yield from _changed(was, now, where)
    yield from in_another_order(
        [str(one.name) for one in before], [str(one.name) for one in after], f"breakers of {where}"
    )


def _changed(was: Breaker, now: Breaker, where: str) -> Iterator[Difference]:
    if was.on != now.on:
        yield weaker(f"lets the breaker {now.name} at {where} trip {in_words(now.on)}, no longer {in_words(was.on)}")
    if was.only_flags and not now.only_flags:
        yield stronger(f"lets the breaker {now.name} at {where} shut it down, which only flagged it")
    elif now.only_flags and not was.only_flags:
        yield weaker(f"lets the breaker {now.name} at {where} only flag it, which shut it down")
    elif was.then != now.then:
        yield neutral(f"says of the breaker {now.name} at {where} in other words that it shuts it down")


def _does(breaker: Breaker) -> str:
    return f"{'only flags it' if breaker.only_flags else 'trips'} {in_words(breaker.on)}"


def in_words(on: Condition) -> str:
    """Say when a breaker trips."""
    match on:
        case OnAlerts():
            kinds = " or ".join(on.kinds)
            return f"at {on.count} alerts ({kinds}, {on.severity} or worse) within {on.seconds} s"
        case OnFailures():
            return f"when {on.percent} % of {on.requests} or more {_FAILING[on.of]} within {on.seconds} s"
        case OnUnguarded():
            return f"when the guardrail judged less than {on.percent} % of {on.requests} or more within {on.seconds} s"
        case OnRevoked():
            return "when what serves was revoked, or a key that let it in"
        case OnProviderChanged():
            more = ", or than before" if on.than == "before" else ""
            return f"when a provider shows another model than is pinned{more}"
        case OnOverrideExpired():
            return "when an override is over that let through what serves"


def listed(breakers: Sequence[Breaker] | None) -> str:
    """Name breakers in one line; nothing if there are none."""
    names = ", ".join(f"{one.name} ({_does(one) if one.only_flags else in_words(one.on)})" for one in breakers or ())
    return f"; breakers: {names}" if names else ""
