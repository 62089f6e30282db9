"""Who signed these bytes? DSSE v1.0.2 envelopes.

Envelopes of OMS bundles carry no key id, those of in-toto statements carry one; both are read here, and a key counts
once however often it signed. Nothing is returned that was not verified: `open_envelope` gives the payload together
with the keys that really signed it.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lockgate.errors import VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.keys import PublicKey, Signer

IN_TOTO = "application/vnd.in-toto+json"
MAX_SIGNATURES = 16


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope; `key_id` is a hint, and may be empty."""

    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope as it was received: nothing in it is checked yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def to_json(self) -> dict[str, Json]:
        """Give the envelope as JSON (DSSE envelope.md)."""
        signatures = [{"keyid": s.key_id, "sig": _write(s.signature)} for s in self.signatures]
        return {"payload": _write(self.payload), "payloadType": self.payload_type, "signatures": signatures}

    def encode(self) -> bytes:
        """Write the envelope as canonical JSON."""
        return canonical.encode(self.to_json())


@dataclass(frozen=True, slots=True)
class Opened:
    """A payload, and the keys that were seen to have signed it: at least one, none twice."""

    payload: bytes
    keys: tuple[PublicKey, ...]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Encode what is signed (DSSE protocol.md, PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, payload_type: str, signers: Sequence[Signer]) -> Envelope:
    """Sign `payload` with each of `signers`."""
    message = pae(payload_type, payload)
    signatures = tuple(Signature(signer.public.key_id.hex, signer.sign(message)) for signer in signers)
    return Envelope(payload_type, payload, signatures)


def parse(data: bytes, *, limit: int = canonical.MAX_BYTES, unsigned: bool = False) -> Envelope:
    """Read an envelope from JSON bytes; `unsigned`: it may wait for its first signature."""
    return from_json(canonical.parse_object(data, limit=limit), unsigned=unsigned)


def from_json(value: Json, *, unsigned: bool = False) -> Envelope:
    """Read an envelope that is part of another document."""
    if not isinstance(value, dict) or value.keys() != {"payload", "payloadType", "signatures"}:
        raise VerificationError("not a DSSE envelope: wanted payload, payloadType and signatures, nothing else")
    kind, listed = value["payloadType"], value["signatures"]
    least = 0 if unsigned else 1
    if not isinstance(kind, str) or not isinstance(listed, list) or not least <= len(listed) <= MAX_SIGNATURES:
        raise VerificationError(f"DSSE envelope has no payload type, or not 1 to {MAX_SIGNATURES} signatures")
    return Envelope(kind, read_base64(value["payload"]), tuple(_signature(member) for member in listed))


def open_envelope(envelope: Envelope, payload_type: str, keys: Iterable[PublicKey]) -> Opened:
    """Return the payload with those of `keys` that signed it; raise `VerificationError` if none did."""
    if envelope.payload_type != payload_type:
        raise VerificationError(f"DSSE payload is {envelope.payload_type[:80]!a}, not {payload_type}")
    message = pae(payload_type, envelope.payload)
    signed = tuple(key for key in dict.fromkeys(keys) if _has_signed(key, envelope.signatures, message))
    if not signed:
        raise VerificationError("no key that is trusted for this has signed it")
    return Opened(envelope.payload, signed)


def _has_signed(key: PublicKey, signatures: Iterable[Signature], message: bytes) -> bool:
    for signature in signatures:
        if signature.key_id in ("", key.key_id.hex):
            try:
                key.verify(signature.signature, message)
            except VerificationError:
                continue
            return True
    return False


def _signature(value: Json) -> Signature:
    if not isinstance(value, dict) or not {"sig"} <= value.keys() <= {"sig", "keyid"}:
        raise VerificationError("not a DSSE signature: wanted sig and keyid")
    key_id = value.get("keyid", "")
    if not isinstance(key_id, str):
        raise VerificationError("DSSE keyid is not text")
    return Signature(key_id, read_base64(value["sig"]))


def read_base64(value: Json) -> bytes:
    """Read base64 in its one canonical spelling, so that a document has one digest."""
    if not isinstance(value, str):
        raise VerificationError("DSSE payload or signature is not text")
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError as e:
        raise VerificationError("DSSE payload or signature is not base64") from e
    if _write(data) != value:
        raise VerificationError("DSSE payload or signature is not in its canonical base64")
    return data


def _write(data: bytes) -> str:
    return base64.b64encode(data).decode()
