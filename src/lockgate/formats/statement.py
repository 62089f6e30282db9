"""What is claimed about which digest? In-toto statements, version 1.

{"_type": "https://in-toto.io/Statement/v1",
 "subject": [{"name": "magika@1.0.0", "digest": {"sha256": "…"}}],
 "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
 "predicate": {…}}
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lockgate.errors import VerificationError
from lockgate.formats import canonical
from lockgate.formats.canonical import Json

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERIFICATION_SUMMARY = "https://slsa.dev/verification_summary/v1"
MAX_SUBJECTS = 16


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about: a name and its digests by algorithm (hex)."""

    name: str
    digest: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim about its subjects (in-toto attestation spec v1, statement.md)."""

    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, Json]

    def encode(self) -> bytes:
        """Write the statement as canonical JSON."""
        subjects: Json = [{"name": s.name, "digest": dict(s.digest)} for s in self.subject]
        return canonical.encode(
            {
                "_type": STATEMENT,
                "subject": subjects,
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )


def parse_statement(payload: bytes) -> Statement:
    """Read a statement; raise `VerificationError` for anything else."""
    found = canonical.parse_object(payload)
    if found.get("_type") != STATEMENT or found.keys() != {"_type", "subject", "predicateType", "predicate"}:
        raise VerificationError("not an in-toto statement v1")
    kind, predicate, subjects = found["predicateType"], found["predicate"], found["subject"]
    if not isinstance(kind, str) or not isinstance(predicate, dict):
        raise VerificationError("the statement has no predicate type, or its predicate is not an object")
    if not isinstance(subjects, list) or not 1 <= len(subjects) <= MAX_SUBJECTS:
        raise VerificationError(f"the statement has not 1 to {MAX_SUBJECTS} subjects")
    return Statement(tuple(_subject(value) for value in subjects), kind, predicate)


def _subject(value: Json) -> Subject:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise VerificationError("a subject of the statement has no name")
    digests = value.get("digest")
    if not isinstance(digests, dict) or not digests or not all(isinstance(d, str) for d in digests.values()):
        raise VerificationError("a subject of the statement has no digests")
    return Subject(str(value["name"]), {name: str(digest) for name, digest in digests.items()})
