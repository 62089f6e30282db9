"""What is a good exhibit of each kind? One that holds, to be spoiled one thing at a time."""

from dataclasses import dataclass, field, replace

from lockgate.core.change import Approved, Content, Opened
from lockgate.core.concession import Reviewed
from lockgate.core.emergency import Review
from lockgate.core.exhibit import Exhibit, exhibit, open_exhibit, staged, word_of
from lockgate.core.intent import SignedIntent
from lockgate.core.override import Aside, Overridden, Override
from lockgate.core.passport import Passport
from lockgate.formats import plain
from lockgate.formats.digest import Digest
from lockgate.formats.names import Name
from tests.core.dossiers import AT, EXPIRES, NUMBER, REGISTERED, approval, content_of, good, release, say
from tests.core.passports import HERE, NOW, entry, logged, registered
from tests.core.strategies import CANARY
from tests.world import PROD, trust

PLACE = 8
WHY, RISK, REPORT = "only the test set is broken", "the old one leaks", "it was right to hurry"
CONTENT: Content = good().content
HURRIED = content_of(
    release(), kind="emergency", strategy=Digest.of(plain.encode(CANARY)), risk=Digest.of(RISK.encode())
)
SUITE = Aside("evaluation", "file-types")
OVERRIDE = Override(NUMBER, CONTENT.digest, (SUITE,), Digest.of(b"seen"), Digest.of(WHY.encode()), AT, EXPIRES)
REVIEW = Review(NUMBER, HURRIED.digest, "accepted", Digest.of(REPORT.encode()))
ORDER = say("bob", "approval.delegate", "ann")


@dataclass(frozen=True)
class Case:
    """What an exhibit is made of: what was said, what the log holds, and what whoever shows it writes around that."""

    signed: SignedIntent
    event: object
    documents: dict
    by: str
    index: int = PLACE
    change: int = NUMBER
    at: object = AT
    word: object = None
    entry: str = ""
    log: dict = field(default_factory=dict)
    heads: dict = field(default_factory=dict)
    statement: dict = field(default_factory=dict)


def text(document):
    return plain.encode(document).decode()


def approved(who="bob", content=CONTENT, signed=None, **changes):
    signed = signed or approval(content, who)
    event = Approved(NUMBER, signed.digest, Name(who), signed.intent.expires)
    return Case(signed, replace(event, **changes), {"content": content.document.decode()}, who)


def delegated(order=ORDER, who="ann", principal="bob"):
    said = {"before": order.digest, "after": CONTENT.digest}
    signed = say(who, "change.approve-in-place", f"change/{NUMBER}", **said)
    case = approved(who, signed=signed, in_place_of=Name(principal), delegation=order.digest)
    return replace(case, documents={**case.documents, "delegation": text(order)})


def authorized(who="olivia", act="emergency.approve"):
    return approved(who, HURRIED, say(who, act, f"change/{NUMBER}", after=HURRIED.digest))


def overridden(who="olivia", document=OVERRIDE, content=CONTENT, why=WHY, changes=(), **said):
    meant = {"before": content.digest, "after": document.digest} | said
    signed = say(who, "change.override", f"change/{NUMBER}", **meant)
    event = Overridden(
        document.change, Name(who), document.about, document.justification, document.expires, document.digest,
        signed.digest,
    )  # fmt: skip
    papers = {"content": content.document.decode(), "override": text(document), "justification": why}
    return Case(signed, replace(event, **dict(changes)), papers, who)


def opened(who="alice", content=HURRIED, risk=RISK, changes=(), **said):
    signed = say(who, "change.open", PROD, **({"before": content.before, "after": content.digest} | said))
    event = Opened(content.endpoint, content.digest, signed.digest, Name(who))
    papers = {"content": content.document.decode(), "risk": risk}
    return Case(signed, replace(event, **dict(changes)), papers, who, index=NUMBER)


def reviewed(who="bob", document=REVIEW, content=HURRIED, report=REPORT, changes=(), **said):
    meant = {"before": content.digest, "after": document.digest} | said
    signed = say(who, "change.review", f"change/{NUMBER}", **meant)
    event = Reviewed(NUMBER, document.verdict, Name(who), document.digest, document.report, signed.digest)
    papers = {"content": content.document.decode(), "review": text(document), "report": report}
    return Case(signed, replace(event, **dict(changes)), papers, who)


GOOD = {
    "approval": approved,
    "approval in somebody's place": delegated,
    "approval of an emergency": authorized,
    "override": overridden,
    "risk assessment": opened,
    "review": reviewed,
}


def stage(facts, trusted, now=NOW, **log):
    found = logged({HERE["registered"]: entry(registered(), HERE["registered"], REGISTERED), **facts}, **log)
    passport = Passport(good().manifest.decode(), {}, (), good().registration, found[HERE["registered"]])
    return staged(passport, trusted, now), found


def payload(case, found):
    """Write the statement, with what the case says otherwise."""
    proved = found[case.index]
    proved = replace(proved, entry=case.entry) if case.entry else proved
    word = case.word or word_of(case.signed)
    made = Exhibit(Name(case.by), case.change, word, case.documents, proved)
    statement = exhibit(release().manifest.tag, release().digest, case.event, made)
    return replace(statement, **case.statement).encode()


def shown(case, trusted=None, now=NOW):
    """Verify the exhibit of a case, shown by somebody who wrote the log as well."""
    facts = {case.index: entry(case.event, case.index, case.at)}
    there, found = stage(facts, trusted or trust(), now, **case.log)
    if case.heads:
        _, found = stage(facts, trusted or trust(), now, **case.heads)
    return open_exhibit(payload(case, found), there)
