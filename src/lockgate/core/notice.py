"""What is told to whoever wants to hear of security-critical events? One sentence for each, and nothing secret.

Text of others (reasons) is quoted with everything taken out that a mail program or a chat could read as more than
words: marks, mentions, links. What is not known here is told as such: silence means that nothing happened.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lockgate.core import change, concession, delegation, endpoint, release, restoration, rollout
from lockgate.core.appearance import Observed
from lockgate.core.change import Content
from lockgate.core.danger import Severity
from lockgate.core.detection import Alerted
from lockgate.core.halt import Halt
from lockgate.core.journal import Denied, Event, read_fact
from lockgate.core.override import Overridden
from lockgate.core.policy import OVERRIDABLE, PolicyAdopted
from lockgate.core.preservation import Examined
from lockgate.core.requirement import Objection, is_missing
from lockgate.core.revocation import KeyRevoked, Offboarded, ReleaseRevoked
from lockgate.core.suite import Added
from lockgate.core.tie import Ties
from lockgate.core.trial import Begun
from lockgate.core.trust import TrustAdopted
from lockgate.errors import VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.instant import write_instant

_LONGEST = 240
_HARMLESS = frozenset(" .,;:!?'()+-=%")

# What nobody is woken for. Everything else is told, events of later versions too.
QUIET = (
    release.Registered, release.Attested, Begun, Added, change.Approved, change.Rejected, change.Withdrawn,
    change.Authorized, change.Closed, endpoint.Activated, endpoint.RolledBack, rollout.Stepped, rollout.Resumed,
    rollout.Promoted, restoration.Restored, Denied,
)  # fmt: skip

_EXCEPTIONAL = (
    delegation.Named, delegation.Recalled, Overridden, concession.Made, concession.Lapsed, concession.Missed,
    concession.Reviewed,
)  # fmt: skip

Words = Callable[[Digest], str]


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. `entry` is the log entry that it is about, None if it is about the log itself."""

    title: str
    text: str
    entry: int | None = None


def notice_of(entry: bytes, index: int, environment: str, says: Words, address: str | None = None) -> Notice | None:
    """Say what a log entry tells, None if nobody needs to be woken for it.

    `says` puts the content of a change in words; `address` is where people reach the server.
    """
    try:
        envelope, event = read_fact(entry)
    except VerificationError:
        sentence = "wrote an entry that this version of Lockgate cannot read"
        return _notice(environment, "somebody", "unknown entry", sentence, index)
    if isinstance(event, QUIET) or _is_minor(event):
        return None
    what, sentence = (
        _seen(event) if isinstance(event, Alerted | Observed | Examined) else _told(event, envelope.subject, says)
    )
    if isinstance(event, change.Opened | change.Proposed):
        sentence += _way(index, address)
    actor = getattr(event, "by", None) or getattr(event, "reader", None) or envelope.actor
    return _notice(environment, str(actor), what, sentence, index, f", {write_instant(envelope.time)}")


def asked(content: Content, before: str, steps: str) -> str:
    """Say in words what a change asks for: which release in whose place, how it gets its traffic, and why."""
    verb = "resume" if content.resumes else "serve"
    hurry = "in an emergency " if content.kind == "emergency" else ""
    return f"{hurry}to {verb} {content.tag} at {content.endpoint} {before}{steps}, because {quoted(content.reason)}"


def counted_evidence(wanted: Iterable[tuple[str, str]], objections: Iterable[Objection]) -> str:
    """Say in numbers how much of the evidence that is asked for passes, is missing, or failed or does not count."""
    against = [one for one in objections if one.kind in OVERRIDABLE]
    missing = {(one.kind, one.about) for one in against if is_missing(one)}
    failed = {(one.kind, one.about) for one in against} - missing
    whole = {*wanted} | missing | failed
    if not whole:
        return "; no evidence is asked for"
    told = [f"; of {len(whole)} pieces of evidence {len(whole - missing - failed)} pass"]
    for what, pieces in (("failed or do not count", failed), ("are missing", missing)):
        told += [f"{len(pieces)} {what}: {quoted(', '.join(sorted(about for _, about in pieces)))}"] if pieces else []
    return ", ".join(told)


def _way(number: int, address: str | None) -> str:
    """Say how an approver looks at a change and approves it."""
    there = f", {address}/api/v1/changes/{number}" if address else ""
    return f"; it waits for approval: lockgate change approve {number}{there}"


