"""What can a thief do who has the whole server, with every key of it? Forge a passport, and be refused by the host.

The thief signs a decision with the real key, writes a log of their own and signs its head with the real key. What they
do not have is a person's key: so they take the approvals that were given to another release, and hope.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lockgate.core import endpoint as at_endpoint
from lockgate.core.decision import Decision, TrainedOn, sign_decision
from lockgate.core.journal import Event, subject_of, write_fact
from lockgate.core.metadata import (
    LIFE,
    TIMESTAMP,
    Carried,
    root_of,
    slow_files,
    targets_of,
    write_snapshot,
    write_timestamp,
)
from lockgate.core.passport import Passport
from lockgate.core.policy import POLICY, Policy
from lockgate.core.proved import Logged
from lockgate.core.release import Manifest, Registered
from lockgate.core.revocation import Revocations
from lockgate.core.rights import Role
from lockgate.core.trust import TRUST, Actor, Agreed, Purpose, Trust
from lockgate.formats import dsse, plain, tuf
from lockgate.formats.cloudevent import CloudEvent, decode_entry, encode_entry
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PrivateKey
from lockgate.formats.names import Endpoint, Name
from lockgate.tlog.checkpoint import Checkpoint, sign_checkpoint
from lockgate.tlog.merkle import leaf_hash, tree_root
from lockgate.tlog.note import NoteSigner
from lockgate.tlog.proof import LogProof


def forge(genuine: Passport, stolen: Passport, home: Path, trust: Agreed[Trust], policy: Agreed[Policy]) -> Passport:
    """Forge a passport that lets the release of `stolen` serve where that of `genuine` does, with all server keys."""
    assert genuine.case is not None
    payload = dsse.parse(stolen.manifest.encode()).payload
    manifest, release = plain.decode(Manifest, payload), Digest.of(payload)
    content = replace(genuine.case.content, tag=manifest.tag, release=release)
    at = decode_entry(genuine.case.activated.entry.encode()).time
    number = genuine.case.number
    decision = Decision(
        content.endpoint, manifest.tag, release, number, at,
        manifest.created_at, policy.digest, trust.digest, (Name("bob"), Name("carol")), (Name("alice"),), {},
        TrainedOn(known=False, checksums={}), (), (),
    )  # fmt: skip
    signed = sign_decision(decision, _key(home, "vsa"))
    events = (
        _registered(stolen, manifest, release),
        at_endpoint.Activated(content.endpoint, manifest.tag, release, content.before, number, Digest.of(signed)),
    )
    registered, activated = _log(events, at, home, trust.document)
    case = replace(genuine.case, content=content, decision=signed.decode(), activated=activated)
    return replace(stolen, registered=registered, case=case)


def _registered(stolen: Passport, manifest: Manifest, release: Digest) -> Registered:
    bundles = {name: Digest.of(bundle.encode()) for name, bundle in stolen.bundles.items()}
    author = stolen.registration.intent.actor
    envelope = Digest.of(stolen.manifest.encode())
    return Registered(manifest.tag, release, envelope, bundles, stolen.registration.digest, author)


def _log(events: tuple[Event, Event], at: datetime, home: Path, trust: Trust) -> tuple[Logged, Logged]:
    """Write a log of two entries that never happened, and sign its head with the stolen key."""
    entries = []
    for index, event in enumerate(events):
        blank = CloudEvent("forged", trust.origin, "", str(subject_of(event, index)), at, "dave", None, "0", {})
        entries.append(encode_entry(write_fact(event, blank)))
    hashes = [leaf_hash(entry) for entry in entries]
    key = _key(home, "checkpoint")
    signer = NoteSigner(trust.origin, key.sign, key.public.raw)
    note = sign_checkpoint(Checkpoint(trust.origin, 2, tree_root(hashes)), signer)
    first, second = (
        Logged(entry.decode(), LogProof(index, (hashes[1 - index],), note).encode())
        for index, entry in enumerate(entries)
    )
    return first, second


def forge_updates(home: Path, folder: Path) -> None:
    """Publish rules in which mallory approves, signed with all that the server has: its key for what is newest."""
    online = _key(home, "tuf-online")
    held = plain.decode(Trust, dsse.parse((home / "ceremony" / "trust.json").read_bytes()).payload)
    policy = plain.decode(Policy, dsse.parse((home / "ceremony" / "policy.json").read_bytes()).payload)
    mallory = Actor(Name("mallory"), (Role.APPROVER, Role.OPERATOR), (_key(home, "export").public,))
    signers = tuple(one for one in held.signers if one.purpose is not Purpose.EXPORT)
    trust = replace(held, version=held.version + 1, actors=(*held.actors, mallory), signers=signers)
    carried = Carried(
        dsse.sign(plain.encode(trust), TRUST, [online]).encode(),
        dsse.sign(plain.encode(policy), POLICY, [online]).encode(),
        tuf.sign(root_of(trust), [online]).encode(),
        tuf.sign(targets_of(trust, policy), [online]).encode(),
    )
    snapshot = write_snapshot(trust, policy, carried.targets, Revocations(held.environment, ()), online)
    first = (home / "tuf" / "1.root.json").read_bytes()
    timestamp = write_timestamp(snapshot, datetime.now(UTC), LIFE, online)
    files = slow_files(carried, {1: first, trust.version: carried.root})
    for place, content in {**files, **snapshot.files, TIMESTAMP: timestamp}.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)


@contextmanager
def rogue_server(passport: Passport, endpoint: Endpoint) -> Iterator[str]:
    """Answer like a Lockgate server, with a forged passport."""
    answers = {
        "/api/v1/sessions": plain.encode({"token": "rogue"}),
        f"/api/v1/endpoints/{endpoint}/passport": plain.encode(passport),
    }

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = answers.get(self.path, b"{}")
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the standard library calls it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _key(home: Path, name: str) -> PrivateKey:
    return PrivateKey.from_pem((home / "keys" / f"{name}.pem").read_bytes())
