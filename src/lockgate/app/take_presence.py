"""What becomes of what a node says that runs there? The last word of each speaker is kept, and the log holds none."""

from datetime import datetime
from functools import partial

from lockgate.app.installation import Installation
from lockgate.core.endpoint import State, check_here
from lockgate.core.journal import endpoint_subject
from lockgate.core.presence import open_presence
from lockgate.core.rights import check_right
from lockgate.errors import DeniedError
from lockgate.formats.names import Name


def take_presence(installation: Installation, document: bytes, sender: Name, now: datetime) -> bool:
    """Keep what the node `sender` says that runs there; tell whether that was news.

    What it says of a release that should not run there is kept too: that is what somebody wants to know.
    """
    find = partial(installation.directory.actor, installation.trust().document, at=now)
    presence, node = open_presence(document, find)
    check_right("report.send", node.roles, node.name)
    if node.name != sender:
        raise DeniedError(f"the presence is of {node.name}, the session of {sender}")
    for endpoint in sorted({run.endpoint for run in presence.runs}):
        check_here(endpoint, installation.environment)
        if not isinstance(installation.catalog.find(endpoint_subject(endpoint)), State):
            raise DeniedError(f"nothing was ever activated at {endpoint}")
    return installation.presences.attend(presence, now)