def _told(event: Event, subject: str, says: Words) -> tuple[str, str]:
    """Say in two words what happened, and what its actor did."""
    match event:
        case change.Opened() | change.Proposed():
            return _of_change(event, says(event.content))
        case TrustAdopted() | PolicyAdopted():
            rules = "trust" if isinstance(event, TrustAdopted) else "policy"
            by = "" if event.change is None else f", by change {event.change}"
            return f"{rules} changed", f"put version {event.version} of the {rules} into force{by}"
        case endpoint.Suspended() | endpoint.Tripped() | endpoint.Flagged() | restoration.Overdue():
            return _of_endpoint(event)
        case rollout.Paused() | rollout.Aborted():
            return _of_rollout(event)
        case ReleaseRevoked() | KeyRevoked() | Offboarded():
            return _of_revocation(event)
        case _ if isinstance(event, _EXCEPTIONAL):
            return _of_exception(event)
        case release.KeysOpened():
            return "keys opened", f"got the keys of {event.tag}, to read its files and take them elsewhere"
        case _:
            return event.type, f"wrote {event.type} about {quoted(subject)}"


def _seen(event: Alerted | Observed | Examined) -> tuple[str, str]:
    if isinstance(event, Examined):
        return _of_way_back(event)
    if isinstance(event, Observed):
        what = quoted("; ".join(dict.fromkeys((*event.unlike, *event.changed))))
        return "provider changed", f"saw another {event.component} at {event.endpoint}: {what}"
    about = f"{event.endpoint}, release {event.release.hex[:16]}" if event.release else str(event.endpoint)
    return f"{event.severity} alert", f"raised a {event.severity} {event.danger} alert about {about}"


def _is_minor(event: Event) -> bool:
    """Tell whether this is an alert, or something seen of a provider, for which nobody is woken."""
    if isinstance(event, Observed):
        return not event.changed and not event.unlike
    return isinstance(event, Alerted) and event.severity in (Severity.LOW, Severity.MEDIUM)


def _of_change(event: change.Opened | change.Proposed, words: str) -> tuple[str, str]:
    if isinstance(event, change.Opened):
        return "approval needed", f"asks {words}"
    return f"{event.rules} proposed", f"proposes another {event.rules} for {event.environment}, because {words}"


def _of_endpoint(
    event: endpoint.Suspended | endpoint.Tripped | endpoint.Flagged | restoration.Overdue,
) -> tuple[str, str]:
    match event:
        case endpoint.Suspended():
            return "shutdown", f"shut {event.endpoint} down"
        case endpoint.Tripped():
            return "breaker tripped", f"shut {event.endpoint} down: the breaker {event.breaker} of the policy tripped"
        case endpoint.Flagged():
            return (
                "breaker flagged",
                f"flagged {event.endpoint}: the breaker {event.breaker} tripped; it goes on serving",
            )
        case restoration.Overdue():
            who = f"not at {', '.join(map(str, event.waiting))}" if event.waiting else "no host reports"
            silent = f"; nothing is heard of {', '.join(map(str, event.silent))}" if event.silent else ""
            when = f"{event.window_seconds} s after the rollback at {event.endpoint}"
            return "rollback overdue", f"finds that {when} the former release is not back: {who}{silent}"


def _of_way_back(event: Examined) -> tuple[str, str]:
    where = f"{event.tag}, to which {event.endpoint} would go back,"
    wrong = quoted("; ".join(flaw.says for flaw in event.flaws))
    match event.finding:
        case "whole":
            return "way back whole again", f"finds that {where} is whole again"
        case "damaged":
            return "way back damaged", f"finds that {where} is not whole: {wrong}"
        case "unknown":
            return "way back not proved", f"cannot tell whether {where} is whole: {wrong}"


def _of_revocation(event: ReleaseRevoked | KeyRevoked | Offboarded) -> tuple[str, str]:
    because = f"because {quoted(event.reason)}"
    match event:
        case ReleaseRevoked():
            return "release revoked", f"revoked the release {event.tag}, {because}"
        case KeyRevoked():
            return "key revoked", f"revoked the key {event.key.hex[:16]} of {event.environment}, {because}"
        case Offboarded():
            return "off-boarded", f"off-boarded {event.person}, {because}"


