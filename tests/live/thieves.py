"""What can somebody do who has a server, all its keys and its log, and no key of any person, of the CI or of the root?

Whatever its program would refuse: write events into the log that nobody caused, sign decisions that nobody may take,
and have a head signed over them. Only what others sign cannot be made.
"""

import secrets
from dataclasses import replace
from datetime import UTC, datetime

from lockgate.app.activate import dossier_of
from lockgate.app.publish_updates import carried_rules
from lockgate.core.change import Approved, Content
from lockgate.core.decision import decision_of, sign_decision
from lockgate.core.endpoint import Activated, RolledBack, State
from lockgate.core.gate import judge
from lockgate.core.intent import Intent, SignedIntent, sign_intent
from lockgate.core.journal import change_subject, endpoint_subject, subject_of
from lockgate.core.metadata import LIFE, TIMESTAMP, slow_files, write_snapshot, write_timestamp
from lockgate.core.policy import Approvals
from lockgate.core.trust import Agreed
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.world import NOTHING_REVOKED, PROD, key

OWN = "a key of the thief"


def write(world, *events, at=None):
    """Write events into the log, as of any time; return at which entry."""
    world.memory.last = min(world.memory.last, at or world.now)  # nothing holds a thief to the order of time
    with world.memory.transaction() as tx:
        for event in events:
            tx.load(subject_of(event, -1))
        return tx.append(events, actor="dave", key=Digest.of(secrets.token_bytes(16)), at=at or world.now).first


def said(world, who, act, object_, *, by=OWN, before=None, after=None):
    """Sign an intent in the name of somebody else."""
    ends = world.now + (datetime.max.replace(tzinfo=UTC) - world.now) / 2
    return sign_intent(Intent(act, str(object_), before, after, Name(who), secrets.token_hex(16), ends), key(by))


def approve(world, number, *people, by=OWN):
    """Have people approve a change who did not."""
    for who in people:
        signed = said(world, who, "change.approve", f"change/{number}", by=by, after=world.change(number).content)
        add_approval(world, number, signed)


def add_approval(world, number, signed):
    """Put somebody's word under a change, whatever it was about."""
    world.memory.documents[signed.digest] = plain.encode(signed)
    write(world, Approved(number, signed.digest, signed.intent.actor, signed.intent.expires))


def undemanding(world):
    """Write a policy that demands nothing, and the trust in force."""
    nothing = replace(
        world.policy.endpoints[str(PROD)], components=(), provenance=False, evaluations=(),
        approvals=Approvals(0, world.policy.endpoints[str(PROD)].approvals.role),
    )  # fmt: skip
    policy = replace(world.policy, endpoints={str(PROD): nothing})
    return Agreed(world.trust, Digest.of(b"")), Agreed(policy, Digest.of(b""))


def carry_out(world, number, *, at=None, without=()):
    """Carry out a change whatever is missing: the decision is signed with the real key, and the log holds it."""
    installation, now = world.installation, at or world.now
    trust, policy = undemanding(world)
    with world.memory.transaction() as tx:
        change = tx.load(change_subject(number))
        content = plain.decode(Content, tx.document(change.content))
        case = dossier_of(content, change, tx)
        case = replace(case, evidence=tuple(each for each in case.evidence if each not in without))
        permit = judge(case, PROD, trust, policy, NOTHING_REVOKED, now)
        decided = replace(decision_of(permit, number), authorized_by=tuple(sorted(a.by for a in change.approvals)))
        decision = sign_decision(decided, installation.keys.vsa)
    world.memory.documents[Digest.of(decision)] = decision
    event = Activated(PROD, content.tag, content.release, content.before, number, Digest.of(decision))
    return write(world, event, at=now)


def roll_back(world, signed):
    """Return to the release of a slot that is long gone, on somebody's word."""
    before, after = signed.intent.before, signed.intent.after
    slot = next(slot for slot in world.endpoint().slots if slot.release == after)
    world.memory.documents[signed.digest] = plain.encode(signed)
    index = write(world, RolledBack(PROD, slot.tag, after, before, Name("dave"), signed.digest))
    show(world, slots=(replace(slot, epoch=index),), epoch=index, rolled_back_by=signed.digest)


def show(world, **changes):
    """Say of the endpoint what its log does not say."""
    held, first, last = world.memory.states[endpoint_subject(PROD)]
    assert isinstance(held, State)
    world.memory.states[endpoint_subject(PROD)] = (replace(held, **changes), first, last)


def republish(world, folder):
    """Sign with the key for updates that what was known before anything was revoked is the newest, now."""
    carried, roots = carried_rules(world.installation)
    signer = world.installation.keys.updates
    snapshot = write_snapshot(world.trust, world.policy, carried.targets, NOTHING_REVOKED, signer)
    timestamp = write_timestamp(snapshot, datetime.now(UTC), LIFE, signer)
    for place, content in {**slow_files(carried, roots), **snapshot.files, TIMESTAMP: timestamp}.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)


def read(world, digest):
    """Read what somebody signed."""
    return plain.decode(SignedIntent, world.memory.document(digest))
