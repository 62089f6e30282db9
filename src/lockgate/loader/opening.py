"""What may be loaded, and where does it lie? The way from an endpoint's name to verified, sealed files.

    passport ──judge──▶ admission ──lease──▶ permission ──copy and hash──▶ files that nobody can change

Each step needs what the one before it gave, so none can be left out.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from lockgate.core.box import sealing_key
from lockgate.core.intent import sign_intent
from lockgate.core.passport import Admission, admit_candidate, admit_passport, parse_passport
from lockgate.core.release import Kind
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint
from lockgate.loader.connection import Connection, ServerSource
from lockgate.loader.hand_over import Handed, Progress, hand_over
from lockgate.loader.host import Host
from lockgate.loader.lease_clock import Held
from lockgate.loader.leasing import Asker, Claim, ask_lease_and_box, ask_leases, claim_of, held_or_denied
from lockgate.loader.namespace import PrivateMounts
from lockgate.loader.order_book import OrderBook
from lockgate.loader.source import DirectorySource, Source
from lockgate.loader.tree import walk


@dataclass(frozen=True, slots=True)
class Opened:
    """A release that this host has judged, may serve until `lease` is over, and whose files nobody can change."""

    admission: Admission
    files: Handed
    lease: Held


def connect(host: Host) -> Connection:
    """Speak to the server of this host, as its node."""
    return Connection(
        host.server,
        host.node,
        lambda intent: sign_intent(intent, host.key),
        tls=host.tls,
        environment=_environment(host),
    )


def judge_endpoint(
    host: Host, endpoint: Endpoint, connection: Connection, orders: OrderBook | None = None, *, candidate: bool = False
) -> Admission:
    """Fetch the passport of what should serve at `endpoint`, and judge it with this host's own trust and policy.

    Raises `DeniedError` or `VerificationError` with every reason; the server's word is not enough, and an order that
    this host keeps (`orders`, read from its disk if they are not given) counts more than any passport that does not
    lift it.

    Enforces: verified_loading
    """
    orders = orders or OrderBook(host, datetime.now(UTC))
    host.update.check_fresh(datetime.now(UTC))
    with host.looking():
        wanted = {"as": "candidate"} if candidate else {}
        passport = parse_passport(connection.fetch(f"/api/v1/endpoints/{endpoint}/passport", **wanted))
        admit = admit_candidate if candidate else admit_passport
        admission = admit(passport, endpoint, host.update.trust, host.policy, host.revoked, datetime.now(UTC))
        host.remember(admission, connection)
    orders.settle(admission)
    return admission


def check_unbound(admission: Admission) -> None:
    """Raise `DeniedError` for what holds bindings: only an agent grants them, and cuts them again.

    Enforces: emergency_shutdown
    """
    if bindings := admission.permit.rules.bindings:
        named = ", ".join(map(str, sorted(bindings)))
        raise DeniedError(f"{admission.permit.endpoint} may hold {named}, so it is served through an agent only")


def ask_lease(host: Host, admission: Admission, connection: Connection, how: str) -> Held:
    """Ask for a fresh lease; raise `DeniedError` if it is refused, `UnavailableError` if nobody answers.

    It must be for the activation that this host has judged: if the release was stopped and came back since, the change
    that brought it back is judged first. It lasts no longer than this host's own policy says.
    """
    claim = _unshut(host, admission)
    return held_or_denied(ask_leases(Asker(host, how), [claim], connection)[claim])


def ask_lease_and_keys(
    host: Host, admission: Admission, connection: Connection, how: str
) -> tuple[Held, dict[Digest, bytes]]:
    """Ask for a fresh lease and for the keys of the release's files, sealed to a key that is made for this question."""
    key, claim = X25519PrivateKey.generate(), _unshut(host, admission)
    boxed = ask_lease_and_box(Asker(host, how), claim, connection, sealing_key(key))
    return boxed.lease, boxed.open(key, host.node, claim)


