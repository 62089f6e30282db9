"""What does a new policy change, in words?"""

from collections.abc import Iterator, Mapping
from functools import partial

from lockgate.core.difference.breaking import breakers, listed
from lockgate.core.difference.held import bindings, listed_bindings
from lockgate.core.difference.leeway import HURRY, emergencies, listed_leeway, overrides
from lockgate.core.difference.proving import evaluations, listed_evaluation, listed_scans, scans
from lockgate.core.difference.sentence import (
    Difference,
    Effect,
    Words,
    each_field,
    environment,
    expiry,
    free,
    members,
    neutral,
    number,
    reordered,
    stronger,
    version,
    weaker,
)
from lockgate.core.policy import Approvals, Demands, Lease, Rules, Symptom
from lockgate.core.provider import Pin
from lockgate.core.release import Kind
from lockgate.core.rights import Role

_RULES = "changes of the rules"


def _endpoints(old: Mapping[str, Rules], new: Mapping[str, Rules], _where: str) -> Iterator[Difference]:
    for name in (*old, *(name for name in new if name not in old)):
        if name not in new:
            yield stronger(f"removes the endpoint {free(name)}: nothing may serve there")
        elif name not in old:
            yield weaker(f"adds the endpoint {free(name)}, where nothing might serve; it demands {_demands(new[name])}")
        else:
            yield from each_field(RULES, old[name], new[name], free(name))


def _demands(rules: Rules) -> str:
    kinds = ", ".join(rules.components)
    tests = "; ".join(listed_evaluation(evaluation) for evaluation in rules.evaluations) or "no evaluation"
    proof = "provenance" if rules.provenance else "no provenance"
    people = f"{rules.approvals.count} approvals by the role {rules.approvals.role}"
    pins = f"; provider models pinned by {', '.join(rules.provider_pins)}" if rules.provider_pins else ""
    staged = f"; a rollout that is {_gradual(rules.rollout)}" if rules.rollout else ""
    lease = f"a lease of {rules.lease.seconds} s ({rules.lease.on_silence})"
    more = listed(rules.breakers) + listed_bindings(rules.bindings) + listed_leeway(rules.overrides, rules.emergencies)
    pins += f"; what was seen of them is {rules.appearances} by hosts" if rules.appearances else ""
    return f"{kinds}; {proof}; {tests}{listed_scans(rules.scans)}{pins}; {people}; {lease}{staged}{more}"


def _gradual(demands: Demands) -> str:
    metrics = f"judged by {', '.join(demands.metrics)}" if demands.metrics else "judged by no metric in particular"
    begins = f"begins with {demands.first_weight} % at most, pauses for {demands.least_seconds} s at least"
    word = "required" if demands.required else "not required"
    return f"{word}, {begins}, is {metrics} and over in {demands.window_seconds} s"


