"""How is an instant written? RFC 3339 in UTC with microseconds: `2026-11-21T22:11:52.000000Z`."""

import re
from datetime import UTC, datetime

from lockgate.errors import VerificationError

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def write_instant(at: datetime) -> str:
    """Write `at`, which must know its zone."""
    assert at.tzinfo is not None, "an instant without a zone means nothing"
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_instant(text: str) -> datetime:
    """Read what `write_instant` writes, and nothing else."""
    if not _INSTANT.fullmatch(text):
        raise VerificationError(f"not an instant like 2026-11-21T22:11:52.000000Z: {text[:40]!a}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as e:
        raise VerificationError(f"no such instant: {text}") from e
