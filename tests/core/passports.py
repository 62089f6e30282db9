"""Which passport is good, and what could a lying server put into one? It has the server's keys, and the log."""

from dataclasses import replace
from functools import cache

from lockgate.core import endpoint as at_endpoint
from lockgate.core import release as of_release
from lockgate.core.decision import decision_of, sign_decision
from lockgate.core.journal import Denied, Subject, subject_of, write_fact
from lockgate.core.passport import Case, Passport, admit_passport
from lockgate.core.proved import Logged
from lockgate.drivers.memory import Memory
from lockgate.formats.cloudevent import CloudEvent, encode_entry
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from lockgate.tlog.checkpoint import Checkpoint, sign_checkpoint
from lockgate.tlog.merkle import leaf_hash
from lockgate.tlog.note import NoteSigner
from lockgate.tlog.proof import LogProof
from lockgate.tlog.tiles import inclusion_proof
from tests.core.dossiers import AT, MINUTE, NUMBER, REGISTERED, agree, good, judged, release, say
from tests.world import NOTHING_REVOKED, PROD, key, policy, trust

HERE = {"registered": 3, "activated": 9, "rolled_back": 12}
THEN = {"registered": REGISTERED, "activated": AT, "rolled_back": AT + 5 * MINUTE}
NOW = AT + 20 * MINUTE
LATER_RELEASE = Digest.of(b"the release that was rolled back")
SALT = "0" * 32


def entry(event, index, at, subject=None):
    about = str(subject or subject_of(event, index))
    envelope = CloudEvent(f"id-{index}", trust().origin, "", about, at, "dave", None, SALT, {})
    return encode_entry(write_fact(event, envelope))


def logged(facts, *, size=16, signer="prod-checkpoint", origin=None):
    """Write a log that holds `facts` (index: entry) among others; return each with its proof."""
    memory = Memory(trust().origin)
    for index in range(size):
        found = facts.get(index) or entry(Denied("read", "x", Digest.of(b"")), index, REGISTERED)
        memory.log.append(found)
        memory.hashes.append(leaf_hash(found))
    name = origin or trust().origin
    head = Checkpoint(name, *memory.root())
    note = sign_checkpoint(head, NoteSigner(name, key(signer).sign, key(signer).public.raw))
    return {
        index: Logged(found.decode(), LogProof(index, inclusion_proof(index, size, memory.tile), note).encode())
        for index, found in facts.items()
    }


@cache
def permit():
    return judged()


def decision(vsa="prod-vsa", **changes):
    return sign_decision(replace(decision_of(permit(), NUMBER), **changes), key(vsa)).decode()


def registered(**changes):
    case, meant = good(), release()
    found = of_release.Registered(
        meant.manifest.tag, meant.digest, Digest.of(case.manifest), {}, case.registration.digest, Name("alice")
    )
    return replace(found, **changes)


def activated(decided=None, **changes):
    found = Digest.of((decided or decision()).encode())
    event = at_endpoint.Activated(PROD, release().manifest.tag, release().digest, None, NUMBER, found)
    return replace(event, **changes)


def order(who="dave", act="endpoint.roll-back", object_=PROD, **changes):
    return say(who, act, object_, **({"before": LATER_RELEASE, "after": release().digest} | changes))


def rolled_back(said, **changes):
    event = at_endpoint.RolledBack(
        PROD, release().manifest.tag, release().digest, LATER_RELEASE, said.intent.actor, said.digest
    )
    return replace(event, **changes)


def forge(*, events=None, said=None, decided=None, here=None, then=None, subjects=None, log=None, case=None, **changes):
    """Write the passport of the good case, or of another one, with what is changed about it.

    What `events` call a trial is one of the passport.
    """
    places, times = HERE | (here or {}), THEN | (then or {})
    told = {"registered": registered(), "activated": activated(decided)}
    if said:
        told["rolled_back"] = rolled_back(said)
    told |= events or {}
    about = subjects or {}
    facts = {places[name]: entry(event, places[name], times[name], about.get(name)) for name, event in told.items()}
    found = logged(facts, **(log or {}))
    proofs = {name: found[places[name]] for name in told}
    dossier = case or good()
    tried = tuple(proofs[name] for name in told if name.startswith("trial")) or None
    case = Case(
        NUMBER, dossier.content, dossier.opening, dossier.approvals, decided or decision(), proofs["activated"],
        said, proofs.get("rolled_back"),
    )  # fmt: skip
    bundles = {name: bundle.decode() for name, bundle in dossier.bundles.items()}
    statements = tuple(statement.decode() for statement in dossier.evidence)
    manifest = dossier.manifest.decode()
    passport = Passport(manifest, bundles, statements, dossier.registration, proofs["registered"], case, trials=tried)
    return replace(passport, **changes)


def recased(passport, **changes):
    return replace(passport, case=replace(passport.case, **changes))


def admitted(passport, *, endpoint=PROD, trusted=None, ruled=None, revoked=None, now=NOW):
    """Judge a passport as a host does."""
    return admit_passport(
        passport, endpoint, agree(trusted or trust()), agree(ruled or policy()), revoked or NOTHING_REVOKED, now
    )


def subject(text):
    return Subject(*text.split("/", 1))
