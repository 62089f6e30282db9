"""Who joins, who leaves, and which key takes the place of which? The next trust document, from the one in force.

Every document written here is one version further and otherwise the same: what is proposed is what was asked for, and
nothing else. It counts for nothing until other people approved it and root keys signed it.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from lockgate.core.rights import Role
from lockgate.core.trust import Actor, Purpose, Retiring, Root, Trust, TrustedSigner, check_trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Name


def with_person(trust: Trust, name: Name, roles: Iterable[Role], keys: Iterable[PublicKey]) -> Trust:
    """Add somebody; raise `DeniedError` for a name that was ever used, `VerificationError` for a key that is."""
    if any(actor.name == name for actor in trust.actors):
        raise DeniedError(f"there is a {name} in the trust document already: a name is one person, for good")
    added = Actor(name, tuple(dict.fromkeys(roles)), tuple(keys))
    if not added.roles or not added.keys:
        raise VerificationError(f"{name} needs a role and a key")
    return _next(replace(trust, actors=(*trust.actors, added)))


def without_person(trust: Trust, name: Name, at: datetime) -> Trust:
    """End what somebody may do at `at`, with every signer that they hold; what they did before still counts."""
    if not any(actor.name == name for actor in trust.actors):
        raise DeniedError(f"there is no {name} in the trust document")
    return _next(trust.ending({name: at}))


def with_key(trust: Trust, old: Digest, new: PublicKey, until: datetime) -> Trust:
    """Let `new` take the place of the key with the id `old`, which still counts until `until`.

    A root key is replaced at once, and a key for updates is only joined by the new one: hosts learn of both kinds from
    what they sign, so neither can end by itself.
    """
    if any(key.key_id == old for key in trust.root.keys):
        keys = tuple(new if key.key_id == old else key for key in trust.root.keys)
        return _next(replace(trust, root=Root(trust.root.threshold, keys)))
    changed = replace(
        trust,
        actors=tuple(_rotated(actor, old, new, until) for actor in trust.actors),
        signers=tuple(each for signer in trust.signers for each in _joined(signer, old, new, until)),
    )
    if changed == trust:
        raise DeniedError(f"no key {old.hex[:16]}… is in use in the trust document")
    return _next(changed)


def keys_of(trust: Trust, name: Name) -> tuple[PublicKey, ...]:
    """List every key that somebody holds: those of their intents, and those of signers in their hands."""
    own = [key for actor in trust.actors if actor.name == name for key in actor.held]
    return (*own, *(signer.key for signer in trust.signers if signer.person == name and signer.key))


def _rotated(actor: Actor, old: Digest, new: PublicKey, until: datetime) -> Actor:
    gone = [key for key in actor.keys if key.key_id == old]
    if not gone:
        return actor
    keys = tuple(new if key in gone else key for key in actor.keys)
    return replace(actor, keys=keys, retiring=(*(actor.retiring or ()), *(Retiring(key, until) for key in gone)))


def _joined(signer: TrustedSigner, old: Digest, new: PublicKey, until: datetime) -> tuple[TrustedSigner, ...]:
    if signer.key is None or signer.key.key_id != old:
        return (signer,)
    sooner = until if signer.until is None else min(signer.until, until)
    return replace(signer, until=None if signer.purpose is Purpose.UPDATES else sooner), replace(signer, key=new)


def _next(trust: Trust) -> Trust:
    found = replace(trust, version=trust.version + 1)
    check_trust(found)
    return found
