"""What does the log promise to outsiders? A signed checkpoint: its size and root, never smaller, never another tree.

The key lies with the signer, who remembers what it signed and refuses to go back. We prove the growth to ourselves
first, so that a log which was put back is called by its name, and frozen.
"""

from dataclasses import replace

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.errors import ConflictError, LockgateError, UnavailableError, VerificationError
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint

_PATIENCE = 10  # heads that others may sign while we read


def publish_checkpoint(installation: Installation) -> str:
    """Have the head of the log signed as it is; raise `UnavailableError` while the log is frozen."""
    with installation.watch.signing():
        for _ in range(_PATIENCE):
            try:
                return _published(installation)
            except ConflictError:  # another server had a later head signed
                installation.watch.look()
    raise UnavailableError(f"the log grew {_PATIENCE} times while its head was to be signed")


def anchored(installation: Installation, receipt: Receipt) -> Receipt:
    """Have the signer remember what was appended; say in the receipt whether it does. The act stands either way."""
    try:
        size = int(publish_checkpoint(installation).split("\n")[1])
    except LockgateError:
        return replace(receipt, anchored=False)
    return replace(receipt, anchored=size >= receipt.stop)


def _published(installation: Installation) -> str:
    watch = installation.watch
    known = watch.known(to_act=True)
    trust = installation.written_trust().document  # a head that a revoked key signed is still our memory
    verifiers = trust.log_verifiers()
    size, root = installation.history.root()
    watch.check(known, size, root)
    head = Checkpoint(trust.origin, size, root)
    newest = installation.checkpoints.newest()
    if newest is not None:
        before = open_checkpoint(newest, verifiers)
        if before == head:
            return newest
        watch.check(before, size, root)
    last = open_checkpoint(installation.heads.last(), verifiers)
    if last.size > size:
        raise ConflictError(f"the log was read at {size} entries, and {last.size} were signed meanwhile")
    note = installation.heads.sign(head, watch.prove(last, head))
    if open_checkpoint(note, verifiers) != head:
        raise VerificationError("the signer signed another head than it was asked to")
    installation.checkpoints.publish(note, size, root)
    watch.anchored = max(watch.anchored, size)
    return note
