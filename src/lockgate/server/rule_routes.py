"""Which rules does this installation judge by, and how do they change over HTTP?"""

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response

from lockgate.app.adopt import adopt_rules
from lockgate.app.propose import propose
from lockgate.app.publish_checkpoint import publish_checkpoint
from lockgate.app.publish_updates import carried_rules
from lockgate.app.simulate import simulate
from lockgate.core.change import RuleChange
from lockgate.core.intent import Head, SignedIntent
from lockgate.core.journal import Rulebook, change_subject, rulebook_subject
from lockgate.core.metadata import Carried
from lockgate.core.policy import Policy, check_policy
from lockgate.formats.digest import Digest
from lockgate.formats.names import Endpoint, Name, Tag
from lockgate.server.update_routes import told
from lockgate.server.visit import Body, Here, Visit, answer, read
from lockgate.tlog.checkpoint import parse_decimal, parse_hash

MAX_RULES = 4 << 20


@dataclass(frozen=True, slots=True)
class Documents:
    """Trust, policy and the metadata that carries them, as a threshold of root keys signed them."""

    trust: str
    root: str
    targets: str
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """What people have signed together, the changes that approve it, and who brings it."""

    documents: Documents
    intent: SignedIntent
    changes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    """A change of the rules, the document that it is about (canonical JSON, as text), and who asks for it."""

    content: RuleChange
    document: str
    intent: SignedIntent


@dataclass(frozen=True, slots=True)
class Question:
    """A release, an endpoint, and a policy that may be a draft (null: the one in force)."""

    tag: Tag
    endpoint: Endpoint
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the gate would say, without deciding: what speaks for it, and what against."""

    allowed: bool
    grounds: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Adopted:
    """Which document is in force."""

    digest: Digest
    version: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What an installation is, by which rules it judges, how far its log has come, how well its vault keeps keys.

    `rules` names the targets metadata that pins both documents.
    """

    environment: Name
    origin: str
    trust: Adopted
    policy: Adopted | None
    checkpoint: Head
    vault: str
    rules: Digest | None = None


def get_installation(visit: Here) -> Response:
    """Say what this installation is, under a checkpoint of now."""
    rules = _rulebook(visit)
    policy = Adopted(rules.policy, rules.policy_version) if rules.policy else None
    origin = visit.installation.trust().document.origin
    head = head_of(publish_checkpoint(visit.installation))
    trust, vault = Adopted(rules.trust, rules.trust_version), visit.installation.vault.assurance
    return answer(Overview(rules.environment, origin, trust, policy, head, vault, rules.targets))


def get_trust(visit: Here) -> Response:
    """Give the signed trust document in force."""
    return _kept(visit, _rulebook(visit).trust_envelope)


def get_policy(visit: Here) -> Response:
    """Give the signed policy in force."""
    envelope = _rulebook(visit).policy_envelope
    if envelope is None:
        raise HTTPException(404, "no policy was adopted yet")
    return _kept(visit, envelope)


def get_rules(visit: Here) -> Response:
    """Give the signed documents in force and the metadata that carries them."""
    found, _ = carried_rules(visit.installation)
    policy = found.policy.decode() if found.policy else None
    return answer(Documents(found.trust.decode(), found.root.decode(), found.targets.decode(), policy))


def post_rules(visit: Here, body: Body) -> Response:
    """Adopt the next trust document, the next policy, or both; hosts learn of it at once."""
    order = visit.order(Brought, body, limit=MAX_RULES)
    held = order.documents
    policy = held.policy.encode() if held.policy is not None else None
    carried = Carried(held.trust.encode(), policy, held.root.encode(), held.targets.encode())
    done = adopt_rules(visit.installation, carried, order.changes or (), order.intent, visit.now)
    return told(visit, done, rulebook_subject(visit.installation.environment))


def post_proposal(visit: Here, body: Body) -> Response:
    """Propose the next trust document or policy; the number of the change is the `first` of the answer."""
    order = visit.order(Proposed, body)
    receipt = propose(visit.installation, order.content, order.document.encode(), order.intent, visit.now)
    return visit.receipt(receipt, change_subject(receipt.first))


def post_simulation(visit: Here, body: Body) -> Response:
    """Ask what the gate would say of a release at an endpoint, by the policy in force or a draft."""
    question = read(Question, body)
    if question.policy is not None:
        check_policy(question.policy, visit.now)
    found = simulate(visit.installation, question.tag, question.endpoint, question.policy, visit.now)
    return answer(Simulation(not found.reasons, found.grounds, found.reasons))


def head_of(note: str) -> Head:
    """Read size and root out of a checkpoint that we have just signed, or kept."""
    _, size, root, *_ = note.split("\n")
    return Head(parse_decimal(size), Digest(parse_hash(root).hex()))


def _rulebook(visit: Visit) -> Rulebook:
    return visit.find(Rulebook, rulebook_subject(visit.installation.environment))


def _kept(visit: Visit, envelope: Digest) -> Response:
    return Response(visit.installation.catalog.document(envelope), media_type="application/json")
