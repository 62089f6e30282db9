"""Does an exhibit prove who said what about a release? Each of them is spoiled one thing at a time."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError as NotVerifiedError
from securesystemslib.signer import SSlibKey

from lockgate.core.exhibit import EXHIBITS, DsseWord, SshWord, open_exhibit, open_shown, staged, word_of
from lockgate.core.intent import KeyProof, SignedIntent, SshProof
from lockgate.errors import LockgateError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name, Tag
from lockgate.formats.sshsig import sign_sshsig
from lockgate.formats.statement import Subject
from tests.core.dossiers import AT, EXPIRES, MINUTE, NUMBER, TICK, approval, content_of, good, release, say, trusting
from tests.core.exhibits import (
    CONTENT,
    GOOD,
    OVERRIDE,
    PLACE,
    REVIEW,
    WHY,
    approved,
    authorized,
    delegated,
    opened,
    overridden,
    payload,
    reviewed,
    shown,
    stage,
    text,
)
from tests.core.passports import NOW, decision, entry, forge
from tests.world import key, trust

OTHER = Digest.of(b"other")
ANOTHER = replace(release().manifest.tag, version=Tag.parse("magika@9.9.9").version)
SUBJECT = Subject(str(release().manifest.tag), {"sha256": release().digest.hex})


@pytest.mark.parametrize("name", GOOD)
def test_what_somebody_said_is_shown_with_where_the_log_took_it_in(name):
    case = GOOD[name]()
    found = shown(case)

    assert found.predicate_type in EXHIBITS
    assert found.by.split(" ")[0] == case.by
    assert found.says.endswith(f"change {NUMBER} at prod/magika, entry {case.index} of {AT}")


def test_it_says_what_was_said_and_in_whose_place():
    assert shown(approved()).says.startswith("approves: ")
    assert shown(delegated()).by == "ann in the place of bob"
    assert shown(overridden()).says.startswith(f"sets aside evaluation:file-types until {EXPIRES}")
    assert shown(reviewed()).says.startswith("reviews it: accepted")


def with_papers(case, **papers):
    kept = {**case.documents, **papers}
    return replace(case, documents={name: paper for name, paper in kept.items() if paper is not None})


def envelope_of(signed):
    word = word_of(signed)
    assert isinstance(word, DsseWord)
    return dsse.parse(word.envelope.encode())


def worded(case, **changes):
    envelope = envelope_of(case.signed)
    return replace(case, word=DsseWord(replace(envelope, **changes).encode().decode()))


def hinted(case, key_id):
    envelope = envelope_of(case.signed)
    return worded(case, signatures=(replace(envelope.signatures[0], key_id=key_id),))


TWICE = envelope_of(approval(CONTENT)).signatures * 2
EVERY = {  # spoils an exhibit of any kind
    "of another release": (
        lambda c: replace(c, statement={"subject": (Subject("magika@1.0.0", {"sha256": OTHER.hex}),)}),
        "not about this release",
    ),
    "of another tag": (
        lambda c: replace(c, statement={"subject": (replace(SUBJECT, name="magika@9.9.9"),)}),
        "not about this release",
    ),
    "of two releases": (lambda c: replace(c, statement={"subject": (SUBJECT, SUBJECT)}), "not about this release"),
    "of a type nobody knows": (
        lambda c: replace(c, statement={"predicate_type": "https://example.com/approval/v1"}),
        "nobody here knows",
    ),
    "of another kind": (
        lambda c: replace(
            c, statement={"predicate_type": next(k for k, e in EXHIBITS.items() if not isinstance(c.event, e))}
        ),
        "the log entry is change",
    ),
    "in another name": (lambda c: replace(c, by="carol" if c.by != "carol" else "bob"), "and it was"),
    "by another signer": (
        lambda c: replace(
            c, signed=replace(c.signed, proof=KeyProof(say(c.by, "read", "x", signer="mallory").proof.signature))
        ),
        "no key that is trusted",
    ),
    "about another change": (lambda c: replace(c, change=8), "this is object change/8|the log holds another word"),
    "with one document more": (lambda c: with_papers(c, more="x"), "the exhibit has the documents"),
    "without the content": (lambda c: with_papers(c, content=None), "not JSON"),
    "with the content of another change": (
        lambda c: with_papers(c, content=content_of(release(), reason="other").document.decode()),
        "the intent says",
    ),
    "with the content of another release": (
        lambda c: with_papers(c, content=replace(CONTENT, release=OTHER).document.decode()),
        "not about this release",
    ),
    "with content that is written otherwise": (
        lambda c: with_papers(c, content=json.dumps(json.loads(c.documents["content"]), indent=1)),
        "content of the change is not canonical",
    ),
    "that was altered": (
        lambda c: worded(c, payload=envelope_of(c.signed).payload + b" "),
        "the word is not canonical",
    ),
    "as another type of payload": (lambda c: worded(c, payload_type="application/vnd.in-toto+json"), "not one intent"),
    "signed by two": (lambda c: worded(c, signatures=TWICE), "not one intent"),
    "with the hint of another key": (
        lambda c: hinted(c, key("mallory").public.key_id.hex),
        "and another one signed it",
    ),
    "with a word of SSH in another namespace": (
        lambda c: replace(c, word=SshWord(envelope_of(c.signed).payload.decode(), "file", "x")),
        "was signed for 'file'",
    ),
    "with a word of SSH that is none": (
        lambda c: replace(c, word=SshWord(envelope_of(c.signed).payload.decode(), "intent@lockgate", "x")),
        "SSH signature",
    ),
    "of a time to come": (lambda c: replace(c, at=NOW + 6 * MINUTE), "later than now"),
    "that another log holds": (lambda c: replace(c, heads={"signer": "mallory"}), "by one of 1 known keys"),
    "under a key that signs no heads": (lambda c: replace(c, log={"signer": "prod-vsa"}), "by one of 1 known keys"),
    "under another head": (lambda c: replace(c, heads={"size": 17}), "by another head"),
    "under an older head": (lambda c: replace(c, heads={"size": 15}), "by another head"),
    "whose entry was altered": (
        lambda c: replace(c, entry=entry(c.event, c.index, c.at).decode().replace("dave", "mall")),
        "inclusion proof gives root",
    ),
}
SPOILT = {
    "an approval that expired before it came": approved(signed=approval(CONTENT, "bob", expires=AT)),
    "an approval without the role": approved("dave"),
    "an approval by somebody unknown": approved("nobody"),
    "an approval of another content": approved(signed=approval(content_of(release(), reason="x"), "bob")),
    "an approval of another change": approved(signed=approval(CONTENT, "bob", number=8)),
    "a rejection": approved(signed=approval(CONTENT, "bob", act="change.reject")),
    "another approval than the log's": approved(approval=OTHER),
    "an approval that the log gives to somebody else": approved(by=Name("carol")),
    "an approval of the log for another change": approved(change=8),
    "one in a place that nobody gave": approved(in_place_of=Name("carol")),
    "one that cites what is not there": approved(delegation=OTHER),
    "a delegation that was not asked for": with_papers(approved(), delegation=text(delegated().signed)),
    "one in a place without the delegation": with_papers(delegated(), delegation=None),
    "one in a place by another delegation": with_papers(
        delegated(), delegation=text(say("carol", "approval.delegate", "ann"))
    ),
    "one in the place of somebody else": delegated(principal="carol"),
    "one by another than the delegate": delegated(who="dave"),
    "an ordinary approval of an emergency": authorized("bob", "change.approve"),
    "the authority's approval of what is none": approved(
        "olivia", signed=approval(CONTENT, "olivia", act="emergency.approve")
    ),
    "an override without the right": overridden("ann"),
    "an override of another content": overridden(document=replace(OVERRIDE, content=OTHER)),
    "an override of another change": overridden(document=replace(OVERRIDE, change=8)),
    "an override with another text": overridden(why=WHY + "."),
    "an override without a text": with_papers(overridden(), justification=None),
    "an override that says nothing": overridden(why="\n", document=replace(OVERRIDE, justification=Digest.of(b"\n"))),
    "an override that was not signed": with_papers(overridden(), override=text(replace(OVERRIDE, expires=AT + TICK))),
    "an override that is written otherwise": with_papers(overridden(), override=text(OVERRIDE) + " "),
    "an override of which the log says another time": overridden(changes={"expires": AT}),
    "an override of which the log says another reason": overridden(changes={"about": ()}),
    "an override of which the log holds another text": overridden(changes={"justification": OTHER}),
    "an override of which the log holds another document": overridden(changes={"override": OTHER}),
    "an override of which the log holds another word": overridden(changes={"order": OTHER}),
    "an override that the log gives to somebody else": overridden(changes={"by": Name("bob")}),
    "an override of the log for another change": overridden(changes={"change": 8}),
    "an override before another content": overridden(before=OTHER),
    "an opening without the right": opened("bob"),
    "an opening of another change": replace(opened(), index=PLACE),
    "an opening of something else": opened(after=OTHER),
    "an opening from another state": opened(before=OTHER),
    "an opening with another risk": opened(risk="none"),
    "an opening without a risk": opened(content=CONTENT),
    "an opening of which the log holds another word": opened(changes={"opening": OTHER}),
    "an opening of which the log holds another content": opened(changes={"content": OTHER}),
    "an opening that the log gives to somebody else": opened(changes={"author": Name("bob")}),
    "a review without the right": reviewed("dave"),
    "a review of another content": reviewed(document=replace(REVIEW, content=OTHER)),
    "a review of another change": reviewed(document=replace(REVIEW, change=8)),
    "a review with another report": reviewed(report="no"),
    "a review of which the log says another verdict": reviewed(changes={"verdict": "rejected"}),
    "a review of which the log holds another document": reviewed(changes={"review": OTHER}),
    "a review of which the log holds another report": reviewed(changes={"report": OTHER}),
    "a review of which the log holds another word": reviewed(changes={"order": OTHER}),
    "a review of the log for another change": reviewed(changes={"change": 8}),
    "a review that the log gives to somebody else": reviewed(changes={"by": Name("carol")}),
    "a review written otherwise": with_papers(reviewed(), review=text(REVIEW) + " "),
    "a review from another content": reviewed(before=OTHER),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kind", GOOD)
def test_an_exhibit_is_refused(kind, name):
    spoil, reason = EVERY[name]
    with pytest.raises(LockgateError, match=reason):
        shown(spoil(GOOD[kind]()))


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_not_what_it_claims_is_refused(name):
    with pytest.raises(LockgateError):
        shown(SPOILT[name])


def test_who_was_off_boarded_before_said_nothing_and_who_was_later_did():
    assert shown(approved(), trusting("bob", until=AT + TICK)).by == "bob"
    with pytest.raises(VerificationError, match="nobody called bob may act"):
        shown(approved(), trusting("bob", until=AT))


def test_a_word_can_be_verified_by_whoever_knows_dsse():
    word = word_of(approval(CONTENT), key("bob").public.key_id.hex)
    assert isinstance(word, DsseWord)
    envelope = Envelope.from_dict(json.loads(word.envelope))
    public = {"public": key("bob").public.raw.hex()}
    known = SSlibKey(key("bob").public.key_id.hex, "ed25519", "ed25519", public)

    assert len(envelope.verify([known], 1)) == 1
    assert json.loads(envelope.payload)["object"] == f"change/{NUMBER}"
    envelope.payload += b" "
    with pytest.raises(NotVerifiedError):
        envelope.verify([known], 1)


def test_a_word_that_an_ssh_key_signed_is_shown_as_that():
    intent = approval(CONTENT).intent
    signed = SignedIntent(intent, SshProof(sign_sshsig(key("bob"), plain.encode(intent), "intent@lockgate")))

    assert word_of(signed) == SshWord(plain.encode(intent).decode(), "intent@lockgate", signed.proof.signature)
    assert shown(approved(signed=signed)).by == "bob"
    foreign = SshProof(sign_sshsig(key("mallory"), plain.encode(intent), "intent@lockgate"))
    with pytest.raises(VerificationError, match="is not trusted for this"):
        shown(approved(signed=replace(signed, proof=foreign)))


def test_an_envelope_around_it_changes_nothing_and_vouches_for_nothing():
    case = approved()
    there, found = stage({PLACE: entry(case.event, PLACE, AT)}, trust())
    bare = payload(case, found)
    carried = dsse.sign(bare, dsse.IN_TOTO, [key("mallory")]).encode()

    assert open_shown(carried, there) == open_shown(bare, there) == open_exhibit(bare, there)
    with pytest.raises(VerificationError, match="holds 'application/json', and no in-toto statement"):
        open_shown(dsse.sign(bare, "application/json", [key("bob")]).encode(), there)


def test_what_is_signed_in_the_form_of_in_toto_is_verified_as_such():
    there, _ = stage({}, trust())
    built, run = good().evidence

    assert open_shown(built, there).says.startswith("built by ")
    assert open_shown(run, there).says == "suite file-types@1.0.0 PASSED"
    assert "approved by bob, carol" in open_shown(decision().encode(), there).says
    for bad in (decision("mallory"), decision("prod-export"), decision(tag=ANOTHER), decision(release=OTHER)):
        with pytest.raises(VerificationError):
            open_shown(bad.encode(), there)
    with pytest.raises(VerificationError, match="no key that is trusted"):
        open_shown(run, replace(there, trust=trusting("ci-results", until=AT)))


@pytest.mark.parametrize("changes", [{"release": OTHER}, {"tag": ANOTHER}])
def test_a_release_is_the_one_that_the_log_registered(changes):
    from tests.core.passports import registered

    with pytest.raises(VerificationError, match="the log registered"):
        staged(forge(events={"registered": registered(**changes)}), trust(), NOW)
    with pytest.raises(VerificationError, match="no key that is trusted"):
        staged(forge(), trusting("ci-components", until=AT - 100 * MINUTE), NOW)


@given(st.binary(max_size=200))
def test_junk_is_refused(junk):
    there, _ = stage({}, trust())
    with pytest.raises(VerificationError):
        open_shown(junk, there)
