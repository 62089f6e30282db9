"""Who said so? A signed intent: what somebody wants done, to what, from which state to which, until when.

The session says who may speak; the intent proves who spoke. It lies in the log, so it can be shown to an outsider who
trusts neither the server nor its database. An approval is an intent (spec/intent.md).
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias

from lockgate.core.trust import Actor, Trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain, sshsig
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey, Signer
from lockgate.formats.names import Name

INTENT = "application/vnd.lockgate.intent+json"
NAMESPACE = "intent@lockgate"
MAX_TEXT = 256
MIN_NONCE = 16


@dataclass(frozen=True, slots=True)
class Head:
    """The log as its reader saw it: the tree size and root of a checkpoint."""

    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class Intent:
    """What somebody wants: `act` on `object`, taking it from `before` to `after`, before `expires`."""

    type: ClassVar[str] = "intent/v1"
    act: str
    object: str
    before: Digest | None
    after: Digest | None
    actor: Name
    nonce: str
    expires: datetime
    head: Head | None = None

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the canonical intent: what names this act, once and for all."""
        return Digest.of(plain.encode(self))


@dataclass(frozen=True, slots=True)
class KeyProof:
    """A signature over the DSSE pre-authentication encoding, by a key in a file."""

    type: ClassVar[str] = "key"
    signature: str


@dataclass(frozen=True, slots=True)
class SshProof:
    """An armored SSHSIG in the namespace `intent@lockgate`, by an SSH agent or key."""

    type: ClassVar[str] = "sshsig"
    signature: str


Proof: TypeAlias = KeyProof | SshProof


@dataclass(frozen=True, slots=True)
class SignedIntent:
    """An intent and its proof, as they were received: nothing is checked yet."""

    intent: Intent
    proof: Proof

    @property
    def digest(self) -> Digest:
        """The SHA-256 of the whole document, proof included."""
        return Digest.of(plain.encode(self))


@dataclass(frozen=True, slots=True)
class Said:
    """An intent that was verified: `actor` really said so, with `key`."""

    intent: Intent
    actor: Actor
    key: PublicKey


def sign_intent(intent: Intent, signer: Signer) -> SignedIntent:
    """Sign `intent` with a key that is at hand."""
    signature = signer.sign(dsse.pae(INTENT, plain.encode(intent)))
    return SignedIntent(intent, KeyProof(base64.b64encode(signature).decode()))


def open_intent(signed: SignedIntent, trust: Trust, at: datetime) -> Said:
    """Verify who said `signed`, and that it had not expired at `at`."""
    said = attribute_intent(signed, trust, at)
    if said.intent.expires <= at:
        name, act, object_ = said.actor.name, said.intent.act, said.intent.object
        raise DeniedError(f"the word of {name} to {act} {object_} expired at {said.intent.expires}")
    return said


def attribute_intent(signed: SignedIntent, trust: Trust, at: datetime) -> Said:
    """Verify who said `signed`, as somebody who might speak at `at`; it may have expired since."""
    intent = signed.intent
    if max(len(intent.act), len(intent.object), len(intent.nonce)) > MAX_TEXT or len(intent.nonce) < MIN_NONCE:
        raise VerificationError(f"intent holds text longer than {MAX_TEXT}, or a nonce shorter than {MIN_NONCE}")
    actor = trust.actor(intent.actor, at)
    return Said(intent, actor, _open_proof(signed.proof, plain.encode(intent), actor.keys))


def check_intent(said: Said, act: str, object_: object, *, before: Digest | None, after: Digest | None) -> None:
    """Raise `DeniedError` unless `said` asks for exactly this."""
    found = said.intent
    wanted = (act, str(object_), before, after)
    for name, has, needs in zip(("act", "object", "before", "after"), _parts(found), wanted, strict=True):
        if has != needs:
            raise DeniedError(f"the intent says {name} {has}, this is {name} {needs}")


def _parts(intent: Intent) -> tuple[str, str, Digest | None, Digest | None]:
    return intent.act, intent.object, intent.before, intent.after


def _open_proof(proof: Proof, message: bytes, keys: tuple[PublicKey, ...]) -> PublicKey:
    match proof:
        case SshProof():
            return sshsig.open_sshsig(proof.signature, message, NAMESPACE, keys)
        case KeyProof():
            signature = dsse.read_base64(proof.signature)
            envelope = dsse.Envelope(INTENT, message, (dsse.Signature("", signature),))
            return dsse.open_envelope(envelope, INTENT, keys).keys[0]
