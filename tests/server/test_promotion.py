"""The whole way over HTTP: a release goes in, through the gate, to a host; every step leaves a receipt."""

from dataclasses import replace

import pytest

from lockgate.core.change import Content
from lockgate.core.journal import change_subject
from lockgate.core.lease import Request, Want, open_grant, sign_request
from lockgate.core.passport import admit_passport, parse_passport
from lockgate.core.trust import Purpose
from lockgate.errors import VerificationError
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.formats.segments import encrypted_size
from lockgate.tlog.note import NoteVerifier
from lockgate.tlog.proof import LogProof
from tests.server.served import API
from tests.world import NOTHING_REVOKED, PROD, key

WEIGHTS = b"weights 1.0.0"


def register(served, version="1.0.0"):
    submission, manifest = served.world.submission(version)
    digest = Digest.of(plain.encode(manifest))
    said = served.world.say("alice", "release.register", manifest.tag, after=digest)
    return served.post("alice", "releases", said, submission=submission), digest, manifest


def evidence(served, digest, manifest):
    from lockgate.core.release import Release

    release = Release(manifest, digest, ())
    for run in (served.world.built(), served.world.ran()):
        document = served.world.statement(release, run)
        said = served.world.say("ci", "release.attest", manifest.tag, after=Digest.of(document))
        answer = served.post("ci", f"releases/magika/{manifest.version}/evidence", said, statement=document.decode())
        assert answer.status_code == 200, answer.text


def open_change(served, digest, manifest):
    stable, epoch = served.world.endpoint().stable, served.world.endpoint().epoch
    before = stable.release if stable else None
    policy = Digest.parse(served.get("alice", "installation").json()["policy"]["digest"])
    content = Content("normal", PROD, manifest.tag, digest, before, epoch, resumes=False, policy=policy, reason="x")
    said = served.world.say("alice", "change.open", PROD, before=before, after=content.digest)
    return served.post("alice", "changes", said, content=content)


def decide(served, who, act, number, path):
    said = served.world.say(who, act, change_subject(number), after=served.world.change(number).content)
    return served.post(who, f"changes/{number}/{path}", said)


def promote(served, version="1.0.0"):
    _, digest, manifest = register(served, version)
    evidence(served, digest, manifest)
    number = open_change(served, digest, manifest).json()["first"]
    for who in ("bob", "carol"):
        assert decide(served, who, "change.approve", number, "approvals").status_code == 200
    answer = decide(served, "dave", "change.activate", number, "activation")
    assert answer.status_code == 200, answer.text
    return digest, number


def lease(served, release, nonce="nonce-of-the-host"):
    request = Request(Name("host-1"), nonce, (Want(PROD, release),), "sealed")
    answer = served.send("host-1", "POST", f"{API}/leases", sign_request(request, key("host-1")))
    assert answer.status_code == 200, answer.text
    return open_grant(answer.content, request, served.world.trust, served.world.now)


def test_registering_answers_with_where_the_log_holds_it_and_what_is_true(served):
    answer, digest, _ = register(served)

    assert answer.status_code == 200
    receipt = answer.json()
    assert receipt["stop"] == receipt["first"] + 1 == served.world.memory.size()
    assert receipt["object"] == served.get("ann", "releases/magika/1.0.0").json()
    assert receipt["object"]["release"] == str(digest)


def test_a_change_waits_for_the_gate_and_says_why(served):
    _, digest, manifest = register(served)
    number = open_change(served, digest, manifest).json()["first"]

    assessment = served.get("ann", f"changes/{number}/assessment").json()
    answer = decide(served, "dave", "change.activate", number, "activation")

    assert assessment["allowed"] is False
    assert len(assessment["reasons"]) >= 2
    assert answer.status_code == 409
    assert answer.json()["reasons"] == assessment["reasons"]
    assert served.world.endpoint().stable is None


def test_a_release_goes_all_the_way_and_a_host_decides_again(served):
    digest, number = promote(served)
    world = served.world

    state = served.get("host-1", "endpoints/prod/magika").json()
    assert state["slots"][0]["release"] == str(digest)
    described = served.get("ann", f"changes/{number}").json()
    assert described["state"]["phase"] == "closed"
    assert Digest.of(plain.encode(described["content"])) == Digest.parse(described["state"]["content"])
    assert served.get("ann", f"documents/{described['state']['content']}").content == plain.encode(described["content"])

    passport = parse_passport(served.get("host-1", "endpoints/prod/magika/passport").content)
    admission = admit_passport(
        passport, PROD, world.installation.trust(), world.installation.policy(), NOTHING_REVOKED, world.now
    )

    assert admission.permit.release.digest == digest
    assert lease(served, digest).granted[0].seconds == 30


def test_a_rollback_and_a_shutdown_take_one_hand(served):
    first, _ = promote(served)
    second, _ = promote(served, "1.1.0")
    said = served.world.say("dave", "endpoint.roll-back", PROD, before=second, after=first)

    answer = served.post("dave", "endpoints/prod/magika/rollback", said)

    assert answer.status_code == 200
    assert answer.json()["object"]["slots"][-1]["release"] == str(first)
    assert len(lease(served, first).granted) == 1

    answer = served.post(
        "olivia", "endpoints/prod/magika/shutdown", served.world.say("olivia", "endpoint.suspend", PROD)
    )

    assert answer.json()["object"]["suspended"] is True
    grant = lease(served, first, "another-nonce-of-it")
    assert (len(grant.granted), len(grant.refused)) == (0, 1)
    assert served.get("host-1", "endpoints/prod/magika/passport").status_code == 409
    metrics = served.get("ann", "/metrics").text
    assert 'lockgate_leases_total{answer="granted"} 1' in metrics
    assert 'lockgate_leases_total{answer="refused"} 1' in metrics


