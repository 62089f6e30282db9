"""How does an author write a strategy down? In YAML, with the words of Argo Rollouts; everything wrong is said at once.

canary:                                       # or blueGreen: {pause, analysis, scaleDownDelay, stickyBy}
  steps: [{setWeight: 5}, {pause: {duration: 5m}}, {analysis: {templates: [errors]}}, {pause: {}}, {setWeight: 100}]
maxDuration: 24h
patience: 10m                                 # then a person is asked
noData: 1h                                    # then it is rolled back
onFailure: rollback                           # or pause, or shutdown
metrics:
- {name: errors, interval: 5s, sequential: {event: errors, alpha: 0.004, oddsMargin: 1.5}, envoy: {}}
- {name: slow, threshold: {event: latency, quantile: 0.99, failureCondition: "> 800"}, envoy: {}}
- {name: mcp, threshold: {failureCondition: "> 0.05"}, prometheus: {query: "…"}}
- {name: jailbreak, alert: {kind: jailbreak, severity: high}}
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import yaml

from lockgate.cli.speaking import EXISTING, as_json, read, show
from lockgate.core.danger import Danger, Severity
from lockgate.core.plan import plan_of
from lockgate.core.strategy import (
    Analysis,
    Envoy,
    Metric,
    OnAlert,
    Pause,
    Prometheus,
    Sequential,
    SetWeight,
    Source,
    Step,
    Strategy,
    Threshold,
    wrong_metrics,
    wrong_spans,
    wrong_steps,
    wrong_sticking,
    wrong_users,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.names import Name

if TYPE_CHECKING:
    from lockgate.formats.canonical import Json

T = TypeVar("T")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,8})([smhd])")
_CONDITION = re.compile(r"(?:result(?:\[0\])?\s*)?(>=|<=|>|<)\s*(\S{1,40})")
_EVENTS = ("errors", "latency", "guardrail", "tool")


@click.group()
def strategy() -> None:
    """How a candidate gets its traffic: steps and metrics, which approvers sign with the change."""


@strategy.command("check")
@click.argument("document", type=EXISTING)
@as_json
def check_strategy(document: Path, json_: bool) -> None:
    """Check a strategy (YAML) before anybody asks for it, and say in words what it does. Offline."""
    from lockgate.core.difference import strategy_words

    found = read_strategy(document)
    words = list(strategy_words(found))
    said: Json = {"digest": str(found.digest), "words": words}
    show(json_, said, *words, f"{document} is the strategy {found.digest}")


def read_strategy(path: Path) -> Strategy:
    """Read a strategy as its author wrote it; raise `DeniedError` with everything that is wrong with it."""
    try:
        written = yaml.safe_load(read(path))
    except (yaml.YAMLError, ValueError) as e:  # ValueError: a date that the calendar does not have
        raise VerificationError(f"{path} is not YAML: {e}") from e
    except RecursionError as e:
        raise VerificationError(f"{path} is nested too deep") from e
    return parse_strategy(written)


def parse_strategy(written: object) -> Strategy:
    """Make a strategy of what its author wrote; raise `DeniedError` with everything that is wrong with it."""
    reading = _Reading()
    found = reading.strategy(written)
    reasons = reading.reasons
    if not reading.is_odd("step"):
        reasons += wrong_steps(found.steps, found.metrics)
    if not reading.is_odd("metric"):
        reasons += wrong_metrics(found.metrics)
    if not reading.is_odd("maxDuration", "patience", "noData", "step", "stickyBy"):
        reasons += wrong_spans(found)
    if not reading.is_odd("metric", "stickyBy"):
        reasons += wrong_sticking(found)
    if not reading.is_odd("metric", "stickyBy", "step"):
        reasons += wrong_users(found)
    if reasons:
        raise DeniedError(*dict.fromkeys(reasons))
    plan_of(found)
    return found


class _Reading:
    """What was read so far, and what was wrong with it. What is wrong is read as something harmless, and goes on."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def is_odd(self, *words: str) -> bool:
        """Ask whether something was wrong with any of these."""
        return any(reason.startswith(words) for reason in self.reasons)

    def strategy(self, written: object) -> Strategy:
        """Read the whole document."""
        top = self.table(written, "the strategy", ("canary", "blueGreen", "metrics", *_TOP))
        if ("canary" in top) == ("blueGreen" in top):
            self.reasons.append("the strategy is neither canary nor blueGreen, or both")
        metrics = tuple(self.metrics(top.get("metrics", [])))
        canary = "canary" in top
        way = self.table(top["canary"], "canary", ("steps", "stickyBy")) if canary else self.blue_green(top)
        steps = tuple(self.steps(way.get("steps", [])))
        sticky = way.get("stickyBy")
        if sticky is not None and not isinstance(sticky, str):
            self.reasons.append(f"stickyBy is {sticky!a:.40}, which is no text")
            sticky = None
        longest = self.span(top.get("maxDuration", "24h"), "maxDuration")
        return Strategy(
            "canary" if canary else "blue-green",
            steps,
            metrics,
            longest,
            self.span(top.get("patience", f"{min(600, longest)}s"), "patience"),
            self.span(top.get("noData", f"{min(3600, longest)}s"), "noData"),
            self.choice(top.get("onFailure", "rollback"), ("rollback", "pause", "shutdown"), "onFailure"),
            sticky,
        )

    def blue_green(self, top: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read blue-green as the steps that it means: previews, then everything, then the old one stays for a while."""
        known = ("pause", "analysis", "scaleDownDelay", "stickyBy")
        way = self.table(top.get("blueGreen", {}), "blueGreen", known)
        steps: list[object] = [{name: way[name]} for name in ("pause", "analysis") if name in way]
        steps += [{"setWeight": 100}]
        if "scaleDownDelay" in way:
            steps += [{"pause": {"duration": way["scaleDownDelay"]}}]
        return {"steps": steps, "stickyBy": way.get("stickyBy")}

    def steps(self, written: object) -> Iterator[Step]:
        """Read the steps."""
        for number, one in enumerate(self.items(written, "steps"), 1):
            where = f"step {number}"
            step = self.table(one, where, ("setWeight", "pause", "analysis"))
            if len(step) != 1:
                self.reasons.append(f"{where} is not exactly one of setWeight, pause, analysis")
            elif "setWeight" in step:
                yield SetWeight(self.number(step["setWeight"], f"{where}: setWeight"))
            elif "pause" in step:
                pause = self.table(step["pause"], where, ("duration",))
                yield Pause(self.span(pause["duration"], f"{where}: duration") if "duration" in pause else None)
            else:
                analysis = self.table(step["analysis"], where, ("templates",))
                named = self.items(analysis.get("templates"), f"{where}: templates")
                yield Analysis(tuple(self.name(name, where) for name in named))

    def metrics(self, written: object) -> Iterator[Metric]:
        """Read the metrics."""
        for number, one in enumerate(self.items(written, "metrics"), 1):
            metric = self.table(one, f"metric {number}", _METRIC)
            name = self.name(metric.get("name"), f"metric {number}")
            where = f"metric {name}"
            dry = metric.get("dryRun", False)
            if not isinstance(dry, bool):
                self.reasons.append(f"{where}: dryRun is {dry!a:.40}, not true or false")
            interval = self.span(metric.get("interval", "5s"), f"{where}: interval")
            test = self.test(metric, where)
            if test is not None:
                yield Metric(name, test, interval, dry is True)

    def test(self, metric: Mapping[str, Any], where: str) -> Sequential | Threshold | OnAlert | None:
        """Read how a metric is judged, and what from."""
        kinds = [kind for kind in ("sequential", "threshold", "alert") if kind in metric]
        if len(kinds) != 1:
            self.reasons.append(f"{where} is not exactly one of sequential, threshold, alert")
            return None
        if kinds == ["alert"]:
            if "envoy" in metric or "prometheus" in metric:
                self.reasons.append(f"{where}: an alert comes by itself, and has no source")
            return self.alert(metric["alert"], where)
        source = self.source(metric, where)
        if source is None:
            return None
        read_it = self.sequential if kinds == ["sequential"] else self.threshold
        return read_it(metric[kinds[0]], source, where)

    def source(self, metric: Mapping[str, Any], where: str) -> Source | None:
        """Read where the data of a metric comes from."""
        if ("envoy" in metric) == ("prometheus" in metric):
            self.reasons.append(f"{where} has no data: its source is exactly one of envoy, prometheus")
            return None
        if "envoy" in metric:
            self.table(metric["envoy"], where, ())
            return Envoy()
        asked = self.table(metric["prometheus"], where, ("query", "total"))
        total = asked.get("total")
        return Prometheus(self.text(asked.get("query"), f"{where}: query"), total and self.text(total, where))

    def sequential(self, written: object, source: Source, where: str) -> Sequential:
        """Read a sequential test."""
        test = self.table(written, where, ("event", "alpha", "oddsMargin", "unit"))
        event = self.choice(test.get("event"), _EVENTS, f"{where}: event")
        alpha = self.decimal(test.get("alpha"), f"{where}: alpha")
        margin = self.decimal(test.get("oddsMargin", 1), f"{where}: oddsMargin")
        counted = self.choice(test.get("unit", "request"), ("request", "user"), f"{where}: unit")
        return Sequential(event, alpha, margin, source, "user" if counted == "user" else None)

    def threshold(self, written: object, source: Source, where: str) -> Threshold:
        """Read an absolute bound."""
        test = self.table(written, where, ("event", "quantile", "failureCondition", *_COUNTS))
        condition = self.text(test.get("failureCondition"), f"{where}: failureCondition")
        found = _CONDITION.fullmatch(condition.strip())
        if found is None:
            self.reasons.append(f"{where}: failureCondition is {condition[:60]!a}, not one like '> 0.05'")
        fails: Any = found[1] if found else ">"
        counts = [self.number(test.get(name, least), f"{where}: {name}") for name, least in _COUNTS.items()]
        event = self.choice(test["event"], _EVENTS, f"{where}: event") if "event" in test else None
        quantile = self.decimal(test["quantile"], f"{where}: quantile") if "quantile" in test else None
        requests, failures, errors, missing = counts
        bound = found[2] if found else "0"
        return Threshold(source, fails, bound, requests, failures, errors, missing, event, quantile)

    def alert(self, written: object, where: str) -> OnAlert:
        """Read which alerts count."""
        test = self.table(written, where, ("kind", "severity"))
        kind = self.choice(test.get("kind"), tuple(Danger), f"{where}: kind")
        severity = self.choice(test.get("severity", "high"), tuple(Severity), f"{where}: severity")
        return OnAlert(Danger(kind), Severity(severity))

    def table(self, written: object, where: str, known: tuple[str, ...]) -> Mapping[str, Any]:
        """Read an object; null stands for an empty one."""
        if written is None:
            return {}
        if not isinstance(written, dict) or not all(isinstance(name, str) for name in written):
            self.reasons.append(f"{where} is {written!a:.40}, which is no table")
            return {}
        for name in written:
            if name not in known:
                self.reasons.append(f"{where} says {name[:40]!a}, which is unknown")
        return {name: value for name, value in written.items() if name in known}

    def items(self, written: object, where: str) -> list[object]:
        """Read a list."""
        if not isinstance(written, list):
            self.reasons.append(f"{where.removesuffix('s')}s are {written!a:.40}, which is no list")
            return []
        return written

    def span(self, written: object, where: str) -> int:
        """Read a span like 90s, 30m, 24h or 7d."""
        found = _SPAN.fullmatch(written) if isinstance(written, str) else None
        if found is None or int(found[1]) == 0:
            self.reasons.append(f"{where} is {written!a:.40}, not a span like 90s, 30m, 24h or 7d")
            return 1
        return int(found[1]) * _UNITS[found[2]]

    def number(self, written: object, where: str) -> int:
        """Read a whole number."""
        if not isinstance(written, int) or isinstance(written, bool) or abs(written) > 10**9:
            self.reasons.append(f"{where} is {written!a:.40}, not a whole number")
            return 1
        return written

    def decimal(self, written: object, where: str) -> str:
        """Read a number as its text."""
        if isinstance(written, bool) or not isinstance(written, int | float | str):
            self.reasons.append(f"{where} is {written!a:.40}, not a number")
            return "1"
        return str(written)

    def text(self, written: object, where: str) -> str:
        """Read text."""
        if not isinstance(written, str):
            self.reasons.append(f"{where} is {written!a:.40}, not text")
            return ""
        return written

    def choice(self, written: object, known: tuple[str, ...], where: str) -> Any:
        """Read one of a few words."""
        if written not in known:
            self.reasons.append(f"{where} is {written!a:.40}, not one of {', '.join(known)}")
            return known[0]
        return written

    def name(self, written: object, where: str) -> Name:
        """Read a name."""
        try:
            return Name.parse(written if isinstance(written, str) else "?")
        except VerificationError:
            self.reasons.append(f"{where} names {written!a:.40}, which is no name")
            return Name("unnamed")


_TOP = ("maxDuration", "patience", "noData", "onFailure")
_METRIC = ("name", "interval", "dryRun", "sequential", "threshold", "alert", "envoy", "prometheus")
_COUNTS = {"minRequests": 20, "failureLimit": 0, "consecutiveErrorLimit": 4, "consecutiveMissing": 10}
