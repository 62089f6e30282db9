"""How does a whole installation behave? One in memory, spoken to like a person, that checks itself after each test.

`World` has the people, the CI and the keys of a small company; `alice` writes, `bob` and `carol` approve, `dave`
operates, `olivia` watches over security, `ann` audits, `root1..3` are offline keys. `check()` re-derives all state from
the log, proves every entry under a signed checkpoint and compares it with the world.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from lockgate.app import adopt
from lockgate.app.activate import activate
from lockgate.app.attest import attest
from lockgate.app.decide_change import approve, open_change
from lockgate.app.installation import Installation, Keys
from lockgate.app.issue_passport import passport_for
from lockgate.app.keep_blob import keep_blob
from lockgate.app.ports import Receipt
from lockgate.app.propose import propose
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.app.publish_updates import carried_rules, deny_list, publish_updates
from lockgate.app.register import Submission, register
from lockgate.app.revoke import offboard, revoke_key, revoke_release
from lockgate.app.roll_back import roll_back
from lockgate.app.shut_down import shut_down
from lockgate.core.ceremony import draft, sign
from lockgate.core.change import Change, Content, RuleChange, Ruling
from lockgate.core.endpoint import State, nothing_at
from lockgate.core.evidence import Provenance, TestRun, Verdict, provenance, subject_of, test_result
from lockgate.core.intent import Intent, SignedIntent, sign_intent
from lockgate.core.journal import STATES, Subject, change_subject, endpoint_subject, read_fact, release_subject, replay
from lockgate.core.metadata import Carried
from lockgate.core.passport import Admission, Passport, admit_passport
from lockgate.core.policy import Approvals, Evaluation, Lease, Policy, Rules
from lockgate.core.release import MANIFEST, Contract, Kind, Manifest, Part, Record, Release, Serve
from lockgate.core.revocation import Revocations
from lockgate.core.rights import Role
from lockgate.core.trust import MANIFESTS, Actor, Purpose, Root, Trust, TrustedSigner
from lockgate.drivers.memory import Memory, MemoryBlobs, MemoryHeads, MemoryUpdates, MemoryVault
from lockgate.drivers.postgres import Postgres
from lockgate.drivers.tuf_folder import TufFolder
from lockgate.errors import LockgateError
from lockgate.formats import dsse, oms, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PrivateKey
from lockgate.formats.names import Endpoint, Name, Tag, Version
from lockgate.formats.statement import PROVENANCE, TEST_RESULT, Statement
from lockgate.tlog.checkpoint import open_checkpoint
from lockgate.tlog.merkle import leaf_hash, verify_inclusion
from lockgate.tlog.tiles import inclusion_proof
from tests.retold import BEGINNING, tell

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PROD = Endpoint.parse("prod/magika")
SUITE, CONTENT = "file-types", Digest.of(b"suite")
PEOPLE = {
    "alice": (Role.AUTHOR,),
    "bob": (Role.APPROVER,),
    "carol": (Role.APPROVER,),
    "dave": (Role.OPERATOR,),
    "olivia": (Role.SECURITY_AUTHORITY,),
    "ann": (Role.AUDITOR, Role.ADMIN),
    "host-1": (Role.AGENT,),
    "ci": (Role.CI,),
    "guard": (Role.DETECTOR,),
}


@cache
def key(name: str) -> PrivateKey:
    """Make the key called `name`: always the same one."""
    return PrivateKey.from_seed(hashlib.sha256(name.encode()).digest())


def trust(environment: str = "prod") -> Trust:
    """Write the trust document of an environment."""
    return _trust(environment, NOW, tuple(PEOPLE.items()))


@cache
def _trust(environment: str, now: datetime, people: tuple[tuple[str, tuple[Role, ...]], ...]) -> Trust:
    actors = tuple(Actor(Name(name), roles, (key(name).public,)) for name, roles in people)
    kinds = (*(kind.value for kind in Kind), MANIFESTS)
    signers = (
        TrustedSigner(Name("ci-components"), Purpose.COMPONENT, kinds, key("components").public),
        TrustedSigner(Name("ci-results"), Purpose.RESULT, (PROVENANCE, TEST_RESULT), key("results").public),
        *(
            TrustedSigner(Name(f"server-{purpose}"), purpose, (), key(f"{environment}-{purpose}").public)
            for purpose in (Purpose.VSA, Purpose.LEASE, Purpose.CHECKPOINT, Purpose.UPDATES)
        ),
        TrustedSigner(Name("dev-export"), Purpose.EXPORT, ("dev",), key("dev-export").public),
    )
    root = Root(2, tuple(key(f"root{number}").public for number in (1, 2, 3)))
    expires, origin = now + timedelta(days=36_500), f"{environment}.example/changes"
    return Trust(Name(environment), 1, expires, origin, root, actors, signers)


def rules() -> Rules:
    """Write what the endpoint of the tests demands."""
    return Rules(
        components=(Kind.WEIGHTS, Kind.CONFIG),
        provenance=True,
        evaluations=(Evaluation(SUITE, {"accuracy": "0.95"}, 30, (CONTENT,)),),
        approvals=Approvals(2, Role.APPROVER),
        lease=Lease(30, "stop"),
        rollback_seconds=60,
        hand_over="sealed",
    )


def policy(environment: str = "prod") -> Policy:
    """Write the policy of an environment."""
    ruled, expires = {f"{environment}/magika": rules()}, NOW + timedelta(days=36_500)
    return Policy(Name(environment), 1, expires, ruled, Approvals(2, Role.APPROVER))


NOTHING_REVOKED = Revocations(Name("prod"), ())


def agreed(document: object, payload_type: str, *signers: str) -> bytes:
    """Sign a trust or policy document with root keys."""
    names = signers or ("root1", "root2")
    return dsse.sign(plain.encode(document), payload_type, [key(name) for name in names]).encode()


def carried(trust: Trust, policy: Policy | None, *signers: str, held: Carried | None = None) -> Carried:
    """Hold a ceremony: root keys sign both documents and the metadata that carries them."""
    ceremony = draft(trust, policy, held)
    for name in signers or ("root1", "root2"):
        ceremony, _ = sign(ceremony, key(name), more=True)
    return ceremony.carried


@cache
def _first(said: bytes, ruled: bytes | None) -> Carried:
    """Sign the first rules, once for whatever they say: a test may change the world before it makes one."""
    return carried(plain.decode(Trust, said), plain.decode(Policy, ruled) if ruled else None)


def host_home(folder: Path, server: str = "http://127.0.0.1:1", *, updates: Path | None = None, more: str = "") -> Path:
    """Install a serving host: its key, and the root that it pins; it is fed by its server, or by a folder."""
    (folder / "keys").mkdir(parents=True, exist_ok=True)
    (folder / "keys" / "node.pem").write_bytes(key("host-1").pem)
    fed = f'updates = "{updates}"\n' if updates else ""
    (folder / "host.toml").write_text(f'node = "host-1"\nserver = "{server}"\n{fed}{more}\n')
    (folder / "root.json").write_bytes(plain.encode(trust().root))
    return folder


def file_digest(name: str, content: bytes) -> oms.FileDigest:
    """Measure one small file as the tree walker does."""
    chunks = tuple(hashlib.sha256(content[at : at + oms.CHUNK]).digest() for at in range(0, len(content), oms.CHUNK))
    return oms.FileDigest(name, Digest.of(content), len(content), oms.CHUNK, chunks)


class World:
    """One installation in memory, and everybody who speaks to it."""

    def __init__(
        self,
        environment: str = "prod", log: Memory | Postgres | None = None, *,
        founded_by: Trust | None = None, ruled: bool = True,
    ) -> None:  # fmt: skip
        self.now, self.nonces, self.story = NOW, 0, BEGINNING
        self.trust, self.policy = founded_by or trust(environment), policy(environment)
        self.memory, self.files = log or Memory(self.trust.origin), dict[Digest, bytes]()
        log, self.blobs, self.vault = self.memory, MemoryBlobs(), MemoryVault()
        keys = Keys(*(key(f"{environment}-{purpose}") for purpose in ("vsa", "lease", "export", "updates")))
        self.heads = MemoryHeads(self.trust.origin, key(f"{environment}-checkpoint"))
        self.installation = Installation(
            Name(environment), log, log, log, log, self.blobs, keys,
            updates=MemoryUpdates(), vault=self.vault, heads=self.heads, reads=log,
            reports=log, presences=log, controllers=log,
        )  # fmt: skip
        said = plain.encode(self.trust), plain.encode(self.policy) if ruled else None
        tell(self, said, lambda: adopt.found(self.installation, _first(*said), self.trust.root, self.now))

    def say(
        self,
        who: str,
        act: str,
        object_: object,
        *,
        before: Digest | None = None,
        after: Digest | None = None,
        lasts: timedelta = timedelta(hours=1),
    ) -> SignedIntent:
        """Sign an intent as `who`."""
        self.nonces += 1
        nonce = f"nonce-{self.nonces:012}"
        return sign_intent(Intent(act, str(object_), before, after, Name(who), nonce, self.now + lasts), key(who))

    def submission(
        self, version: str = "1.0.0", weights: bytes = b"", lock: bytes = b"", hosted: bytes = b"",
        held: Mapping[str, Mapping[str, bytes]] | None = None, **changes: object,
    ) -> tuple[Submission, Manifest]:  # fmt: skip
        """Sign the components and the manifest of a small release."""
        weighed = {"model.onnx": weights or b"weights " + version.encode()}
        contents: dict[str, Mapping[str, bytes]] = {"weights": weighed, "config": {"config.json": b"{}"}}
        contents |= held or {}
        if lock:
            contents["dependency-lock"] = {"requirements.txt": lock}
        if hosted:
            contents["provider-model"] = {"provider.json": hosted}
        parts, bundles = {}, {}
        for name, files in contents.items():
            for content in files.values():
                self.files[Digest.of(content)] = content
                keep_blob(self.installation, [content], Digest.of(content), self.now)
            digests = [file_digest(file, content) for file, content in files.items()]
            bundle = oms.seal(digests, key("components"))
            bundles[name] = bundle.decode()
            parts[name] = Part(Kind(name), oms.parse(bundle).dir_hash, Digest.of(bundle))
        contract = Contract(("bytes",), ("label",), ("json", "python"), ())
        serve = Serve(("python3", "serve.py", "{model}"), {})
        about = (Name("magika"), Version.parse(version), "Apache-2.0", NOW, (Name("alice"),))
        manifest = replace(Manifest(*about, parts, contract, serve), **changes)  # type: ignore[arg-type]
        providers = {"provider-model": hosted.decode()} if hosted else None
        return Submission(sign_manifest(manifest), bundles, providers=providers), manifest

    def register(self, version: str = "1.0.0", who: str = "alice", **changes: object) -> Release:
        """Register a small release."""
        submitted, manifest = self.submission(version, **changes)  # type: ignore[arg-type]
        digest = Digest.of(plain.encode(manifest))
        said = self.say(who, "release.register", manifest.tag, after=digest)
        register(self.installation, submitted, said, self.now)
        return Release(manifest, digest, (key("components").public,))

    def statement(self, release: Release, run: TestRun | Provenance, signer: str = "results") -> bytes:
        """Sign a statement about a release."""
        said = (TEST_RESULT, test_result(run)) if isinstance(run, TestRun) else (PROVENANCE, provenance(run))
        statement = Statement((subject_of(release),), *said)
        return dsse.sign(statement.encode(), dsse.IN_TOTO, [key(signer)]).encode()

    def attest(self, release: Release, *runs: TestRun | Provenance) -> None:
        """Attest what happened to a release; by default that it was built and passed its tests."""
        for run in runs or (self.built(), self.ran()):
            document = self.statement(release, run)
            said = self.say("ci", "release.attest", release.manifest.tag, after=Digest.of(document))
            attest(self.installation, release.manifest.tag, document, said, self.now)

    def ran(self, result: Verdict = Verdict.PASSED, accuracy: str = "0.99") -> TestRun:
        """Describe a run of the suite."""
        suite, found = (SUITE, "1.0.0", "harness", "2.0.0"), {"accuracy": accuracy}
        return TestRun(result, *suite, {"accuracy": "0.95"}, found, self.now, CONTENT)

    def built(self) -> Provenance:
        """Describe where a release came from."""
        return Provenance("https://example.com/train/v1", "https://example.com/ci", "alice", None, self.now)

    def open(self, release: Release, who: str = "alice", *, resumes: bool = False) -> int:
        """Open a change that brings `release` to the endpoint; return its number."""
        stable = self.endpoint().stable
        before = stable.release if stable else None
        tag = release.manifest.tag
        digest = Digest.of(plain.encode(self.policy))
        content = Content(
            "normal", PROD, tag, release.digest, before, self.endpoint().epoch, resumes, digest, "because"
        )
        said = self.say(who, "change.open", PROD, before=before, after=content.digest)
        return open_change(self.installation, content, said, self.now).first

    def propose(self, document: Trust | Policy, /, who: str = "ann", reason: str = "because", **changes: object) -> int:
        """Propose the next trust or policy; return the number of the change."""
        kind, held = rule_of(document), self.installation.policy()
        before = self.installation.trust().digest if kind == "trust" else held.digest
        digest = Digest.of(plain.encode(document))
        content = RuleChange(kind, document.environment, before, digest, document.version, reason)
        content = replace(content, **changes)  # type: ignore[arg-type]
        said = self.say(who, "rules.propose", content.environment, before=content.before, after=content.digest)
        return propose(self.installation, content, plain.encode(document), said, self.now).first

    def approve(self, number: int, *people: str, lasts: timedelta = timedelta(hours=1)) -> None:
        """Approve a change as each of `people`."""
        for who in people or ("bob", "carol"):
            said = self.say(
                who, "change.approve", change_subject(number), after=self.change(number).content, lasts=lasts
            )
            approve(self.installation, number, said, self.now)

    def activate(self, number: int, who: str = "dave") -> Receipt:
        """Carry a change out."""
        said = self.say(who, "change.activate", change_subject(number), after=self.change(number).content)
        return activate(self.installation, number, said, self.now)

    def serve(self, version: str = "1.0.0", **changes: object) -> Release:
        """Bring a release all the way to the endpoint."""
        return tell(self, None if changes else ("serve", version), lambda: self._serve(version, **changes))

    def _serve(self, version: str, **changes: object) -> Release:
        release = self.register(version, **changes)  # type: ignore[arg-type]
        self.attest(release)
        self.approve(number := self.open(release))
        self.activate(number)
        return release

    def roll_back(self, who: str = "dave") -> Receipt:
        """Return the endpoint to its former release."""
        state = self.endpoint()
        before = state.stable.release if state.stable else None
        after = state.former.release if state.former else None
        said = self.say(who, "endpoint.roll-back", PROD, before=before, after=after)
        return roll_back(self.installation, PROD, said, self.now)

    def shut_down(self, who: str = "olivia") -> Receipt:
        """Suspend the endpoint."""
        return shut_down(self.installation, PROD, self.say(who, "endpoint.suspend", PROD), self.now)

    def revoke(self, what: str, who: str = "olivia", reason: str = "it leaks") -> Receipt:
        """Revoke a release by its tag, or the key of somebody by their name."""
        why = Digest.of(reason.encode())
        if "@" in what:
            record = self.record(what)
            said = self.say(who, "release.revoke", what, before=record.release, after=why)
            return revoke_release(self.installation, Tag.parse(what), reason, said, self.now)
        revoked = key(what).public.key_id
        said = self.say(who, "key.revoke", revoked, before=revoked, after=why)
        return revoke_key(self.installation, revoked, reason, said, self.now)

    def offboard(self, person: str, who: str = "olivia", reason: str = "left") -> Receipt:
        """Off-board somebody."""
        said = self.say(who, "person.offboard", person, after=Digest.of(reason.encode()))
        return offboard(self.installation, Name(person), reason, said, self.now)

    def adopt(
        self, trust: Trust, policy: Policy | None, *signers: str, who: str = "ann", changes: Sequence[int] | None = None
    ) -> Receipt:
        """Adopt the next rules after a ceremony of `signers`; others approve them first, unless `changes` are named."""
        held, _ = carried_rules(self.installation)
        signed = carried(trust, policy, *signers, held=held)
        before, after = self.installation.rulebook().targets, Digest.of(signed.targets)
        said = self.say(who, "rules.adopt", self.installation.environment, before=before, after=after)
        numbers = self.approved(trust, policy) if changes is None else changes
        return adopt.adopt_rules(self.installation, signed, numbers, said, self.now)

    def approved(self, *documents: Trust | Policy | None) -> list[int]:
        """Propose and approve whatever is not in force, as far as it can be; return the numbers of the changes."""
        in_force = (self.installation.written_trust().digest, self.installation.policy().digest)
        numbers = []
        for document in documents:
            if document is not None and Digest.of(plain.encode(document)) not in in_force:
                with suppress(LockgateError):
                    numbers.append(number := self.propose(document))
                    self.approve(number)
        return numbers

    def feed(self, folder: Path, now: datetime | None = None) -> Path:
        """Publish what hosts follow into a folder, as of the real clock: python-tuf reads no other."""
        publish_updates(replace(self.installation, updates=TufFolder(folder)), now or datetime.now(UTC))
        return folder

    def admit(self, passport: Passport | None = None) -> Admission:
        """Judge a passport as a serving host does, with trust and policy of its own."""
        held = self.installation
        found = passport or passport_for(held, PROD)
        return admit_passport(found, PROD, held.written_trust(), held.policy(), deny_list(held), self.now)

    def endpoint(self) -> State:
        """Return what the world says of the endpoint."""
        found = self.memory.find(endpoint_subject(PROD))
        return found if isinstance(found, State) else nothing_at(PROD)

    def change(self, number: int) -> Change:
        """Return what the world says of a change."""
        found = self.memory.find(change_subject(number))
        assert isinstance(found, Change)
        return found

    def record(self, tag: str) -> Record:
        """Return what the world says of a release."""
        found = self.memory.find(release_subject(Tag.parse(tag)))
        assert isinstance(found, Record)
        return found

    def check(self) -> None:
        """Re-derive all state from the log, prove every entry, compare both with the world."""
        entries, tile = list(self.memory.entries(0, self.memory.size())), cache(self.memory.tile)
        derived: Mapping[Subject, object] = replay(entries)
        assert derived == {subject: self.memory.find(subject) for subject in derived}
        assert len(derived) == sum(len(self.memory.listing(kind, limit=1_000_000)) for kind in STATES)
        head = open_checkpoint(publish_checkpoint(self.installation), [self.heads.signer.verifier])
        assert head.size == len(entries)
        for index, entry in enumerate(entries):
            read_fact(entry)
            verify_inclusion(leaf_hash(entry), index, head.size, inclusion_proof(index, head.size, tile), head.root)


def rule_of(document: Trust | Policy) -> Ruling:
    """Say which of the two a document is."""
    return "trust" if isinstance(document, Trust) else "policy"


def sign_manifest(manifest: Manifest, signer: str = "components") -> str:
    """Sign a release manifest."""
    return dsse.sign(plain.encode(manifest), MANIFEST, [key(signer)]).encode().decode()
