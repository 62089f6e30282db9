"""How does an entry of the log read? As a CloudEvents 1.0 envelope in canonical JSON, at most 16 KiB.

Leaves are these exact bytes: a verifier hashes what it received and never writes it anew. Names of actors are
pseudonyms of the trust document; reasons, prompts and other free text stay outside, as digests (spec/log-event.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from lockgate.errors import VerificationError
from lockgate.formats import canonical, plain
from lockgate.formats.digest import Digest

MAX_ENTRY = 16 * 1024


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One entry of the log (CloudEvents 1.0.2 §3, with the extensions actor, intent and salt).

    `actor` said it, `intent` is the digest of the signed document in which they did; `salt` keeps the hash of the
    entry from being guessed. `time` is evidence, not order: order is the leaf index.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    actor: str
    intent: Digest | None
    salt: str
    data: Mapping[str, Any]  # JSON: its meaning is the type's
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"


def encode_entry(event: CloudEvent) -> bytes:
    """Write an entry; raise `VerificationError` when it is larger than the log takes."""
    entry = plain.encode(event)
    if len(entry) > MAX_ENTRY:
        raise VerificationError(f"log entry has {len(entry)} bytes, more than the {MAX_ENTRY} allowed")
    return entry


def decode_entry(entry: bytes) -> CloudEvent:
    """Read an entry; raise `VerificationError` unless these are its canonical bytes."""
    event = plain.from_plain(CloudEvent, canonical.parse(entry, limit=MAX_ENTRY), "entry")
    if plain.encode(event) != entry:
        raise VerificationError("log entry is not canonical JSON")
    return event