@pytest.mark.parametrize(("who", "act", "path", "phase"), [
    ("bob", "change.reject", "rejections", "rejected"),
    ("alice", "change.withdraw", "withdrawals", "withdrawn"),
])  # fmt: skip
def test_a_change_ends_without_being_carried_out(served, who, act, path, phase):
    _, digest, manifest = register(served)
    number = open_change(served, digest, manifest).json()["first"]

    assert decide(served, who, act, number, path).json()["object"]["phase"] == phase
    assert decide(served, "bob", "change.approve", number, "approvals").status_code == 409


def test_an_author_cannot_approve_over_http_either(served):
    _, digest, manifest = register(served)
    number = open_change(served, digest, manifest).json()["first"]

    assert decide(served, "alice", "change.approve", number, "approvals").status_code == 403
    assert served.world.change(number).approvals == ()


def test_lists_are_read_page_by_page(served):
    for minor in range(5):
        _, digest, manifest = register(served, f"1.{minor}.0")
        open_change(served, digest, manifest)

    def pages(path, limit):
        after: object = ""
        while after is not None:
            page = served.get("ann", f"{path}limit={limit}&after={after}").json()
            after = page["next"]
            yield [item.get("tag") or item["number"] for item in page["items"]]

    def whole(path, limit):
        return [item for page in pages(path, limit) for item in page]

    tags = [f"magika@1.{minor}.0" for minor in range(5)]
    assert list(pages("releases?name=magika&", 2)) == [tags[:2], tags[2:4], tags[4:]]
    assert whole("releases?name=magika&", 5) == tags
    assert list(pages("releases?name=magik&", 5)) == [[]]
    numbers = whole("changes?", 100)
    assert len(numbers) == 5
    assert whole("changes?endpoint=prod/magika&", 2) == numbers
    assert whole("changes?endpoint=prod/other&", 2) == []


def test_anybody_can_prove_an_entry_under_the_published_head(served):
    promote(served)
    entries = served.get("ann", "log/entries").json()["items"]
    signer = next(signer for signer in served.world.trust.signers if signer.purpose is Purpose.CHECKPOINT)
    assert signer.key is not None
    verifier = NoteVerifier(served.world.trust.origin, signer.key.raw)

    proofs = [LogProof.parse(served.get("alice", f"log/proof/{index}").content) for index in range(len(entries))]
    for index, (entry, proof) in enumerate(zip(entries, proofs, strict=True)):
        assert proof.verify(entry.encode(), [verifier]).size == len(entries)
        with pytest.raises(VerificationError):
            replace(proof, index=index + 1).verify(entry.encode(), [verifier])

    assert served.client.get("/log/checkpoint").text == proofs[-1].checkpoint
    assert len(served.client.get(f"/log/tile/0/000.p/{len(entries)}").content) == 32 * len(entries)
    assert served.client.get(f"/log/tile/0/000.p/{len(entries) + 1}").status_code == 404
    assert served.client.get(f"/log/tile/entries/000.p/{len(entries)}").status_code == 404


def test_entries_are_read_page_by_page(served):
    promote(served)
    whole = served.get("ann", "log/entries").json()
    size = served.world.memory.size()

    assert (len(whole["items"]), whole["next"]) == (size, None)
    assert served.get("ann", "log/entries?start=2&stop=4").json() == {"items": whole["items"][2:4], "next": None}
    assert served.get("ann", f"log/entries?start={size}").json() == {"items": [], "next": None}
    assert served.get("ann", "log/entries?start=9007199254740991&stop=1").json() == {"items": [], "next": None}


def test_a_blob_is_whole_or_absent(served):
    digest = Digest.of(WEIGHTS)
    where = f"{API}/blobs/{digest}"
    assert served.send("alice", "HEAD", where).status_code == 404

    wrong = served.send("alice", "PUT", where, WEIGHTS + b"!")
    assert wrong.status_code == 422
    assert served.send("alice", "PUT", where, (piece for piece in [WEIGHTS])).status_code == 411
    assert served.send("alice", "GET", where).status_code == 404

    assert served.send("alice", "PUT", where, WEIGHTS).json() == {"digest": str(digest), "size": len(WEIGHTS)}
    found = served.send("alice", "GET", where).content
    assert found == served.world.blobs.blobs[digest] and WEIGHTS not in found
    assert served.send("alice", "HEAD", where).headers["content-length"] == str(encrypted_size(len(WEIGHTS)))


def test_a_release_whose_bytes_are_not_stored_is_refused(served):
    submission, manifest = served.world.submission("1.0.0")
    served.world.blobs.blobs.clear()
    said = served.world.say("alice", "release.register", manifest.tag, after=Digest.of(plain.encode(manifest)))

    assert served.post("alice", "releases", said, submission=submission).status_code == 503
    assert served.get("ann", "releases").json()["items"] == []
