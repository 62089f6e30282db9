"""How does somebody whom the policy names set a reason against a change aside, in writing and for a time?"""

from datetime import datetime

from lockgate.app.activate import against, dossier_of
from lockgate.app.decide_change import barred, loaded_change
from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt
from lockgate.core.change import Content, check_endpoint, check_open
from lockgate.core.evidence import CLOCK_SKEW
from lockgate.core.intent import SignedIntent
from lockgate.core.override import OVERRIDE, Aside, Overridden, Override, Overriding, Scope, open_override
from lockgate.core.writing import open_writing
from lockgate.errors import DeniedError
from lockgate.formats import plain


def override_objection(
    installation: Installation, document: Override, justification: bytes, signed: SignedIntent, now: datetime
) -> Receipt:
    """Set reasons against a change aside that the gate finds now; it stays to be approved, and the rest in the way.

    Enforces: failed_validation_blocks
    """
    if done := installation.done(signed, OVERRIDE):
        return done
    found = {Aside(one.kind, one.about) for one in against(installation, document.change, now).objections}
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, OVERRIDE, now, tx)
        change = loaded_change(tx, document.change)
        check_open(change)
        check_endpoint(change)
        open_writing(justification, document.justification, "justification")
        content = plain.decode(Content, tx.document(change.content))
        rules = installation.policy(tx).document.rules_for(content.endpoint)
        authors = frozenset(barred(installation, change, tx))
        case = dossier_of(content, change, tx)
        scope = Scope(change.number, change.content, rules.overrides, authors, case.evidence, case.trials)
        overriding = Overriding(document, signed)
        open_override(overriding, scope, installation.trust(tx).document, now + CLOCK_SKEW)
        if missing := [what for what in document.about if what not in found and what not in _held(change.overrides)]:
            raise DeniedError(*(f"nothing is against change {change.number} in {what}" for what in missing))
        event = Overridden(
            change.number, said.actor.name, document.about, tx.keep(justification), document.expires,
            tx.keep(plain.encode(document)), tx.keep(plain.encode(signed)),
        )  # fmt: skip
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _held(overrides: tuple[Overridden, ...] | None) -> frozenset[Aside]:
    return frozenset(what for one in overrides or () for what in one.about)
