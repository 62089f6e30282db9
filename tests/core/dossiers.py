"""What is a good case? A release with everything that the gate wants, to be spoiled one thing at a time."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from lockgate.core.change import Content
from lockgate.core.gate import Dossier, judge
from lockgate.core.intent import Intent, sign_intent
from lockgate.core.release import Kind, Part, Release
from lockgate.core.trust import Actor, Agreed, TrustedSigner
from lockgate.errors import DeniedError
from lockgate.formats import oms, plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import NOTHING_REVOKED, NOW, PROD, World, file_digest, key, policy, rules, sign_manifest, trust

MINUTE, TICK = timedelta(minutes=1), timedelta(microseconds=1)
REGISTERED, FINISHED, AT = NOW, NOW + MINUTE, NOW + 10 * MINUTE
EXPIRES = NOW + 60 * MINUTE
NUMBER = 7


@cache
def world():
    """Give one world that only signs; nothing is ever told to its ledger."""
    return World()


def agree(document):
    return Agreed(document, Digest.of(plain.encode(document)))


def say(who, act, object_, *, before=None, after=None, expires=EXPIRES, signer=None):
    world().nonces += 1
    nonce = f"dossier-{world().nonces:012}"
    return sign_intent(Intent(act, str(object_), before, after, Name(who), nonce, expires), key(signer or who))


def approval(content, who="bob", number=NUMBER, **changes):
    said = {"act": "change.approve", "object_": f"change/{number}", "after": content.digest}
    return say(who, **(said | changes))


def run(**changes):
    return replace(world().ran(), finished_at=FINISHED, **changes)


def built():
    return replace(world().built(), finished_at=FINISHED)


def statement(release, about, signer="results"):
    return world().statement(release, about, signer)


@cache
def submission(version="1.0.0", authors=("alice",), weights_by="components", *, chunked=True):
    """Sign a small release; return its signed manifest, its bundles and what the manifest says."""
    _, manifest = world().submission(version)
    file = file_digest("model.onnx", b"weights " + version.encode())
    bundles = {
        "weights": oms.seal([file if chunked else oms.FileDigest(file.name, file.sha256)], key(weights_by)),
        "config": oms.seal([file_digest("config.json", b"{}")], key("components")),
    }
    parts = {name: Part(Kind(name), oms.parse(sealed).dir_hash, Digest.of(sealed)) for name, sealed in bundles.items()}
    manifest = replace(manifest, components=parts, authors=tuple(Name(name) for name in authors))
    return sign_manifest(manifest).encode(), bundles, manifest


def release_of(manifest):
    return Release(manifest, Digest.of(plain.encode(manifest)), (key("components").public,))


def content_of(release, **changes):
    tag, pinned = release.manifest.tag, Digest.of(plain.encode(policy()))
    return replace(
        Content("normal", PROD, tag, release.digest, None, -1, resumes=False, policy=pinned, reason="why"), **changes
    )


def dossier(*, registrant="alice", opener="alice", approvers=("bob", "carol"), runs=None, **submitted):
    """Put a whole case together, good unless told otherwise."""
    manifest, bundles, meant = submission(**submitted)
    release = release_of(meant)
    content = content_of(release)
    return Dossier(
        manifest,
        bundles,
        tuple(statement(release, about) for about in ((built(), run()) if runs is None else runs)),
        say(registrant, "release.register", meant.tag, after=release.digest),
        REGISTERED,
        content,
        NUMBER,
        say(opener, "change.open", PROD, after=content.digest),
        tuple(approval(content, who) for who in approvers),
    )


@cache
def good():
    return dossier()


def release():
    return release_of(submission()[2])


def judged(case=None, *, endpoint=PROD, trusted=None, ruled=None, revoked=None, at=AT, **changes):
    """Judge the good case, or the given one, with what is changed about it."""
    case = replace(case or good(), **changes)
    return judge(case, endpoint, agree(trusted or trust()), agree(ruled or policy()), revoked or NOTHING_REVOKED, at)


def denied(reason, case=None, **changes):
    """Expect the gate's no with this reason; return all of them."""
    with pytest.raises(DeniedError, match=reason) as caught:
        judged(case, **changes)
    return caught.value.reasons


def evidence(*runs):
    """Put other test results into the good case, beside its provenance."""
    return replace(good(), evidence=tuple(statement(release(), about) for about in (built(), *runs)))


def trusting(name, **changes):
    """Trust as always, but something is different about one actor or signer."""
    document = trust()
    everybody: list[Actor | TrustedSigner] = [*document.actors, *document.signers]
    found = [one for one in everybody if str(one.name) == name]
    assert len(found) == 1, name
    return replace(
        document,
        actors=tuple(replace(one, **changes) if one in found else one for one in document.actors),
        signers=tuple(replace(one, **changes) if one in found else one for one in document.signers),
    )


def ruling(**changes):
    """Demand the same as always, but for these rules."""
    return replace(policy(), endpoints={str(PROD): replace(rules(), **changes)})
