"""Is everything that was signed about a release shown, in in-toto's form, and does all of it hold?"""

import json
from dataclasses import replace

import jsonschema_rs
import pytest

from lockgate.app.show_statements import statements_about
from lockgate.core.exhibit import APPROVAL, OVERRIDDEN, REVIEWED, RISK_ASSESSMENT, open_shown, payload_of, staged
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.names import Tag
from lockgate.formats.statement import PROVENANCE, TEST_RESULT, VERIFICATION_SUMMARY
from tests.exceptional import (
    approved_for,
    authorized,
    failed_change,
    hurried,
    lenient_world,
    named,
    overridden,
    reviewed,
)

NEW, FIRST = Tag.parse("magika@1.1.0"), Tag.parse("magika@1.0.0")
TEXT, THING = {"type": "string", "minLength": 1}, {"type": "object"}
DIGESTS = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"}}


def wanted(*required, **members):
    return {"type": "object", "required": [*required], "properties": members}


RESOURCE = wanted(name=TEXT, uri=TEXT, digest=DIGESTS)
# after spec/v1/statement.md and spec/predicates/test-result.md of in-toto, provenance and VSA of SLSA v1
STATEMENT = wanted(
    "_type", "subject", "predicateType",
    _type={"const": "https://in-toto.io/Statement/v1"},
    subject={"type": "array", "minItems": 1, "items": {**RESOURCE, "required": ["digest"]}},
    predicateType={"type": "string", "pattern": "^https://"}, predicate=THING,
) | {"additionalProperties": False}  # fmt: skip
PREDICATES = {
    TEST_RESULT: wanted(
        "result", "configuration", result={"enum": ["PASSED", "WARNED", "FAILED"]},
        configuration={"type": "array", "items": RESOURCE},
    ),
    PROVENANCE: wanted(
        "buildDefinition", "runDetails",
        buildDefinition=wanted("buildType", "externalParameters", buildType=TEXT, externalParameters=THING),
        runDetails=wanted("builder", builder=wanted("id", id=TEXT), metadata=wanted(finishedOn=TEXT)),
    ),
    VERIFICATION_SUMMARY: wanted(
        "verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels",
        verifier=wanted("id", id=TEXT), timeVerified=TEXT, resourceUri=TEXT, policy=wanted(uri=TEXT, digest=DIGESTS),
        verificationResult={"enum": ["PASSED", "FAILED"]}, verifiedLevels={"type": "array", "items": TEXT},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def world():
    """An override, an approval in somebody's place, and an emergency that was reviewed."""
    found = lenient_world()
    number = failed_change(found)
    overridden(found, number)
    approved_for(found, number, "ann", "bob", named(found, "bob", "ann"))
    found.approve(number, "carol")
    found.activate(number)
    release = found.register("1.1.0", weights=b"fixed")
    found.attest(release, found.built())
    hurry = hurried(found, release)
    authorized(found, hurry)
    found.activate(hurry)
    reviewed(found, hurry)
    found.register("1.2.0", weights=b"else")
    return found


def shown(world, tag, trust=None):
    found = statements_about(world.installation, tag)
    stage = staged(found.passport, trust or world.trust, world.now)
    documents = (*found.passport.evidence, *found.decisions, *found.exhibits)
    return [open_shown(document.encode(), stage) for document in documents], documents


def test_everything_that_was_signed_about_a_release_is_shown_and_holds(world):
    first, _ = shown(world, FIRST)
    new, _ = shown(world, NEW)

    assert [one.predicate_type for one in first] == [
        PROVENANCE, TEST_RESULT, VERIFICATION_SUMMARY, OVERRIDDEN, APPROVAL, APPROVAL,
    ]  # fmt: skip
    assert [one.by for one in first[3:]] == ["olivia", "ann in the place of bob", "carol"]
    assert [one.predicate_type for one in new] == [
        PROVENANCE,
        VERIFICATION_SUMMARY,
        RISK_ASSESSMENT,
        APPROVAL,
        REVIEWED,
    ]
    assert [one.by for one in new[2:]] == ["alice", "olivia", "bob"]
    world.check()


def test_each_statement_has_the_form_that_its_specification_asks_for(world):
    for document in (*shown(world, FIRST)[1], *shown(world, NEW)[1]):
        statement = json.loads(payload_of(document.encode()))
        jsonschema_rs.validate(STATEMENT, statement)
        if statement["predicateType"] in PREDICATES:
            jsonschema_rs.validate(PREDICATES[statement["predicateType"]], statement["predicate"])


def test_a_release_that_nobody_decided_about_has_no_exhibits(world):
    found = statements_about(world.installation, Tag.parse("magika@1.2.0"))

    assert (found.decisions, found.exhibits) == ((), ())
    with pytest.raises(DeniedError, match="is not registered"):
        statements_about(world.installation, Tag.parse("magika@9.9.9"))


def test_the_exhibits_of_one_release_are_none_of_another(world):
    first, new = (statements_about(world.installation, tag) for tag in (FIRST, NEW))
    stage = staged(new.passport, world.trust, world.now)

    for document in (*first.passport.evidence, *first.decisions, *first.exhibits):
        with pytest.raises(VerificationError):
            open_shown(document.encode(), stage)


def test_the_word_of_whose_key_was_revoked_is_shown_and_does_not_hold(world):
    found = statements_about(world.installation, FIRST)
    actors = tuple(replace(one, keys=()) if str(one.name) == "carol" else one for one in world.trust.actors)
    stage = staged(found.passport, replace(world.trust, actors=actors), world.now)

    with pytest.raises(VerificationError, match="no key that is trusted"):
        open_shown(found.exhibits[-1].encode(), stage)
