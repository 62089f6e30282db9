"""What do detectors say about what serves, and what is known of it afterwards? Alerts, which come as CloudEvents.

    detector ── CloudEvent in a signed intent ──▶ endpoint.alerted/v1 in the log ──▶ rollouts see it, people are told

An alert says nothing about the past of a release: who asks, asks for what was raised since an entry of the log. Its
text stays outside of the log, as a document (spec/alert.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from lockgate.core import endpoint
from lockgate.core.breaker import RECENT
from lockgate.core.danger import Danger, Severity
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name

ACT = "alert.raise"
MAX_ALERT = 16 << 10
MAX_TEXT, MAX_WORD = 4000, 256
KEPT = 64  # kinds of alerts that are remembered of an endpoint

_EXTENSION = re.compile(r"[a-z0-9]{1,20}")  # CloudEvents 1.0.2 §3.1
_OUR_OWN = frozenset({"id", "source", "subject", "data", "specversion", "type", "datacontenttype"})


@dataclass(frozen=True, slots=True)
class Finding:
    """The data of an alert: what was seen, how bad it is, in which release if that is known, and in words."""

    kind: Danger
    severity: Severity
    release: Digest | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A CloudEvent that reads as an alert; who raised it, and whether they may, is not checked here."""

    id: str
    source: str
    endpoint: Endpoint
    finding: Finding
    document: bytes

    @property
    def digest(self) -> Digest:
        """What its intent names as `after`."""
        return Digest.of(self.document)


@dataclass(frozen=True, slots=True)
class Alerted:
    """A detector raised an alert about what serves at an endpoint."""

    type: ClassVar[str] = "endpoint.alerted/v1"
    endpoint: Endpoint
    danger: Danger
    severity: Severity
    release: Digest | None
    document: Digest
    by: Name
    order: Digest


@dataclass(frozen=True, slots=True)
class Raised:
    """Alerts of one sort: how many there were, the newest of them, and when the last ones came."""

    danger: Danger
    severity: Severity
    release: Digest | None
    count: int
    index: int
    at: datetime
    by: Name
    document: Digest
    recent: tuple[datetime, ...] | None = None

    @property
    def times(self) -> tuple[datetime, ...]:
        """When the last `RECENT` of them came, the newest last."""
        return self.recent or (self.at,)


@dataclass(frozen=True, slots=True)
class Alerts:
    """What detectors raised about an endpoint, one for each sort, the newest last."""

    kind: ClassVar[str] = "alerts"
    endpoint: Endpoint
    raised: tuple[Raised, ...]

    def since(self, index: int, release: Digest) -> tuple[Raised, ...]:
        """List what was raised after entry `index` about `release`, or about the endpoint as a whole."""
        return tuple(one for one in self.raised if one.index > index and one.release in (None, release))


def read_alert(event: object) -> Alert:
    """Read a CloudEvent in its JSON format (CloudEvents 1.0.2); raise `VerificationError` for anything else."""
    if not isinstance(event, Mapping):
        raise VerificationError("an alert is a CloudEvent: a JSON object")
    document = canonical.encode(event)
    if len(document) > MAX_ALERT:
        raise VerificationError(f"an alert has at most {MAX_ALERT} bytes, not {len(document)}")
    fixed = (("specversion", "1.0"), ("type", "alert/v1"), ("datacontenttype", "application/json"))
    for name, wanted in fixed:
        if event.get(name, wanted if name == "datacontenttype" else None) != wanted:
            raise VerificationError(f"{name} is {str(event.get(name))[:64]!a}, not {wanted}")
    _check_extensions(event)
    finding = plain.from_plain(Finding, event.get("data"), "data")
    if finding.text is not None and not 1 <= len(finding.text) <= MAX_TEXT:
        raise VerificationError(f"data.text has 1 to {MAX_TEXT} characters, not {len(finding.text)}")
    where = Endpoint.parse(_word(event, "subject"))
    return Alert(_word(event, "id"), _word(event, "source"), where, finding, document)


def key_of(alert: Alert, by: Name) -> Digest:
    """Name an alert once and for all: two of the same actor, source and id are one (CloudEvents 1.0.2 §3.1.1)."""
    return Digest.of(canonical.encode({"type": "alert-key/v1", "by": str(by), "source": alert.source, "id": alert.id}))


def check_about(alert: Alert, state: endpoint.State | None) -> None:
    """Raise `DeniedError` unless the alert is about an endpoint that there is, and a release that has a place there."""
    if state is None:
        raise DeniedError(f"nothing was ever activated at {alert.endpoint}")
    release = alert.finding.release
    if release is not None and release not in state.releases:
        raise DeniedError(f"{release} does not serve at {alert.endpoint}")


def evolve(state: Alerts | None, event: Alerted, index: int, at: datetime) -> Alerts:
    """Say what is known of an endpoint after an alert. If there are too many sorts, the least bad is forgotten."""
    state = state or Alerts(event.endpoint, ())
    sort = (event.danger, event.severity, event.release)
    same = [one for one in state.raised if (one.danger, one.severity, one.release) == sort]
    others = [one for one in state.raised if one not in same]
    if len(others) >= KEPT:
        others.remove(min(others, key=lambda one: (one.severity.rank, one.index)))
    times = (*(before for one in same for before in one.times), at)[-RECENT:]
    raised = Raised(*sort, sum(one.count for one in same) + 1, index, at, event.by, event.document, times)
    return replace(state, raised=(*others, raised))


def _word(event: Mapping[str, Json], name: str) -> str:
    found = event.get(name)
    if not isinstance(found, str) or not 1 <= len(found) <= MAX_WORD or not found.isprintable():
        raise VerificationError(f"{name} is no text of 1 to {MAX_WORD} characters that can be shown")
    return found


def _check_extensions(event: Mapping[str, Json]) -> None:
    """Let attributes of others pass as long as they are what CloudEvents allow; nobody here reads them."""
    for name in event.keys() - _OUR_OWN:
        if not _EXTENSION.fullmatch(name) or not isinstance(event[name], str | int):
            raise VerificationError(f"{name[:64]!a} is no attribute of a CloudEvent")
