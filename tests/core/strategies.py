"""Which strategy is good? One of each kind, to be spoiled."""

from dataclasses import replace

from lockgate.core.danger import Danger, Severity
from lockgate.core.policy import Demands
from lockgate.core.strategy import (
    Analysis,
    Envoy,
    Metric,
    OnAlert,
    Pause,
    Prometheus,
    Sequential,
    SetWeight,
    Strategy,
    Threshold,
)
from lockgate.formats.names import Name

ERRORS = Metric(Name("errors"), Sequential("errors", "0.004", "1.5", Envoy()), 5, dry_run=False)
SLOW = Metric(Name("slow"), Threshold(Envoy(), ">", "800", 20, 2, 4, 10, "latency", "0.99"), 5, dry_run=False)
MCP = Metric(Name("mcp"), Threshold(Prometheus("rate(x)"), ">", "0.05", 20, 0, 4, 10), 60, dry_run=False)
TRIED = Metric(Name("tried"), Sequential("guardrail", "0.004", "1", Envoy()), 5, dry_run=True)
ALERT = Metric(Name("jailbreak"), OnAlert(Danger.JAILBREAK, Severity.HIGH), 5, dry_run=False)
USERS = Metric(
    Name("errors"),
    Sequential("errors", "0.004", "1.5", Prometheus("failed_users", "users"), "user"),
    5,
    dry_run=False,
)
JUDGED = Metric(Name("errors"), Sequential("errors", "0.004", "1.5", Envoy(), "user"), 5, dry_run=False)
STEPS = (SetWeight(5), Pause(300), Analysis((Name("errors"),)), SetWeight(50), Pause(), SetWeight(100), Pause(60))
CANARY = Strategy("canary", STEPS, (ERRORS, SLOW, MCP, TRIED, ALERT), 86_400, 600, 3600, "rollback")
STICKY = replace(CANARY, metrics=(USERS, *CANARY.metrics[1:]), sticky_by="x-user")
BLUE_GREEN = replace(
    CANARY, kind="blue-green", steps=(Pause(600), Analysis((Name("errors"),)), SetWeight(100), Pause(30))
)
DEMANDS = Demands(
    required=True, first_weight=5, least_seconds=300, metrics=("errors", "latency"), window_seconds=86_400
)


def canary(**changes):
    return replace(CANARY, **changes)


def judged_by(*metrics, **changes):
    return canary(metrics=metrics, steps=(SetWeight(5), Pause(300), SetWeight(100)), **changes)
