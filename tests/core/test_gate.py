"""What does the gate refuse? Everything but one good case: each test spoils one thing of it."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest

from lockgate.core.evidence import Verdict
from lockgate.core.gate import admit, authors_of
from lockgate.core.policy import Approvals
from lockgate.core.release import Kind, Part
from lockgate.core.revocation import Revocation, Revocations
from lockgate.core.rights import Role
from lockgate.core.trust import MANIFESTS, Purpose, TrustedSigner
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, oms
from lockgate.formats.certificates import key_of
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.formats.statement import TEST_RESULT
from tests.authority import authority, leaf
from tests.core.dossiers import (
    AT,
    EXPIRES,
    MINUTE,
    NUMBER,
    REGISTERED,
    TICK,
    agree,
    approval,
    built,
    content_of,
    denied,
    dossier,
    evidence,
    good,
    judged,
    release,
    ruling,
    run,
    say,
    submission,
    trusting,
)
from tests.world import NOTHING_REVOKED, NOW, PROD, file_digest, key, policy, sign_manifest, trust

DAY = timedelta(days=1)
KINDS = tuple(kind.value for kind in Kind)
OTHER = Endpoint.parse("prod/other")
NOBODY = Digest.of(b"")


def test_the_good_case_is_permitted_and_the_permit_says_why():
    permit = judged()

    assert permit.endpoint == PROD and permit.at == AT and permit.rules == policy().endpoints[str(PROD)]
    assert (permit.policy, permit.trust) == (agree(policy()).digest, agree(trust()).digest)
    assert permit.release.digest == release().digest and permit.components.keys() == {"weights", "config"}
    assert permit.approvers == (Name("bob"), Name("carol")) and permit.authors == {Name("alice")}
    assert [item.about for item in permit.evidence] == [built(), run()]


def test_admitting_says_what_was_signed_by_whom():
    manifest, bundles, meant = submission()

    admitted = admit(manifest, bundles, trust(), NOTHING_REVOKED, REGISTERED)

    assert admitted.release.manifest == meant and admitted.release.digest == release().digest
    assert admitted.components["weights"].signed_by == key("components").public


def unsigned_manifest():
    return replace(good(), manifest=sign_manifest(submission()[2], "mallory").encode())


def other_payload():
    spoilt = dsse.parse(good().manifest)
    return replace(good(), manifest=replace(spoilt, payload=spoilt.payload.replace(b"1.0.0", b"1.0.1")).encode())


def other_type():
    opened = dsse.parse(good().manifest)
    return replace(good(), manifest=dsse.sign(opened.payload, "text/plain", [key("components")]).encode())


def bundles(**changes):
    found = {**good().bundles, **changes}
    return replace(good(), bundles={name: bundle for name, bundle in found.items() if bundle is not None})


def swapped():
    return oms.seal([file_digest("model.onnx", b"backdoor")], key("components"))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (unsigned_manifest(), "no key that is trusted for this has signed it"),
        (other_payload(), "no key that is trusted for this has signed it"),
        (other_type(), "DSSE payload is 'text/plain'"),
        (replace(good(), manifest=b"{}"), "not a DSSE envelope"),
        (dossier(weights_by="mallory"), "component weights: no key that is trusted"),
        (dossier(weights_by="results"), "component weights: no key that is trusted"),
        (dossier(chunked=False), "component weights: its bundle carries no chunk digests"),
        (bundles(weights=swapped()), "component weights: the bundle is not the one"),
        (bundles(weights=good().bundles["config"]), "component weights: the bundle is not the one"),
        (bundles(weights=b"{}"), "component weights: the bundle is not the one"),
        (bundles(weights=None), "no bundle, or no component, named 'weights'"),
        (bundles(adapter=swapped()), "no bundle, or no component, named 'adapter'"),
    ],
)
def test_a_release_that_does_not_verify_is_denied(case, reason):
    assert len(denied(f"the release does not verify: .*{reason}", case)) == 1


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("ci-components", {"scope": KINDS}, "does not verify: no key that is trusted"),
        ("ci-components", {"scope": (*KINDS[1:], MANIFESTS)}, "component weights: no key that is trusted"),
        ("ci-components", {"scope": ("weights", MANIFESTS)}, "component config: no key that is trusted"),
        ("ci-components", {"purpose": Purpose.RESULT}, "does not verify: no key that is trusted"),
        ("ci-components", {"until": REGISTERED}, "does not verify: no key that is trusted"),
        ("ci-components", {"key": key("mallory").public}, "does not verify: no key that is trusted"),
        ("ci-components", {"person": Name("bob")}, "bob is an author of this change"),
        ("ci-results", {"until": AT}, "no provenance by a trusted signer"),
        ("ci-results", {"purpose": Purpose.COMPONENT}, "no provenance by a trusted signer"),
        ("ci-results", {"scope": (TEST_RESULT,)}, "no provenance by a trusted signer"),
        ("ci-results", {"scope": ("https://slsa.dev/provenance/v1",)}, "suite file-types has no result"),
        ("ci-results", {"key": key("mallory").public}, "suite file-types has no result"),
        ("ci-results", {"person": Name("alice")}, "PASSED by the word of alice, who is an author"),
        ("bob", {"roles": (Role.AUTHOR, Role.ADMIN)}, "bob approved without the role approver"),
        ("bob", {"roles": ()}, "bob approved without the role approver"),
        ("bob", {"until": AT}, "nobody called bob may act"),
        ("bob", {"keys": (key("mallory").public,)}, "no key that is trusted for this has signed it"),
        ("bob", {"keys": ()}, "no key that is trusted for this has signed it"),
        ("alice", {"until": REGISTERED}, "nobody called alice may act"),
        ("alice", {"keys": (key("mallory").public,)}, "no key that is trusted for this has signed it"),
    ],
)
def test_whom_the_trust_document_does_not_name_for_it_has_no_say(name, changes, reason):
    denied(reason, trusted=trusting(name, **changes))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ci-components", {"until": REGISTERED + TICK}),
        ("ci-components", {"person": Name("alice")}),
        ("ci-results", {"until": AT + TICK}),
        ("ci-results", {"person": Name("bob")}),
        ("bob", {"until": AT + TICK}),
        ("alice", {"until": AT + TICK}),
        ("alice", {"roles": (Role.APPROVER,)}),
    ],
)
def test_whom_the_trust_document_just_names_for_it_is_heard(name, changes):
    judged(trusted=trusting(name, **changes))


def approvals(*approved):
    return replace(good(), approvals=approved)


CONTENT = good().content
BOB, CAROL = (approval(CONTENT, who) for who in ("bob", "carol"))
FORGED = approval(CONTENT, "carol", signer="mallory")
GARBLED = replace(CAROL, proof=replace(CAROL.proof, signature="!"))
OTHER_WORDS = replace(CAROL, intent=replace(CAROL.intent, nonce="another nonce, same proof"))
ENOUGH_OF_IT = base64.b64encode(bytes(64)).decode()


@pytest.mark.parametrize(
    ("approved", "counted", "why"),
    [
        ([], 0, None),
        ([BOB], 1, None),
        ([BOB, BOB], 1, None),
        ([BOB, approval(CONTENT, "bob")], 1, None),
        ([BOB, FORGED], 1, "no key that is trusted for this has signed it"),
        ([BOB, GARBLED], 1, "not base64"),
        ([BOB, OTHER_WORDS], 1, "no key that is trusted for this has signed it"),
        ([BOB, replace(CAROL, proof=replace(CAROL.proof, signature=ENOUGH_OF_IT))], 1, "no key that is trusted"),
        ([BOB, approval(CONTENT, "alice")], 1, "alice approved without the role approver"),
        ([BOB, approval(CONTENT, "dave")], 1, "dave approved without the role approver"),
        ([BOB, approval(CONTENT, "ann")], 1, "ann approved without the role approver"),
        ([BOB, approval(CONTENT, "nobody")], 1, "nobody called nobody may act"),
        ([BOB, approval(CONTENT, "carol", expires=AT)], 1, "the word of carol to change.approve change/7 expired"),
        ([BOB, approval(CONTENT, "carol", number=NUMBER + 1)], 1, "the intent says object change/8"),
        ([BOB, approval(CONTENT, "carol", after=NOBODY)], 1, "the intent says after sha256:e3b0"),
        ([BOB, approval(CONTENT, "carol", after=None)], 1, "the intent says after None"),
        ([BOB, approval(CONTENT, "carol", before=NOBODY)], 1, "the intent says before sha256:e3b0"),
        ([BOB, approval(CONTENT, "carol", act="change.reject")], 1, "the intent says act change.reject"),
        ([BOB, approval(replace(CONTENT, reason="another"), "carol")], 1, "the intent says after"),
    ],
)
def test_approvals_that_are_too_few_or_not_what_they_should_be_are_denied(approved, counted, why):
    reasons = denied("of 2 approvals", approvals(*approved))

    assert reasons[0] == f"{counted} of 2 approvals by somebody with the role approver who is no author"
    assert [reason for reason in reasons[1:] if why is None or why not in reason] == []
    assert len(reasons) == (1 if why is None else 2)


def test_approvals_just_inside_are_enough():
    permit = judged(approvals(approval(CONTENT, "carol", expires=AT + TICK), BOB, BOB, FORGED))

    assert permit.approvers == (Name("bob"), Name("carol"))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_approvals_as_the_policy_asks_for_are_wanted(count):
    people = ("bob", "carol")[: count - 1]
    ruled = ruling(approvals=Approvals(count, Role.APPROVER))

    denied(f"{count - 1} of {count} approvals", dossier(approvers=people), ruled=ruled)


@pytest.mark.parametrize(
    "case",
    [
        dossier(opener="bob"),
        dossier(registrant="bob"),
        dossier(authors=("alice", "bob")),
    ],
    ids=["opener", "registrant", "named author"],
)
def test_an_author_cannot_approve(case):
    assert "bob is an author of this change and cannot approve it" in denied("1 of 2 approvals", case)


def test_an_author_cannot_approve_by_naming_somebody_else_as_opener():
    opening = say("bob", "change.open", PROD, after=CONTENT.digest, signer="mallory")

    reasons = denied("no key that is trusted for this has signed it", opening=opening)

    assert "bob is an author of this change and cannot approve it" in reasons


@pytest.mark.parametrize("person", [Name("bob"), None])
def test_who_holds_an_authority_is_an_author_of_what_it_vouches_for(person):
    root = authority("root")
    signer = leaf(root)
    held = TrustedSigner(Name("house-ca"), Purpose.COMPONENT, KINDS, root=root.pem.decode(), person=person)
    trusted = replace(trust(), signers=(*trust().signers, held))
    admitted = admit(good().manifest, good().bundles, trusted, NOTHING_REVOKED, NOW)
    sealed = oms.seal([file_digest("a", b"a")], signer.signer, certificates=[signer.der])
    from lockgate.core.component import open_component

    vouched = open_component(sealed, [], roots=[root.pem], at=NOW)
    expected = {Name("alice")} | ({person} if person else set())
    assert authors_of(replace(admitted, components={"weights": vouched}), trusted) == expected
    assert authors_of(admitted, trusted) == {Name("alice")}


def test_a_certificate_is_judged_when_the_release_was_registered():
    root = authority("root")
    signer = leaf(root)
    sealed = oms.seal([file_digest("model.onnx", b"weights")], signer.signer, certificates=[signer.der])
    part = Part(Kind.WEIGHTS, oms.parse(sealed).dir_hash, Digest.of(sealed))
    manifest = sign_manifest(replace(submission()[2], components={"weights": part})).encode()
    held = TrustedSigner(Name("house-ca"), Purpose.COMPONENT, KINDS, root=root.pem.decode())
    trusted = replace(trust(), signers=(*trust().signers, held))

    assert admit(manifest, {"weights": sealed}, trusted, NOTHING_REVOKED, NOW).components["weights"].chain is not None
    with pytest.raises(VerificationError, match="component weights: "):
        admit(manifest, {"weights": sealed}, trusted, NOTHING_REVOKED, NOW + timedelta(days=40))
    for certificate, error, reason in (
        (signer, DeniedError, "key .* is revoked"),
        (root, VerificationError, "weights"),
    ):
        gone = Revocation("key", key_of(certificate.der).key_id, None, (), "lost", Name("olivia"), NOBODY, NOW, 1)
        with pytest.raises(error, match=reason):
            admit(manifest, {"weights": sealed}, trusted, Revocations(trusted.environment, (gone,)), NOW)


OTHER_CONTENT = content_of(release(), endpoint=OTHER)


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ({"endpoint": OTHER}, "the change is for prod/other, not for prod/magika"),
        ({"release": NOBODY}, "the change is for sha256:e3b0.*, not for sha256:"),
        ({"tag": Tag.parse("magika@1.0.1")}, "the change is for magika@1.0.1, not for magika@1.0.0"),
    ],
)
def test_a_change_about_something_else_is_denied(spoilt, reason):
    content = replace(CONTENT, **spoilt)
    opening = say("alice", "change.open", PROD, before=content.before, after=content.digest)
    approved = tuple(approval(content, who) for who in ("bob", "carol"))

    assert len(denied(reason, content=content, opening=opening, approvals=approved)) == 1


@pytest.mark.parametrize(
    ("field", "said", "reason"),
    [
        ("opening", say("alice", "change.open", OTHER, after=CONTENT.digest), "the intent says object prod/other"),
        ("opening", say("alice", "change.open", PROD, after=NOBODY), "the intent says after sha256:e3b0"),
        ("opening", say("alice", "change.open", PROD, before=NOBODY, after=CONTENT.digest), "the intent says before"),
        ("opening", say("alice", "change.approve", PROD, after=CONTENT.digest), "the intent says act change.approve"),
        ("opening", say("nobody", "change.open", PROD, after=CONTENT.digest), "nobody called nobody may act"),
        ("opening", say("alice", "change.open", PROD, after=CONTENT.digest, signer="bob"), "no key that is trusted"),
        ("registration", say("alice", "release.register", "magika@1.0.0", after=NOBODY), "the intent says after"),
        ("registration", say("alice", "release.register", "magika@1.0.1", after=release().digest), "says object"),
        ("registration", say("alice", "change.open", "magika@1.0.0", after=release().digest), "says act change.open"),
        (
            "registration",
            say("alice", "release.register", "magika@1.0.0", before=NOBODY, after=release().digest),
            "says before sha256:e3b0",
        ),
        (
            "registration",
            say("alice", "release.register", "magika@1.0.0", after=release().digest, signer="bob"),
            "no key that is trusted",
        ),
    ],
)
def test_an_opening_or_a_registration_that_nobody_said_is_denied(field, said, reason):
    assert len(denied(reason, **{field: said})) == 1


def test_an_opening_is_from_the_state_that_its_content_names():
    content = content_of(release(), before=NOBODY)
    approved = tuple(approval(content, who) for who in ("bob", "carol"))
    case = replace(good(), content=content, approvals=approved)

    judged(case, opening=say("alice", "change.open", PROD, before=NOBODY, after=content.digest))
    denied("the intent says before None", case, opening=say("alice", "change.open", PROD, after=content.digest))


def test_an_opening_may_have_expired_since():
    opening = say("alice", "change.open", PROD, after=CONTENT.digest, expires=REGISTERED)

    judged(opening=opening)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"endpoint": OTHER}, "the policy of prod does not name prod/other, so nothing may serve there"),
        ({"endpoint": Endpoint.parse("dev/magika")}, "dev/magika is judged with trust of prod, policy of prod"),
        ({"trusted": trust("dev")}, "prod/magika is judged with trust of dev, policy of prod"),
        ({"ruled": policy("dev")}, "prod/magika is judged with trust of prod, policy of dev"),
        ({"trusted": replace(trust(), expires=AT)}, "^the trust document expired at 2026-11-21 12:10:00"),
        ({"ruled": replace(policy(), expires=AT)}, "^the policy document expired at 2026-11-21 12:10:00"),
        ({"ruled": replace(policy(), endpoints={})}, "the policy of prod does not name prod/magika"),
        ({"ruled": ruling(components=(Kind.WEIGHTS, Kind.GUARDRAIL))}, "the release has no guardrail component"),
    ],
)
def test_what_the_policy_does_not_allow_is_denied(changes, reason):
    assert len(denied(reason, **changes)) == 1


def test_documents_are_good_until_the_instant_at_which_they_expire():
    judged(trusted=replace(trust(), expires=AT + TICK), ruled=replace(policy(), expires=AT + TICK))


def test_both_documents_are_named_when_both_have_expired():
    stale = {"trusted": replace(trust(), expires=AT), "ruled": replace(policy(), expires=AT)}

    assert [reason[:13] for reason in denied("expired", **stale)] == ["the trust doc", "the policy do"]


def test_all_reasons_are_given_at_once_and_then_why_others_did_not_count():
    case = replace(
        evidence(run(result=Verdict.FAILED, metrics={"accuracy": "0.9"})),
        approvals=(BOB, FORGED),
        content=OTHER_CONTENT,
    )
    case = replace(case, evidence=(*case.evidence[1:], b"{}"))

    reasons = denied("the change is for", case, ruled=ruling(components=(Kind.PROMPT,)))

    said = " | ".join(reasons)
    parts = ["the intent says after", "change is for prod/other", "no prompt", "no provenance", "FAILED", "accuracy"]
    parts += ["0 of 2 approvals", "not a DSSE envelope", "the intent says after", "no key that is trusted"]
    assert [part for part in parts if part not in said] == []
    assert len(reasons) == len(parts)


def test_a_release_is_judged_by_who_might_sign_when_it_was_registered_not_later():
    expired = trusting("ci-components", until=AT - MINUTE)

    judged(trusted=expired)
    denied("does not verify", trusted=expired, registered_at=AT - MINUTE)
    assert AT - MINUTE < AT < EXPIRES


def test_admitting_raises_what_is_wrong_with_the_release():
    with pytest.raises(VerificationError, match="no key that is trusted"):
        admit(good().manifest, good().bundles, trusting("ci-components", scope=KINDS), NOTHING_REVOKED, REGISTERED)
