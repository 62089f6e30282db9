"""How do verified files get into a folder, for a server that somebody else starts? The storage step of a cluster.

    lockgate://ENV/NAME/sha256:… ──judge──▶ admission ──lease──▶ keys ──copy and hash──▶ folder ──▶ another container

It is for where `run` cannot be: whoever starts the server afterwards is not stopped by a lease. So the lease here only
proves that the release may serve now; what ends serving is the route (decision 0030).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lockgate.core.passport import Admission
from lockgate.errors import DeniedError, LockgateError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.loader.connection import Connection, ServerSource
from lockgate.loader.hand_over import lay_out
from lockgate.loader.host import Host
from lockgate.loader.opening import ask_lease_and_keys, judge_endpoint

_FORM = re.compile(r"lockgate://([^/]+/[^/]+)/(sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a storage step is asked for: a release, where it serves."""

    endpoint: Endpoint
    release: Digest

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `lockgate://ENV/NAME/sha256:…`."""
        found = _FORM.fullmatch(text)
        if not found:
            raise VerificationError(f"not a release like lockgate://prod/magika/sha256:…: {text[:200]!a}")
        return cls(Endpoint.parse(found[1]), Digest.parse(found[2]))

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"lockgate://{self.endpoint}/{self.release}"


def store_release(
    host: Host, stored: Stored, connection: Connection, into: Path, progress: Callable[[int, int], None] | None = None
) -> Admission:
    """Judge, lease, and copy every verified file into an empty folder; all of them, or an error and nothing.

    The dependency lock is copied, not compared: the server runs in another container, whose image the manifest names.

    Enforces: verified_loading
    """
    admission = _admitted(host, stored, connection)
    components = admission.permit.components
    files = {name: component.files for name, component in components.items()}
    total = sum(file.size or 0 for listed in files.values() for file in listed)
    _, keys = ask_lease_and_keys(host, admission, connection, "sealed")
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(done, total)

    try:
        lay_out(files, ServerSource(connection, keys), into, count)
    finally:
        keys.clear()
    return admission


def _admitted(host: Host, stored: Stored, connection: Connection) -> Admission:
    """Judge what serves at the endpoint, stable or candidate; raise unless one of them is the wanted release."""
    reasons: list[str] = []
    for candidate in (False, True):
        try:
            admission = judge_endpoint(host, stored.endpoint, connection, candidate=candidate)
        except LockgateError as e:
            reasons += e.reasons if isinstance(e, DeniedError) else (str(e),)
            continue
        if admission.permit.release.digest == stored.release:
            return admission
        reasons.append(f"{admission.permit.release.manifest.tag} serves at {stored.endpoint}")
    raise DeniedError(f"nothing lets {stored.release} serve at {stored.endpoint}", *dict.fromkeys(reasons))
