"""How do hosts learn what is in force and what is revoked? From static files that follow from the log and the clock.

    log ──▶ trust, policy, deny-list ──▶ versions, contents ──▶ files ──▶ timestamp, last

Nothing is counted here: versions follow from the documents and the length of the deny-list, the timestamp from the half
life in which it is signed. So whoever publishes the same state writes the same bytes, and two servers that do it at
once do no harm; of two states the older one never comes last (port `Updates`).
"""

from datetime import datetime, timedelta

from lockgate.app.installation import Installation
from lockgate.core.metadata import (
    LIFE,
    Carried,
    online_keys,
    period_of,
    slow_files,
    write_snapshot,
    write_timestamp,
)
from lockgate.core.revocation import Revocation, Revocations, list_revocations
from lockgate.errors import UnavailableError

_PAGE = 1000


def publish_updates(installation: Installation, now: datetime, life: timedelta = LIFE) -> bool:
    """Write what hosts follow; tell whether anything was new. Out of a log that was put back nothing is written.

    Enforces: retirement_revocation
    """
    known = installation.watch.known(to_act=True)
    carried, roots = carried_rules(installation)
    trust = installation.written_trust().document
    policy = installation.policy().document if carried.policy is not None else None
    signer = installation.keys.updates
    if signer.public not in online_keys(trust):
        raise UnavailableError("the key tuf-online of this server is not one that the trust names for updates")
    snapshot = write_snapshot(trust, policy, carried.targets, deny_list(installation), signer)
    installation.watch.check(known, *installation.history.root())
    timestamp = write_timestamp(snapshot, period_of(now, life), life, signer)
    return installation.updates.publish({**slow_files(carried, roots), **snapshot.files}, timestamp)


def carried_rules(installation: Installation) -> tuple[Carried, dict[int, bytes]]:
    """Return the signed documents in force with their metadata, and all root metadata by version."""
    rulebook, document = installation.rulebook(), installation.catalog.document
    if rulebook.targets is None or not rulebook.roots:
        raise UnavailableError(
            f"the rules of {installation.environment} carry no metadata for hosts: sign the next ones with "
            "`lockgate trust propose`"
        )
    first = rulebook.trust_version - len(rulebook.roots) + 1
    roots = {first + number: document(digest) for number, digest in enumerate(rulebook.roots)}
    policy = document(rulebook.policy_envelope) if rulebook.policy_envelope else None
    newest = roots[rulebook.trust_version]
    return Carried(document(rulebook.trust_envelope), policy, newest, document(rulebook.targets)), roots


def deny_list(installation: Installation) -> Revocations:
    """Return everything that was revoked."""
    entries, after = list(installation.rulebook().revoked), ""
    while page := installation.catalog.listing("revocation", after=after, limit=_PAGE):
        entries += [entry for entry in page if isinstance(entry, Revocation)]
        after = str(entries[-1].digest)
    return list_revocations(installation.environment, entries)