def open_release(
    host: Host,
    endpoint: Endpoint,
    *,
    connection: Connection,
    mounts: PrivateMounts | None,
    directory: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Opened:
    """Judge, lease, verify while copying, and compare the dependency lock: all of it, or an error and nothing.

    The files come from the server's store, where they are encrypted, or from `directory` (COMPONENT/NAME below it),
    where they are plain; neither is trusted. The keys come with the lease and are forgotten when the files were read.

    Enforces: verified_loading
    """
    admission = judge_endpoint(host, endpoint, connection)
    keys: dict[Digest, bytes] = {}
    if directory:
        lease = ask_lease(host, admission, connection, "sealed")
    else:
        lease, keys = ask_lease_and_keys(host, admission, connection, "sealed")
    try:
        source = directory_source(admission, directory) if directory else ServerSource(connection, keys)
        return Opened(admission, open_files(admission, source, mounts, progress), lease)
    finally:
        keys.clear()


def directory_source(admission: Admission, directory: Path) -> Source:
    """Take the files from a directory, in which nothing may lie that nobody signed."""
    _check_no_extra(directory, admission)
    return DirectorySource(directory)


def open_files(
    admission: Admission,
    source: Source,
    mounts: PrivateMounts | None,
    progress: Callable[[int, int], None] | None,
) -> Handed:
    """Verify the files of what was judged while they are copied, and compare the dependency lock; else raise."""
    listed = {name: component.files for name, component in admission.permit.components.items()}
    total = sum(file.size or 0 for files in listed.values() for file in files)
    handed = hand_over(listed, source, mounts, _counted(progress, total))
    try:
        check_installed(admission, handed)
    except BaseException:
        handed.close()
        raise
    return handed


def installed_distributions() -> Mapping[str, str]:
    """List what is installed for this interpreter: name (as PEP 503 normalises it) and version.

    Of two with one name the first on the path counts, because that is the one which is imported.
    """
    installed: dict[str, str] = {}
    for found in metadata.distributions():
        installed.setdefault(_normal(str(found.metadata["Name"])), found.version)
    return installed


def check_lock(lock: bytes, installed: Mapping[str, str]) -> None:
    """Raise `VerificationError` unless every `name==version` of the dependency lock is installed in that version."""
    wanted = dict(_locked(lock))
    odd = [
        f"{name} is {installed.get(name, 'not installed')}, the lock says {version}"
        for name, version in sorted(wanted.items())
        if installed.get(name) != version
    ]
    if odd:
        raise VerificationError(f"the installed distributions are not those of the dependency lock: {'; '.join(odd)}")


def _check_no_extra(directory: Path, admission: Admission) -> None:
    """Raise `VerificationError` for a file in a component's directory that nobody signed."""
    for name, component in admission.permit.components.items():
        signed = {file.name for file in component.files} | {component.signature_name}
        with suppress(FileNotFoundError):
            for found, _ in walk(directory / name):
                if found not in signed:
                    raise VerificationError(f"{name}/{found} is there, but nobody signed it")


def check_installed(admission: Admission, handed: Handed) -> None:
    """Compare the dependency lock with what is installed for the interpreter that will run: `{python}`, this one."""
    manifest = admission.permit.release.manifest
    for name, part in manifest.components.items():
        if part.kind is not Kind.DEPENDENCY_LOCK:
            continue
        if manifest.serve.command[0] != "{python}":
            raise VerificationError(f"{manifest.tag} has a dependency lock, so its command must start with {{python}}")
        for file in admission.permit.components[name].files:
            check_lock(Path(handed.paths[f"{name}/{file.name}"]).read_bytes(), installed_distributions())


def _locked(lock: bytes) -> list[tuple[str, str]]:
    try:
        lines = [line.strip() for line in lock.decode().splitlines()]
    except UnicodeDecodeError as e:
        raise VerificationError("the dependency lock is not UTF-8") from e
    pinned = []
    for line in lines:
        name, equals, version = line.partition("==")
        if line and not line.startswith("#"):
            if not equals or not version or " " in line:
                raise VerificationError(f"the dependency lock has a line that is not NAME==VERSION: {line[:80]!a}")
            pinned.append((_normal(name), version))
    return pinned


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _unshut(host: Host, admission: Admission) -> Claim:
    """Claim what was judged, unless an order shuts it meanwhile, or only an agent may claim it."""
    check_unbound(admission)
    OrderBook(host, datetime.now(UTC)).check(admission.permit.endpoint)
    return claim_of(admission)


def _environment(host: Host) -> str:
    return str(host.trust.document.environment)


def _counted(progress: Callable[[int, int], None] | None, total: int) -> Progress:
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(done, total)

    return count
