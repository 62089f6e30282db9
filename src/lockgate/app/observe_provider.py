"""How is it written down what a provider serves now? By whoever saw it; what is no news is refused."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.app.ports import Receipt, Transaction
from lockgate.app.register import registered
from lockgate.core.appearance import ACT, Appearances, Glimpse, observe
from lockgate.core.endpoint import State, check_here
from lockgate.core.intent import SignedIntent, check_intent
from lockgate.core.journal import appearances_subject, endpoint_subject
from lockgate.core.provider import ProviderModel, parse_provider
from lockgate.errors import DeniedError
from lockgate.formats import plain


def observe_provider(installation: Installation, glimpse: Glimpse, signed: SignedIntent, now: datetime) -> Receipt:
    """Record what a provider shows of a model that serves at an endpoint of this environment."""
    if done := installation.done(signed, ACT):
        return done
    with installation.ledger.transaction() as tx:
        said = installation.hear(signed, ACT, now, tx)
        check_intent(said, ACT, glimpse.endpoint, before=glimpse.release, after=glimpse.digest)
        check_here(glimpse.endpoint, installation.environment)
        model = _model(installation, glimpse, tx)
        known = tx.load(appearances_subject(glimpse.endpoint))
        order = tx.keep(plain.encode(signed))
        event = observe(glimpse, model, known if isinstance(known, Appearances) else None, said.actor.name, order)
        return tx.append([event], actor=str(said.actor.name), key=signed.intent.digest, at=now)


def _model(installation: Installation, glimpse: Glimpse, tx: Transaction) -> ProviderModel:
    """Find the model that is meant; raise `DeniedError` if no release with it has a place at the endpoint."""
    state = installation.catalog.find(endpoint_subject(glimpse.endpoint))
    if not isinstance(state, State) or glimpse.release not in state.releases:
        raise DeniedError(f"{glimpse.release} does not serve at {glimpse.endpoint}")
    candidates = [state.rollout.candidate] if state.rollout else []
    tag = next(slot.tag for slot in (*state.slots, *candidates) if slot.release == glimpse.release)
    listed = registered(tx, tag).providers or {}
    if str(glimpse.component) not in listed:
        raise DeniedError(f"{tag} has no provider model named {glimpse.component}")
    return parse_provider(tx.document(listed[str(glimpse.component)]))
