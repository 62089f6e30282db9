"""What does a new policy change about the evidence that it asks for, in words?"""

from collections.abc import Collection, Iterator, Mapping

from lockgate.core.difference.sentence import (
    Difference,
    Effect,
    Words,
    each_field,
    free,
    in_another_order,
    members,
    neutral,
    number,
    paired,
    reordered,
    stronger,
    weaker,
)
from lockgate.core.measure import decimal
from lockgate.core.policy import Evaluation, Scans
from lockgate.errors import VerificationError


def evaluations(old: tuple[Evaluation, ...], new: tuple[Evaluation, ...], where: str) -> Iterator[Difference]:
    """Say which suites must pass now, or no more, and what else is asked of them."""
    for before, after in paired(old, new, lambda evaluation: evaluation.suite):
        if after is None and before is not None:
            yield weaker(f"no longer demands {listed_evaluation(before)} at {where}")
        elif before is None and after is not None:
            yield stronger(f"demands {listed_evaluation(after)} at {where}")
        elif before is not None and after is not None:
            yield from each_field(EVALUATION, before, after, f"suite {free(before.suite)} at {where}")
    yield from in_another_order([one.suite for one in old], [one.suite for one in new], f"suites of {where}")


def listed_evaluation(evaluation: Evaluation) -> str:
    """Name a suite and what it must show."""
    metrics = ", ".join(f"{free(name)} at least {free(least)}" for name, least in evaluation.metrics.items())
    tries = f", {evaluation.trials} trials at most" if evaluation.trials is not None else ""
    return (
        f"suite {free(evaluation.suite)} ({metrics or 'no metric'}, at most {evaluation.max_age_days} days old{tries})"
    )


def scans(old: Scans | None, new: Scans | None, where: str) -> Iterator[Difference]:
    """Say whether files must be scanned, and what is asked of the scan."""
    if old is None and new is not None:
        yield stronger(f"demands at {where} {_scan(new)}")
    elif new is None and old is not None:
        yield weaker(f"no longer demands at {where} {_scan(old)}")
    elif old is not None and new is not None:
        yield from each_field(SCANS, old, new, where)


def listed_scans(wanted: Scans | None) -> str:
    """Say in one line what is asked of scans; nothing if nothing is."""
    return f"; {_scan(wanted)}" if wanted is not None else ""


def _scan(wanted: Scans) -> str:
    allowed = f", with exceptions for {', '.join(map(free, wanted.exceptions))}" if wanted.exceptions else ""
    return f"a scan of all files, at most {wanted.max_age_days} days old{allowed}"


def _metrics(old: Mapping[str, str], new: Mapping[str, str], where: str) -> Iterator[Difference]:
    yield from members(
        old.keys(), new.keys(),
        lambda name: weaker(f"no longer asks for {free(name)} in {where}"),
        lambda name: stronger(f"asks for {free(name)} of at least {free(new[name])} in {where}"),
    )  # fmt: skip
    for name in old:
        if name in new and old[name] != new[name]:
            yield _threshold(f"the evaluation threshold of {free(name)} in {where}", old[name], new[name])


def _threshold(what: str, old: str, new: str) -> Difference:
    step = f"from {free(old)} to {free(new)}"
    try:
        before, after = decimal(old), decimal(new)
    except VerificationError:
        return weaker(f"changes {what} {step}, which is no number")
    if before == after:
        return neutral(f"writes {what} in another way: {step}")
    return stronger(f"raises {what} {step}") if after > before else weaker(f"lowers {what} {step}")


def _least(old: Mapping[str, int] | None, new: Mapping[str, int] | None, where: str) -> Iterator[Difference]:
    before, after = old or {}, new or {}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, 0), after.get(name, 0)
        if was != now:
            say = stronger if now > was else weaker
            yield say(f"asks for {now} samples of {free(name)} at least in {where}, not {was}")
    if before == after:
        yield neutral(f"writes the least samples of {where} in another way")


def _accepted(what: str) -> Words:
    """Make the words for a list of what is accepted, where none means that anything is."""

    def words(old: Collection[object] | None, new: Collection[object] | None, where: str) -> Iterator[Difference]:
        if old is None or new is None:
            say = weaker if new is None else stronger
            yield say(f"{'accepts any' if new is None else 'accepts only listed'} {what} in {where}")
            return
        yield from members(
            old, new,
            lambda one: stronger(f"no longer accepts the {what} {free(str(one))} in {where}"),
            lambda one: weaker(f"accepts the {what} {free(str(one))} in {where}"),
        )  # fmt: skip
        yield from reordered(old, new, f"{what} of {where}")

    return words


def _listed(what: str, given: str) -> Words:
    """Make the words for a list where none is as good as an empty one; `given` is the verb for more in it."""

    def words(old: Collection[str] | None, new: Collection[str] | None, where: str) -> Iterator[Difference]:
        more, less = (weaker, stronger) if given == "accepts" else (stronger, weaker)
        yield from members(
            old or (), new or (),
            lambda one: less(f"no longer {given} the {what} {free(one)} in {where}"),
            lambda one: more(f"{given} the {what} {free(one)} in {where}"),
        )  # fmt: skip
        if set(old or ()) == set(new or ()):
            yield neutral(f"writes the {what} of {where} in another way")

    return words


def _versions(old: str | None, new: str | None, where: str) -> Iterator[Difference]:
    say = stronger if old is None else weaker
    before, after = ("any" if wanted is None else free(wanted) for wanted in (old, new))
    yield say(f"accepts versions {after} in {where}, no longer {before}")


def _trials(old: int | None, new: int | None, where: str) -> Iterator[Difference]:
    if old is None:
        yield stronger(f"demands that a run is written down before it begins, {new} at most, in {where}")
    elif new is None:
        yield weaker(f"no longer demands that a run is written down before it begins in {where}")
    else:
        yield from number("how many trials there may be in {where},", Effect.WEAKENS)(old, new, where)


def _served(old: bool | None, new: bool | None, where: str) -> Iterator[Difference]:  # noqa: FBT001 - as a field
    if bool(old) == bool(new):
        yield neutral(f"writes in another way whether the tested server proves its release in {where}")
    else:
        say = stronger if new else weaker
        yield say(f"{'demands' if new else 'no longer demands'} that the tested server proves its release in {where}")


EVALUATION: Mapping[str, Words] = {
    "suite": lambda old, new, where: [weaker(f"asks for suite {free(new)} instead of {free(old)} in {where}")],
    "metrics": _metrics,
    "max_age_days": number("how many days old a result may be in {where},", Effect.WEAKENS),
    "digests": _accepted("suite digest"),
    "versions": _versions,
    "least": _least,
    "isolation": _listed("layer of isolation", "demands"),
    "trials": _trials,
    "served": _served,
}
SCANS: Mapping[str, Words] = {
    "max_age_days": number("how many days old a scan may be at {where},", Effect.WEAKENS),
    "rules": _accepted("rule set of scans"),
    "exceptions": _listed("exception of scans", "accepts"),
    "also": _listed("second scanner", "demands"),
}
