"""May this host go on serving? Read what is true now, sign the answer for this one question."""

from datetime import datetime

from lockgate.app.installation import Installation
from lockgate.core.endpoint import State
from lockgate.core.journal import endpoint_subject
from lockgate.core.lease import REQUEST, Request, answer, open_request, sign_grant
from lockgate.core.policy import Policy, Rules
from lockgate.core.rights import check_right
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.names import Endpoint


def grant_leases(installation: Installation, document: bytes, now: datetime) -> bytes:
    """Answer a lease request of a node; raise `DeniedError` for one that is no agent.

    Enforces: verified_loading
    """
    envelope = dsse.parse(document)
    if envelope.payload_type != REQUEST:
        raise VerificationError("not a lease request")
    claimed = plain.decode(Request, envelope.payload)
    asker = installation.trust().document.actor(claimed.node, now)
    request = open_request(document, asker)
    check_right("lease.ask", asker.roles, asker.name)
    states = _states(installation, request)
    rules = _rules(installation.policy().document, request)
    return sign_grant(answer(request, states, rules), installation.keys.lease)


def _states(installation: Installation, request: Request) -> dict[Endpoint, State]:
    found = {want.endpoint: installation.catalog.find(endpoint_subject(want.endpoint)) for want in request.wants}
    return {endpoint: state for endpoint, state in found.items() if isinstance(state, State)}


def _rules(policy: Policy, request: Request) -> dict[Endpoint, Rules]:
    """Read the rules of the endpoints whose hand-over rule the host keeps."""
    rules = {}
    for endpoint in {want.endpoint for want in request.wants}:
        try:
            found = policy.rules_for(endpoint)
        except DeniedError:
            continue
        if request.hand_over in ("sealed", found.hand_over):
            rules[endpoint] = found
    return rules
