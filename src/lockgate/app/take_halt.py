"""What becomes of what a node says that it stopped? It is verified, for whoever ordered it to be stopped."""

from datetime import datetime
from functools import partial

from lockgate.app.installation import Installation
from lockgate.core.endpoint import check_here
from lockgate.core.halt import Halt, open_halt
from lockgate.core.rights import check_right
from lockgate.errors import DeniedError
from lockgate.formats.names import Name


def take_halt(installation: Installation, document: bytes, sender: Name, now: datetime) -> Halt:
    """Verify what the node `sender` says that it stopped."""
    find = partial(installation.directory.actor, installation.trust().document, at=now)
    halt, node = open_halt(document, find)
    check_right("halt.send", node.roles, node.name)
    if node.name != sender:
        raise DeniedError(f"the halt is of {node.name}, the session of {sender}")
    check_here(halt.endpoint, installation.environment)
    return halt
