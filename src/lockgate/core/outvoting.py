"""Could one node outvote all others? Not where all but it are judged too.

    nodes ──▶ groups, as they are first seen ──▶ all together            63/64 of alpha
                                            └──▶ all but one group, each  1/1024 of alpha

A node that lies about the candidate hides no failure from those who leave it out. It can make failures up, as it always
can. So a metric has failed if it has with any of them; whether it has passed is said by all together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from lockgate.core.analysis import Conclusion, Plan, State, analyse
from lockgate.core.analysis.metric import Metric, Threshold, split
from lockgate.formats.names import Name

GROUPS = 16
_PARTS = (1024 - GROUPS, *(1,) * GROUPS)


def grouped(groups: Mapping[Name, int], nodes: Iterable[Name]) -> Mapping[Name, int]:
    """Put nodes that are new into a group each, one after the other; where a node is, it stays."""
    new = sorted(node for node in nodes if node not in groups)
    return {**groups, **{node: number % GROUPS for number, node in enumerate(new, len(groups))}}


def of_all(plan: Plan) -> Plan:
    """Say how sure one must be where all nodes are judged together."""
    return _with_part(plan, 0)


def outvoted(plan: Plan, without: Sequence[State], now: datetime) -> tuple[Name, ...]:
    """Name the metrics that have failed where one group is left out; dry runs are not named.

    Enforces: gradual_rollout
    """
    strict = _with_part(plan, 1)
    findings = [finding for state in without for finding in analyse(strict, state, now).findings]
    failed = {one.name for one in findings if one.conclusion is Conclusion.FAILED and not one.dry_run}
    return tuple(sorted(failed))


def _with_part(plan: Plan, part: int) -> Plan:
    return Plan(tuple(_part_of(metric, part) for metric in plan.metrics))


def _part_of(metric: Metric, part: int) -> Metric:
    """Give a metric its part of alpha; of one that is too small to be shared, nobody else has any."""
    if isinstance(metric, Threshold):
        return metric
    shares = split(metric.bounds.alpha, _PARTS)
    if not min(share.exact for share in shares):
        return replace(metric, dry_run=metric.dry_run or part > 0)
    return replace(metric, bounds=replace(metric.bounds, alpha=shares[part]))
