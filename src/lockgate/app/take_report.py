"""What becomes of what a node counts? The newest of what has a place at an endpoint is kept, and the log holds none."""

from datetime import datetime
from functools import partial

from lockgate.app.installation import Installation
from lockgate.core.endpoint import State, check_here
from lockgate.core.journal import endpoint_subject
from lockgate.core.report import Counted, open_report
from lockgate.core.rights import check_right
from lockgate.errors import DeniedError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name


def take_report(installation: Installation, document: bytes, sender: Name, now: datetime) -> int:
    """Keep what the node `sender` counted; return how many releases that was news about.

    What it says of a release that has no place at the endpoint is left out: it may have served there until just now.
    """
    find = partial(installation.directory.actor, installation.trust().document, at=now)
    report, node = open_report(document, find)
    check_right("report.send", node.roles, node.name)
    if node.name != sender:
        raise DeniedError(f"the report is of {node.name}, the session of {sender}")
    placed = {endpoint: _placed(installation, endpoint) for endpoint in {one.endpoint for one in report.counted}}
    counted: list[Counted] = [one for one in report.counted if one.release in placed[one.endpoint]]
    return installation.reports.take(report, counted)


def _placed(installation: Installation, endpoint: Endpoint) -> frozenset[Digest]:
    """List what may serve at an endpoint, or finish there; raise `DeniedError` for one that there is not."""
    check_here(endpoint, installation.environment)
    state = installation.catalog.find(endpoint_subject(endpoint))
    if not isinstance(state, State):
        raise DeniedError(f"nothing was ever activated at {endpoint}")
    return state.releases | {slot.release for slot in state.superseded or ()}
