"""How does the gate's answer travel? As a signed verification summary (SLSA VSA v1) about one release at one endpoint.

The summary is also the record of the release: who authorised it, what its tests said, who signed its components. It is
necessary and never sufficient: whoever loads judges the dossier again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from lockgate.core.evidence import Provenance, TestRun, subject_of
from lockgate.core.gate import Permit
from lockgate.core.override import SetAside
from lockgate.core.provider import ProviderModel, left_open
from lockgate.core.release import Release
from lockgate.core.trust import Purpose, Trust
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey, Signer
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.formats.statement import VERIFICATION_SUMMARY, Statement, Subject, parse_statement

VERIFIER = "https://lockgate.invalid/gate/v1"

_COMPARED = (
    "endpoint", "tag", "release", "change", "authorized_by", "components", "providers", "unpinned", "in_place",
    "trials", "aside", "emergency",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SignedPart:
    """Who signed a component: the fingerprint of the key, and the id of the certificate chain where there is one."""

    digest: Digest
    key: Digest
    chain: Digest | None


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What is known of the training data: checksums, or nothing (`known` false)."""

    known: bool
    checksums: Mapping[str, Digest]


@dataclass(frozen=True, slots=True)
class Decision:
    """The provenance record of a release at an endpoint, as the gate signs it.

    `passed_over` are statements that were held of the release and did not count, `observed` the entries about its
    provider models, where the policy wants those shown.
    """

    later: ClassVar[tuple[str, ...]] = ("observed",)
    endpoint: Endpoint
    tag: Tag
    release: Digest
    change: int
    decided_at: datetime
    created_at: datetime
    policy: Digest
    trust: Digest
    authorized_by: tuple[Name, ...]
    authors: tuple[Name, ...]
    components: Mapping[str, SignedPart]
    training_data: TrainedOn
    test_results: tuple[TestRun, ...]
    evidence: tuple[Digest, ...]
    providers: Mapping[str, ProviderModel] | None = None
    unpinned: tuple[str, ...] | None = None
    in_place: Mapping[Name, Name] | None = None
    trials: tuple[int, ...] | None = None
    passed_over: tuple[Digest, ...] | None = None
    aside: tuple[SetAside, ...] | None = None
    emergency: Digest | None = None
    observed: tuple[int, ...] | None = None


def decision_of(permit: Permit, change: int) -> Decision:
    """Write down what the gate decided, and on what.

    Enforces: provenance_record
    """
    manifest = permit.release.manifest
    about = [item.about for item in permit.evidence]
    known = [item.training_data for item in about if isinstance(item, Provenance) and item.training_data is not None]
    return Decision(
        endpoint=permit.endpoint,
        tag=manifest.tag,
        release=permit.release.digest,
        change=change,
        decided_at=permit.at,
        created_at=manifest.created_at,
        policy=permit.policy,
        trust=permit.trust,
        authorized_by=permit.approvers,
        authors=tuple(sorted(permit.authors)),
        components={name: SignedPart(c.dir_hash, c.signed_by.key_id, c.chain) for name, c in permit.components.items()},
        training_data=TrainedOn(bool(known), {name: d for data in known for name, d in data.items()}),
        test_results=tuple(item for item in about if isinstance(item, TestRun)),
        evidence=tuple(item.digest for item in permit.evidence),
        providers=permit.providers or None,
        unpinned=left_open(permit.providers) or None,
        in_place=permit.in_place or None,
        trials=tuple(trial.number for trial in permit.trials) or None,
        passed_over=permit.passed_over or None,
        aside=permit.aside or None,
        emergency=permit.emergency,
        observed=permit.observed or None,
    )


def sign_decision(decision: Decision, signer: Signer) -> bytes:
    """Write `decision` as a signed verification summary (slsa.dev/spec/v1.0/verification_summary)."""
    subject = Subject(str(decision.tag), {"sha256": decision.release.hex})
    evidence: Json = [{"digest": {"sha256": digest.hex}} for digest in decision.evidence]
    predicate: dict[str, Json] = {
        "verifier": {"id": VERIFIER},
        "timeVerified": plain.to_plain(decision.decided_at),
        "resourceUri": f"lockgate:{decision.endpoint}",
        "policy": {
            "uri": f"lockgate:policy/{decision.endpoint.environment}",
            "digest": {"sha256": decision.policy.hex},
        },
        "inputAttestations": evidence,
        "verificationResult": "PASSED",
        "verifiedLevels": [],
        "lockgate": plain.to_plain(decision),
    }
    statement = Statement((subject,), VERIFICATION_SUMMARY, predicate)
    return dsse.sign(statement.encode(), dsse.IN_TOTO, [signer]).encode()


def read_decision(document: bytes) -> Decision:
    """Read, unchecked, a decision of our own: what came in later is not of its case."""
    predicate = parse_statement(dsse.parse(document).payload).predicate
    return plain.from_plain(Decision, predicate.get("lockgate"), "decision")


def open_decision(document: bytes, permit: Permit, change: int, trust: Trust) -> Decision:
    """Verify that a trusted gate signed exactly the decision that follows from `permit`.

    Policy and trust may be later ones here than they were there; everything else must agree.
    """
    found, _ = open_summary(document, permit.release, trust, permit.at)
    wanted = decision_of(permit, change)
    for name in _COMPARED:
        if getattr(found, name) != getattr(wanted, name):
            raise VerificationError(f"the decision says another {name} than what follows from the evidence")
    if permit.rules.appearances is not None and found.observed not in (None, wanted.observed):
        raise VerificationError("the decision names other entries about provider models than the passport shows")
    return found


def open_summary(document: bytes, release: Release, trust: Trust, at: datetime) -> tuple[Decision, PublicKey]:
    """Verify that a trusted gate signed a decision about this release; whether it follows, only its dossier shows."""
    opened = dsse.open_envelope(dsse.parse(document), dsse.IN_TOTO, trust.keys_for(Purpose.VSA, at))
    statement = parse_statement(opened.payload)
    if statement.predicate_type != VERIFICATION_SUMMARY or statement.subject != (subject_of(release),):
        raise VerificationError("the decision is not a verification summary about this release")
    found = plain.from_plain(Decision, statement.predicate.get("lockgate"), "decision")
    if (found.tag, found.release) != (release.manifest.tag, release.digest):
        raise VerificationError("the decision says another tag or release than its subject")
    if statement.predicate.get("verificationResult") != "PASSED":
        raise VerificationError("the decision is not PASSED")
    return found, opened.keys[0]
