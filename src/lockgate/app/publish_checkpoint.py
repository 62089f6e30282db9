"""What does the log promise to outsiders? A signed checkpoint: its size and root, never smaller, never another tree."""

from lockgate.app.installation import Installation
from lockgate.core.trust import Trust
from lockgate.errors import UnavailableError
from lockgate.formats.keys import Signer
from lockgate.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lockgate.tlog.merkle import verify_consistency
from lockgate.tlog.note import NoteSigner
from lockgate.tlog.tiles import consistency_proof


def publish_checkpoint(installation: Installation) -> str:
    """Sign the head of the log as it is, after proving to ourselves that it extends what was signed before."""
    trust = installation.trust().document
    size, root = installation.history.root()
    signer = note_signer(trust, installation.keys.checkpoint)
    newest = installation.checkpoints.newest()
    if newest is not None:
        before = open_checkpoint(newest, trust.log_verifiers())
        if (before.size, before.root) == (size, root):
            return newest
        if before.size > size:
            raise UnavailableError(
                f"the log has {size} entries, but {before.size} were signed: it lost some, nothing is signed"
            )
        proof = consistency_proof(before.size, size, installation.history.tile)
        verify_consistency(before.size, size, proof, before.root, root)
    note = sign_checkpoint(Checkpoint(trust.origin, size, root), signer)
    installation.checkpoints.publish(note, size, root)
    return note


def note_signer(trust: Trust, key: Signer) -> NoteSigner:
    """Make the signer of checkpoints (C2SP signed-note) from an Ed25519 key."""
    return NoteSigner(trust.origin, key.sign, key.public.raw)
