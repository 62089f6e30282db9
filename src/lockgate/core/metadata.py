"""How do trust, policy and deny-list reach those who judge by them? TUF metadata, which follows from the documents.

    root, targets                   the keys and threshold of `trust.root`, offline: what is trusted, what is demanded
    timestamp, snapshot, revocations   a key of the server for `updates`: that it is the newest, and what is revoked

Every byte that is signed follows from the documents, and versions are counted from theirs, so two servers of one log
write the same files, and metadata that says anything else than the documents is refused. Carrying confers no trust.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from re import compile as pattern

from lockgate.core.policy import Policy
from lockgate.core.revocation import MAX_REVOCATIONS, Revocations
from lockgate.core.trust import Purpose, Root, Trust
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain, tuf
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey, Signer

TIMESTAMP = "timestamp.json"
TRUST_FILE, POLICY_FILE, DENY_FILE = "trust.json", "policy.json", "deny.json"
REVOCATIONS = "revocations"
LIFE = timedelta(minutes=10)
LIVES = (timedelta(seconds=10), timedelta(days=30))

_CONTENT = 1 << 32  # seconds since 1970 stay below it until 2106
_PLACE = pattern(
    r"timestamp\.json|[1-9][0-9]{0,15}\.(?:root|targets|snapshot|revocations)\.json"
    r"|(?:targets|signed)/[0-9a-f]{64}\.(?:trust|policy|deny)\.json"
)


@dataclass(frozen=True, slots=True)
class Carried:
    """The documents in force, each as its root keys signed it, and the metadata that carries them."""

    trust: bytes
    policy: bytes | None
    root: bytes
    targets: bytes


def root_of(trust: Trust) -> Mapping[str, Json]:
    """Write the root metadata that follows from a trust document: offline keys for what is trusted, online for when."""
    online, offline = online_keys(trust), trust.root
    fixed, quick = tuf.write_role(offline.keys, offline.threshold), tuf.write_role(online, 1)
    return {
        **tuf.write_head("root", trust.version, trust.expires),
        "consistent_snapshot": True,
        "keys": tuf.write_keys([*offline.keys, *online]),
        "roles": {"root": fixed, "targets": fixed, "snapshot": quick, "timestamp": quick},
    }


def targets_of(trust: Trust, policy: Policy | None) -> Mapping[str, Json]:
    """Write the targets metadata that follows from both documents; the deny-list is delegated to the online keys."""
    online = online_keys(trust)
    role = {"name": REVOCATIONS, **tuf.write_role(online, 1), "terminating": True, "paths": [DENY_FILE]}
    files = {TRUST_FILE: tuf.write_file(plain.encode(trust))}
    if policy is not None:
        files[POLICY_FILE] = tuf.write_file(plain.encode(policy))
    return {
        **tuf.write_head("targets", targets_version(trust, policy), _expires(trust, policy)),
        "targets": files,
        "delegations": {"keys": tuf.write_keys(online), "roles": [role]},
    }


def targets_version(trust: Trust, policy: Policy | None) -> int:
    """Count how often either document was changed: both count by one."""
    return trust.version + (policy.version if policy else 0)


def online_keys(trust: Trust) -> Sequence[PublicKey]:
    """List the keys that say what is newest; raise `VerificationError` if the trust names none."""
    named = [signer for signer in trust.signers if signer.purpose is Purpose.UPDATES]
    keys = [signer.key for signer in named if signer.key]
    if not keys or any(signer.until for signer in named):
        raise VerificationError(
            f"trust of {trust.environment} names no key for updates, or one with an end: it lasts as long as the trust"
        )
    return keys


def check_carried(carried: Carried, trust: Trust, policy: Policy | None, held: Root) -> None:
    """Raise `VerificationError` unless the metadata is what follows from the documents, signed as they are.

    A changed root is signed by the threshold of the one before it, `held`, and by its own (TUF §5.3.4).
    """
    check_follows(carried.root, root_of(trust))
    check_follows(carried.targets, targets_of(trust, policy))
    for document, signed_by in ((carried.root, held), (carried.root, trust.root), (carried.targets, trust.root)):
        check_signed(tuf.parse(document), signed_by)


def check_follows(document: bytes, wanted: Mapping[str, Json]) -> None:
    """Raise `VerificationError` unless metadata says exactly what it should."""
    if tuf.parse(document).message != tuf.message(wanted):
        role = str(wanted["_type"])
        raise VerificationError(f"the {role} metadata is not what follows from the trust and policy documents")


def check_signed(metadata: tuf.Metadata, root: Root) -> None:
    """Raise `VerificationError` unless a threshold of `root` signed the metadata."""
    signers = metadata.signers(root.keys)
    if len(signers) < root.threshold:
        role = str(metadata.signed.get("_type"))[:20]
        raise VerificationError(f"the {role} metadata is signed by {len(signers)} root keys, {root.threshold} needed")


def check_pinned(metadata: tuf.Metadata, pinned: Root) -> None:
    """Raise `VerificationError` unless root metadata gives its offline roles to exactly the pinned root."""
    roles, keys = metadata.signed.get("roles"), metadata.signed.get("keys")
    wanted = tuf.write_role(pinned.keys, pinned.threshold)
    if metadata.signed.get("_type") != "root" or not isinstance(roles, dict) or not isinstance(keys, dict):
        raise VerificationError("this is no root metadata")
    if roles.get("root") != wanted or roles.get("targets") != wanted:
        raise VerificationError("the root metadata is of another root than the one that was pinned")
    for key in pinned.keys:
        if keys.get(key.key_id.hex) != tuf.write_key(key):
            raise VerificationError("the root metadata holds another key under the id of a pinned one")
    check_signed(metadata, pinned)


def timestamp_version(content: int, now: datetime) -> int:
    """Count by content first, then by time: newer content is newer whatever the clock says."""
    return content * _CONTENT + int(now.timestamp())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the server says by itself: the files, and which snapshot binds them to what was signed offline."""

    version: int
    content: bytes
    files: Mapping[str, bytes]


