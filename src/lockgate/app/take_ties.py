"""What becomes of what a node says that endpoints hold there? It is verified, for whoever looks."""

from datetime import datetime
from functools import partial

from lockgate.app.installation import Installation
from lockgate.core.endpoint import check_here
from lockgate.core.rights import check_right
from lockgate.core.tie import Ties, open_ties
from lockgate.errors import DeniedError
from lockgate.formats.names import Name


def take_ties(installation: Installation, document: bytes, sender: Name, now: datetime) -> Ties:
    """Verify what the node `sender` says that endpoints hold there."""
    find = partial(installation.directory.actor, installation.trust().document, at=now)
    ties, node = open_ties(document, find)
    check_right("ties.send", node.roles, node.name)
    if node.name != sender:
        raise DeniedError(f"the ties are of {node.name}, the session of {sender}")
    for tie in ties.ties:
        check_here(tie.endpoint, installation.environment)
    return ties