def _components(old: tuple[Kind, ...], new: tuple[Kind, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda kind: weaker(f"no longer demands a component of kind {kind} at {where}"),
        lambda kind: stronger(f"demands a component of kind {kind} at {where}"),
    )  # fmt: skip
    yield from reordered(old, new, f"components of {where}")


def _provenance(old: bool, _new: bool, where: str) -> Iterator[Difference]:  # noqa: FBT001 - the value of a field
    yield (weaker if old else stronger)(f"{'no longer demands' if old else 'demands'} provenance at {where}")


def _approvals(old: Approvals, new: Approvals, where: str) -> Iterator[Difference]:
    yield from each_field(APPROVALS, old, new, where)


def _role(old: Role, new: Role, where: str) -> Iterator[Difference]:
    yield weaker(f"counts approvals of {where} by the role {new}, no longer by {old}")


def _lease(old: Lease, new: Lease, where: str) -> Iterator[Difference]:
    yield from each_field(LEASE, old, new, where)


def _on_silence(old: str, new: str, where: str) -> Iterator[Difference]:
    say = stronger if new == "stop" else weaker
    yield say(f"what holders at {where} do when nobody answers: {new}, no longer {old}")


def _grace(old: int | None, new: int | None, where: str) -> Iterator[Difference]:
    before, after = ("none" if span is None else f"{span} s" for span in (old, new))
    say = weaker if (new or 0) > (old or 0) else neutral if (new or 0) == (old or 0) else stronger
    yield say(f"changes the grace of {where} when nobody answers from {before} to {after}")


def _span(what: str) -> Words:
    def words(old: int, new: int, where: str) -> Iterator[Difference]:
        verb, say = ("lengthens", weaker) if new > old else ("shortens", stronger)
        yield say(f"{verb} {what} of {where} from {old} s to {new} s")

    return words


def _hand_over(old: str, new: str, where: str) -> Iterator[Difference]:
    say = stronger if new == "sealed" else weaker
    yield say(f"hands files over at {where} as {new}, no longer as {old}")


def _pins(old: tuple[Pin, ...] | None, new: tuple[Pin, ...] | None, where: str) -> Iterator[Difference]:
    yield from members(
        old or (), new or (),
        lambda pin: weaker(f"no longer demands that the {pin} of provider models is pinned at {where}"),
        lambda pin: stronger(f"demands that the {pin} of provider models is pinned at {where}"),
    )  # fmt: skip
    if set(old or ()) == set(new or ()):
        yield neutral(f"writes the pins of provider models at {where} in another way")


def _appearances(old: str | None, new: str | None, where: str) -> Iterator[Difference]:
    steps = (None, "shown", "heeded")
    words = ("are not shown", "are shown", "are shown, and heed,")
    before, after = words[steps.index(old)], words[steps.index(new)]
    effect = stronger if steps.index(new) > steps.index(old) else weaker
    yield effect(f"hosts of {where} {after} what was seen of provider models; before, they {before} it")


def _rollout(old: Demands | None, new: Demands | None, where: str) -> Iterator[Difference]:
    if old is None and new is not None:
        yield stronger(f"demands of rollouts at {where}: {_gradual(new)}")
    elif new is None and old is not None:
        yield weaker(f"demands nothing of rollouts at {where} any more; it was {_gradual(old)}")
    elif old is not None and new is not None:
        yield from each_field(ROLLOUT, old, new, where)


def _required(old: bool, _new: bool, where: str) -> Iterator[Difference]:  # noqa: FBT001 - the value of a field
    say = weaker if old else stronger
    yield say(f"{'no longer demands' if old else 'demands'} that releases come by a rollout at {where}")


def _symptoms(old: tuple[Symptom, ...], new: tuple[Symptom, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda name: weaker(f"no longer demands that rollouts are judged by {name} at {where}"),
        lambda name: stronger(f"demands that rollouts are judged by {name} at {where}"),
    )  # fmt: skip
    yield from reordered(old, new, f"metrics of rollouts at {where}")


POLICY: Mapping[str, Words] = {
    "environment": environment,
    "version": version,
    "expires": expiry("policy"),
    "endpoints": _endpoints,
    "rule_changes": lambda old, new, _where: _approvals(old, new, _RULES),
}
RULES: Mapping[str, Words] = {
    "components": _components,
    "provenance": _provenance,
    "evaluations": evaluations,
    "approvals": _approvals,
    "lease": _lease,
    "rollback_seconds": _span("the window for a rollback"),
    "hand_over": _hand_over,
    "provider_pins": _pins,
    "rollout": _rollout,
    "breakers": breakers,
    "bindings": bindings,
    "scans": scans,
    "overrides": overrides,
    "appearances": _appearances,
    "emergencies": lambda old, new, where: emergencies(EMERGENCIES, old, new, where),
}
ROLLOUT: Mapping[str, Words] = {
    "required": _required,
    "first_weight": number("the first weight of a rollout at {where},", Effect.WEAKENS, " %"),
    "least_seconds": number("how long a rollout pauses at {where},", Effect.STRENGTHENS, " s"),
    "metrics": _symptoms,
    "window_seconds": number("how long a rollout may take at {where},", Effect.WEAKENS, " s"),
}
APPROVALS: Mapping[str, Words] = {
    "count": number("how many people must approve {where},", Effect.STRENGTHENS),
    "role": _role,
}
EMERGENCIES: Mapping[str, Words] = {
    **HURRY,
    "authority": _approvals,
    "rollout": lambda old, new, where: each_field(ROLLOUT, old, new, where),
}
LEASE: Mapping[str, Words] = {
    "seconds": _span("the lease"),
    "on_silence": _on_silence,
    "grace_seconds": _grace,
}

policy_differences = partial(each_field, POLICY)
