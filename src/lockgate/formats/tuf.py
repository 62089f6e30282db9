"""How is the metadata written that carries trust, policy and deny-list to hosts (TUF v1.0.31 §4), and who signed it?

    {"signed": {"_type": …, "version": …, "expires": …, …}, "signatures": [{"keyid": …, "sig": hex}]}

What is signed is OLPC canonical JSON, which differs from RFC 8785 only in text that holds control characters. A key
has one id here, that of our own (`PublicKey.key_id`), so nobody counts twice by naming a key twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lockgate.errors import VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey, Signer

SPECIFICATION = "1.0.31"
MAX_METADATA = 512_000
MAX_SIGNATURES = 32

_SCHEMES = {"ed25519": "ed25519", "secp256r1": "ecdsa-sha2-nistp256", "secp384r1": "ecdsa-sha2-nistp384"}


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; `key_id` says whose it claims to be."""

    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata as it was received: nothing in it is checked yet."""

    signed: Mapping[str, Json]
    signatures: tuple[Signature, ...]

    @property
    def message(self) -> bytes:
        """What the signatures are over."""
        return message(self.signed)

    def encode(self) -> bytes:
        """Write the metadata as a file."""
        written: Json = [{"keyid": one.key_id, "sig": one.signature.hex()} for one in self.signatures]
        return canonical.encode({"signatures": written, "signed": self.signed})

    def signers(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Return those of `keys` that really signed, each once."""
        return tuple(key for key in dict.fromkeys(keys) if _has_signed(key, self))

    def also(self, signers: Sequence[Signer]) -> "Metadata":
        """Add the signatures of more keys."""
        return self.joined(sign(self.signed, signers))

    def joined(self, other: "Metadata") -> "Metadata":
        """Put the signatures of two copies together, one for each key."""
        fresh = {one.key_id for one in other.signatures}
        kept = tuple(one for one in self.signatures if one.key_id not in fresh)
        return Metadata(self.signed, (*kept, *other.signatures))


def message(signed: Json) -> bytes:
    """Write what is signed: OLPC canonical JSON, which escapes nothing but quotes and backslashes."""
    content = canonical.encode(signed)  # raises for what is no canonical value
    return content if b"\\" not in content else _olpc(signed).encode()  # they differ in what they escape, and how


def sign(signed: Mapping[str, Json], signers: Sequence[Signer]) -> Metadata:
    """Sign with each of `signers`."""
    content = message(signed)
    return Metadata(signed, tuple(Signature(one.public.key_id.hex, one.sign(content)) for one in signers))


def parse(data: bytes, *, limit: int = MAX_METADATA) -> Metadata:
    """Read metadata; raise `VerificationError` for anything else."""
    value = canonical.parse_object(data, limit=limit)
    signed, listed = value.get("signed"), value.get("signatures")
    if value.keys() != {"signed", "signatures"} or not isinstance(signed, dict) or not isinstance(listed, list):
        raise VerificationError("not TUF metadata: wanted signed and signatures, nothing else")
    if len(listed) > MAX_SIGNATURES:
        raise VerificationError(f"TUF metadata has {len(listed)} signatures, more than {MAX_SIGNATURES}")
    return Metadata(signed, tuple(_signature(one) for one in listed))


def write_key(key: PublicKey) -> Json:
    """Write a public key (TUF §4.2.1)."""
    public = key.raw.hex() if key.algorithm == "ed25519" else key.pem.decode()
    kind = "ed25519" if key.algorithm == "ed25519" else "ecdsa"
    return {"keytype": kind, "scheme": _SCHEMES[key.algorithm], "keyval": {"public": public}}


def write_keys(keys: Iterable[PublicKey]) -> Json:
    """Write keys under their ids."""
    return {key.key_id.hex: write_key(key) for key in keys}


def write_role(keys: Iterable[PublicKey], threshold: int) -> Mapping[str, Json]:
    """Write who signs a role: `threshold` of these keys."""
    return {"keyids": sorted(key.key_id.hex for key in keys), "threshold": threshold}


def write_head(role: str, version: int, expires: datetime) -> Mapping[str, Json]:
    """Write what every role begins with."""
    whole = expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"_type": role, "spec_version": SPECIFICATION, "version": version, "expires": whole}


def write_file(content: bytes) -> Json:
    """Write the length and the hash that pin a file."""
    return {"length": len(content), "hashes": {"sha256": Digest.of(content).hex}}


def expiry(signed: Mapping[str, Json]) -> datetime:
    """Read until when metadata counts."""
    try:
        return datetime.strptime(str(signed.get("expires")), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as e:
        raise VerificationError(f"TUF metadata expires at {str(signed.get('expires'))[:40]!a}, no instant") from e


def version(signed: Mapping[str, Json]) -> int:
    """Read the version of metadata."""
    found = signed.get("version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise VerificationError(f"TUF metadata has the version {str(found)[:40]!a}")
    return found


def _has_signed(key: PublicKey, metadata: Metadata) -> bool:
    for one in metadata.signatures:
        if one.key_id == key.key_id.hex:
            try:
                key.verify(one.signature, metadata.message)
            except VerificationError:
                continue
            return True
    return False


def _signature(value: Json) -> Signature:
    if not isinstance(value, dict) or value.keys() != {"keyid", "sig"}:
        raise VerificationError("not a TUF signature: wanted keyid and sig")
    key_id, text = value["keyid"], value["sig"]
    try:
        signature = bytes.fromhex(str(text))
    except ValueError as e:
        raise VerificationError("a TUF signature is not hexadecimal") from e
    if not isinstance(key_id, str) or signature.hex() != text:
        raise VerificationError("a TUF signature is not lower-case hexadecimal, or its keyid is not text")
    return Signature(key_id, signature)


def _olpc(value: Json) -> str:
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}"'
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_olpc(name)}:{_olpc(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(_olpc, value)) + "]"
    return canonical.encode(value).decode()