def write_snapshot(
    trust: Trust, policy: Policy | None, targets: bytes, revoked: Revocations, signer: Signer
) -> Snapshot:
    """Write and sign the deny-list, and which versions belong together. `targets` is the metadata signed offline."""
    expires, denied = _expires(trust, policy), plain.encode(revoked)
    if len(denied) > MAX_REVOCATIONS:
        raise VerificationError(f"the deny-list has {len(denied)} bytes, more than {MAX_REVOCATIONS}")
    listed = targets_version(trust, policy) + len(revoked.entries)
    whole = targets_version(trust, policy) + listed
    deny = tuf.sign(
        {**tuf.write_head("targets", listed, expires), "targets": {DENY_FILE: tuf.write_file(denied)}}, [signer]
    ).encode()
    meta = {
        "targets.json": _meta(targets_version(trust, policy), targets),
        f"{REVOCATIONS}.json": _meta(listed, deny),
    }
    content = tuf.sign({**tuf.write_head("snapshot", whole, expires), "meta": meta}, [signer]).encode()
    files = {
        target_place(DENY_FILE, Digest.of(denied)): denied,
        f"{listed}.{REVOCATIONS}.json": deny,
        f"{whole}.snapshot.json": content,
    }
    return Snapshot(whole, content, files)


def write_timestamp(snapshot: Snapshot, period: datetime, life: timedelta, signer: Signer) -> bytes:
    """Say which snapshot is the newest, from the beginning of `period` for a life."""
    version = timestamp_version(snapshot.version, period)
    meta = {"snapshot.json": _meta(snapshot.version, snapshot.content)}
    return tuf.sign({**tuf.write_head("timestamp", version, period + life), "meta": meta}, [signer]).encode()


def period_of(now: datetime, life: timedelta) -> datetime:
    """Return when the half life began in which `now` is: in it every server signs the same timestamp."""
    half = max(1, int(life.total_seconds()) // 2)
    return datetime.fromtimestamp(int(now.timestamp()) // half * half, UTC)


def slow_files(carried: Carried, roots: Mapping[int, bytes]) -> Mapping[str, bytes]:
    """Lay out what was signed offline: the documents by the digest of what they say, and all roots."""
    files = {f"{number}.root.json": content for number, content in roots.items()}
    files[f"{tuf.version(tuf.parse(carried.targets).signed)}.targets.json"] = carried.targets
    for name, envelope in ((TRUST_FILE, carried.trust), (POLICY_FILE, carried.policy)):
        if envelope is not None:
            said = dsse.parse(envelope).payload
            files |= {target_place(name, Digest.of(said)): said, signed_place(name, Digest.of(said)): envelope}
    return files


def target_place(name: str, digest: Digest) -> str:
    """Say where a target lies (TUF §6, consistent snapshots)."""
    return f"targets/{digest.hex}.{name}"


def signed_place(name: str, digest: Digest) -> str:
    """Say where the signed envelope of a document lies: by the digest of what it says, which targets metadata pins."""
    return f"signed/{digest.hex}.{name}"


def check_place(place: str) -> str:
    """Return the place of a file; raise `VerificationError` for what is none of ours."""
    if not _PLACE.fullmatch(place):
        raise VerificationError(f"not the place of a file for hosts: {place[:100]!a}")
    return place


def _meta(version: int, content: bytes) -> Json:
    pinned = tuf.write_file(content)
    assert isinstance(pinned, dict)
    return {"version": version, **pinned}


def _expires(trust: Trust, policy: Policy | None) -> datetime:
    return min(trust.expires, policy.expires) if policy else trust.expires