def _of_exception(event: Overridden | concession.Event | delegation.Event) -> tuple[str, str]:
    return _of_delegation(event) if isinstance(event, delegation.Event) else _of_concession(event)


def _of_concession(
    event: Overridden | concession.Event,
) -> tuple[str, str]:
    match event:
        case Overridden():
            what, until = quoted(", ".join(map(str, event.about))), write_instant(event.expires)
            return "override", f"overrides {what} for change {event.change} until {until}"
        case concession.Made():
            how = "as an emergency, to be reviewed" if event.due else "against what was overridden"
            return "let through", f"let {event.tag} through at {event.endpoint} by change {event.change}, {how}"
        case concession.Lapsed():
            about = f"change {event.change}, and {event.tag} still serves at {event.endpoint}"
            return "override expired", f"finds that an override has expired for {about}"
        case concession.Missed():
            about = f"change {event.change} ({event.tag} at {event.endpoint})"
            return "review overdue", f"finds that nobody has reviewed the emergency of {about}; it was due"
        case concession.Reviewed():
            return f"review {event.verdict}", f"reviewed the emergency of change {event.change}: {event.verdict}"


def _of_delegation(event: delegation.Event) -> tuple[str, str]:
    match event:
        case delegation.Named():
            until = write_instant(event.until)
            return "delegate named", f"lets {event.to} approve in the place of {event.principal} until {until}"
        case delegation.Recalled():
            return "delegate recalled", f"lets nobody approve in the place of {event.principal} any more"


def _of_rollout(event: rollout.Paused | rollout.Aborted) -> tuple[str, str]:
    if isinstance(event, rollout.Paused):
        why = {"step": "as its strategy says", "person": "by hand"}.get(event.cause, f"as it is {event.cause}")
        return "rollout paused", f"paused change {event.change} at {event.endpoint} {why}: a person decides"
    what = "and shut it down" if event.suspends else "and gave all traffic back"
    return "rolled back", f"aborted {event.tag} at {event.endpoint} {what}, because of {quoted(event.trigger)}"


def frozen(environment: str, reason: str | None) -> Notice:
    """Say that the log is frozen, for a reason, or that it is not any more."""
    if reason is None:
        return Notice(
            f"Lockgate {environment}: log no longer frozen",
            f"The log of {environment} is no longer frozen: the database has what was signed.",
        )
    return Notice(
        f"Lockgate {environment}: log frozen",
        f"The log of {environment} is frozen, so nothing is granted and nothing is signed: {quoted(reason)}.",
    )


def still_open(environment: str, halt: Halt) -> Notice:
    """Say of which bindings a host cannot say that nobody gets in any more."""
    told = ", ".join(f"{one.name} is {one.state} ({quoted(one.why or '')})" for one in halt.bindings or () if one.why)
    return Notice(
        f"Lockgate {environment}: not cut",
        f"{halt.endpoint} was to be cut on {halt.node}, and what it holds is not: {told}. The host goes on trying.",
    )


def kept_together(environment: str, ties: Ties) -> Notice:
    """Say what releases that run side by side on a host keep together."""
    endpoints = sorted({str(one.endpoint) for one in ties.shared or ()})
    what = ", ".join(f"{one.medium} {quoted(one.name)}" for one in (ties.shared or ())[:4])
    return Notice(
        f"Lockgate {environment}: shared state",
        f"On {ties.node} releases side by side at {', '.join(endpoints)} share what they should not: {what}.",
    )


def tried(environment: str) -> Notice:
    """Say that somebody tries whether this arrives."""
    return Notice(f"Lockgate {environment}: test", f"This is how Lockgate of {environment} will tell what matters.")


def quoted(text: str) -> str:
    """Quote text of others as words alone, shortened if it is long."""
    plain = "".join(letter if letter.isalnum() or letter in _HARMLESS else " " for letter in text)
    words = " ".join(plain.split())
    short = words if len(words) <= _LONGEST else f"{words[:_LONGEST].rstrip()} (and more)"
    return f"'{short}'" if short else "no reason that can be read"


def _notice(environment: str, actor: str, what: str, sentence: str, index: int, when: str = "") -> Notice:
    who = actor if actor == "somebody" else quoted(actor).strip("'")
    return Notice(f"Lockgate {environment}: {what}", f"{who} {sentence} (entry {index}{when}).", index)
