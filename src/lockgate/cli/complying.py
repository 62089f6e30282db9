"""Which obligations are kept, and what shows it? Never more than the obligations page claims."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from lockgate.cli.following import read_entries, read_events
from lockgate.cli.speaking import now
from lockgate.core.concession import Concession, flags, is_serving
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject, replay
from lockgate.core.preservation import Preservation, standing
from lockgate.core.preservation import flags as flags_of
from lockgate.formats.canonical import Json
from lockgate.obligations import OBLIGATIONS, Obligation, Status

# Which events of the log show that an obligation was at work.
EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "signed_artifacts": ("release.registered/v1",),
    "verified_admission": ("release.registered/v1", "denied/v1"),
    "verified_loading": ("endpoint.activated/v1",),
    "provenance_record": ("change.authorized/v1",),
    "semantic_versioning": ("release.registered/v1",),
    "automated_security_tests": ("trial.begun/v1",),
    "provider_change_reevaluation": ("provider.observed/v1", "endpoint.flagged/v1"),
    "failed_validation_blocks": ("change.authorized/v1", "denied/v1", "change.overridden/v1"),
    "signed_test_results": ("release.attested/v1",),
    "emergency_change": ("concession.made/v1", "change.reviewed/v1", "review.overdue/v1"),
    "complete_rollback": ("endpoint.rolled_back/v1",),
    "preserved_rollback_artifacts": ("target.examined/v1",),
    "emergency_shutdown": ("endpoint.suspended/v1", "endpoint.tripped/v1"),
}
_EVERY = ("audit_record", "state_reconstruction")  # every entry shows these
_MARK = {Status.KEPT: "✔ kept   ", Status.GAP: "◐ gap    ", Status.PLANNED: "· planned"}


def report(directory: Path | None) -> tuple[list[str], Mapping[str, Json]]:
    """Tell of each obligation its status, what is missing, and how many log entries show it."""
    counted = Counter(str(event["type"]) for event in read_events(directory)) if directory else Counter[str]()
    lines, rows = [], []
    for obligation in OBLIGATIONS.values():
        shown = _shown(obligation.slug, counted)
        lines.append(_line(obligation, shown))
        rows.append(_row(obligation, shown))
    exceptions = [*conceded(directory, now()), *unproved(directory)] if directory else []
    lines += [f"exception: {line}" for line in exceptions]
    totals = Counter(str(obligation.status) for obligation in OBLIGATIONS.values())
    lines.append(f"{totals['kept']} kept, {totals['gap']} with a gap, {totals['planned']} planned")
    return lines, {"obligations": rows, "totals": dict(totals), "exceptions": list[Json](exceptions)}


def conceded(directory: Path, at: datetime) -> list[str]:
    """Say what was let through against the rule, what is still due for it, and what breakers flagged, by a log."""
    states = replay(read_entries(directory))
    found = [state for state in states.values() if isinstance(state, Concession)]
    lines = []
    for concession in sorted(found, key=lambda one: one.change):
        serving = states.get(endpoint_subject(concession.endpoint))
        serves = isinstance(serving, State) and is_serving(serving, concession)
        told = list(flags(concession, at, serves=serves))
        lines += told or [f"change {concession.change} ({concession.tag}) was let through at {concession.made_at}"]
    for state in states.values():
        lines += _flagged(state) if isinstance(state, State) else []
    return lines


def _flagged(at: State) -> list[str]:
    flags = at.flagged or ()
    return [f"{at.endpoint} was flagged by the breaker {one.breaker} at {one.at} (entry {one.index})" for one in flags]


def unproved(directory: Path) -> list[str]:
    """Say which ways back are known to be damaged, or could not be proved, by a log."""
    states = replay(read_entries(directory))
    found = [state for state in states.values() if isinstance(state, Preservation)]
    at = ((states.get(endpoint_subject(known.endpoint)), known) for known in found)
    wrong = (standing(state, known) for state, known in at if isinstance(state, State))
    return [line for known in wrong if known for line in flags_of(known)]


def _shown(slug: str, counted: Counter[str]) -> int:
    if slug in _EVERY:
        return counted.total()
    return sum(counted[kind] for kind in EVIDENCE.get(slug, ()))


def _line(obligation: Obligation, shown: int) -> str:
    numbers = obligation.v1 or obligation.ja or obligation.en
    evidence = f"  [{shown} log entries]" if shown else ""
    missing = f"\n             missing: {obligation.missing}" if obligation.missing else ""
    return f"{_MARK[obligation.status]}  {obligation.slug:<30} {numbers:<12} {obligation.asks}{evidence}{missing}"


def _row(obligation: Obligation, shown: int) -> Mapping[str, Json]:
    return {
        "slug": obligation.slug, "en": obligation.en, "ja": obligation.ja, "v1": obligation.v1,
        "asks": obligation.asks, "status": obligation.status.value, "missing": obligation.missing, "entries": shown,
    }  # fmt: skip
