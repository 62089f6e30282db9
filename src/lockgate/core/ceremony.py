"""How do people sign the rules of an environment together? One folder goes from hand to hand, and each signs it once.

    propose ──▶ unsigned ──sign K1──▶ ──sign K2──▶ a threshold has signed ──publish──▶ in force, and carried to hosts

What is signed is the trust and policy documents, and the metadata that carries them (`core.metadata`), which follows
from them: whoever signs one signs all. A document that is complete already, because it stays as it is, is left alone. A
new root is signed by the threshold of the old one and by its own, and the policy by the new one too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lockgate.core.metadata import Carried, check_follows, root_of, targets_of
from lockgate.core.policy import POLICY, Policy
from lockgate.core.trust import TRUST, Root, Trust, check_trust
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats import dsse, plain, tuf
from lockgate.formats.keys import PublicKey, Signer


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What is being signed: the four documents as they are so far, and the root in force before, if there is one."""

    carried: Carried
    held: Root | None

    @property
    def trust(self) -> Trust:
        """The trust document, unchecked: what its signers are asked to sign."""
        return plain.decode(Trust, dsse.parse(self.carried.trust, unsigned=True).payload)

    @property
    def policy(self) -> Policy | None:
        """The policy, unchecked."""
        document = self.carried.policy
        return plain.decode(Policy, dsse.parse(document, unsigned=True).payload) if document else None


def draft(trust: Trust, policy: Policy | None, held: Carried | None) -> Ceremony:
    """Write what follows from the next documents, unsigned but for what stays as it is."""
    check_trust(trust)
    fresh = Carried(
        _draft(trust, TRUST),
        _draft(policy, POLICY) if policy else None,
        tuf.Metadata(root_of(trust), ()).encode(),
        tuf.Metadata(targets_of(trust, policy), ()).encode(),
    )
    if held is None:
        return Ceremony(fresh, None)
    before = plain.decode(Trust, dsse.parse(held.trust).payload)
    if before == trust:
        fresh = replace(fresh, trust=held.trust, root=held.root)
    if held.policy and fresh.policy and _says(held.policy) == _says(fresh.policy):
        fresh = replace(fresh, policy=held.policy)
    return Ceremony(fresh, before.root)


def sign(ceremony: Ceremony, signer: Signer, *, more: bool = False) -> tuple[Ceremony, Sequence[str]]:
    """Add the signatures of one key wherever they are wanted; tell where. Raise `DeniedError` if they are nowhere.

    Metadata that says anything else than the documents is not signed: nobody signs what they cannot read. With `more`,
    what a threshold has signed is signed all the same: where nobody is left to approve, every root key has to.
    """
    carried, signed = ceremony.carried, list[str]()
    check_follows(carried.root, root_of(ceremony.trust))
    check_follows(carried.targets, targets_of(ceremony.trust, ceremony.policy))
    open_ = _unsigned_by(signer.public, ceremony) if more else _wanted(ceremony)
    wanted = {name: roots for name, roots in open_.items() if _is_of(signer.public, roots)}
    if not wanted:
        known = any(_is_of(signer.public, [root]) for root in _roots(ceremony))
        why = "nothing waits for the signature" if known else "neither the root nor the one before it knows the key"
        raise DeniedError(f"{why} {signer.public.key_id.hex[:16]}…")
    for name in wanted:
        carried = replace(carried, **{name: _also(name, carried, signer)})
        signed.append(name)
    return replace(ceremony, carried=carried), signed


def missing(ceremony: Ceremony) -> Sequence[str]:
    """Say which documents still want signatures, and how many there are."""
    lines = []
    for name, roots in _wanted(ceremony).items():
        for root in roots:
            have = len(_signers(name, ceremony.carried, root.keys))
            lines.append(f"{name}: {have} of {root.threshold} signatures of the {_called(ceremony, root)}")
    return lines


def signers(ceremony: Ceremony) -> Sequence[PublicKey]:
    """List whose signatures are on what is new: on the targets metadata, which pins the documents."""
    keys = dict.fromkeys(key for root in _roots(ceremony) for key in root.keys)
    return _signers("targets", ceremony.carried, tuple(keys))


def _wanted(ceremony: Ceremony) -> dict[str, list[Root]]:
    """Say for each document the roots whose threshold has not signed it yet."""
    lacking = {
        name: [root for root in roots if len(_signers(name, ceremony.carried, root.keys)) < root.threshold]
        for name, roots in _asked(ceremony).items()
    }
    return {name: roots for name, roots in lacking.items() if roots}


def _unsigned_by(key: PublicKey, ceremony: Ceremony) -> dict[str, list[Root]]:
    """Say for each document that a key has not signed which roots it is asked of."""
    asked = _asked(ceremony)
    return {name: roots for name, roots in asked.items() if not _signers(name, ceremony.carried, [key])}


def _asked(ceremony: Ceremony) -> dict[str, list[Root]]:
    """Say for each document the roots that sign it."""
    new, old = ceremony.trust.root, ceremony.held
    both = [new] if old is None or old == new else [old, new]
    asked = {"trust": both, "policy": [new], "root": both, "targets": [new]}
    if ceremony.carried.policy is None:
        del asked["policy"]
    return asked


def _signers(name: str, carried: Carried, keys: Sequence[PublicKey]) -> Sequence[PublicKey]:
    document = getattr(carried, name)
    if name in ("root", "targets"):
        return tuf.parse(document).signers(keys)
    envelope = dsse.parse(document, unsigned=True)
    try:
        return dsse.open_envelope(envelope, _TYPES[name], keys).keys
    except VerificationError:
        return ()


def _also(name: str, carried: Carried, signer: Signer) -> bytes:
    document = getattr(carried, name)
    if name in ("root", "targets"):
        return tuf.parse(document).also([signer]).encode()
    envelope = dsse.parse(document, unsigned=True)
    fresh = dsse.sign(envelope.payload, _TYPES[name], [signer]).signatures
    kept = tuple(one for one in envelope.signatures if one.key_id != signer.public.key_id.hex)
    return replace(envelope, signatures=(*kept, *fresh)).encode()


def _draft(document: Trust | Policy, payload_type: str) -> bytes:
    return dsse.Envelope(payload_type, plain.encode(document), ()).encode()


def _says(document: bytes) -> bytes:
    return dsse.parse(document, unsigned=True).payload


def _roots(ceremony: Ceremony) -> Sequence[Root]:
    return [ceremony.trust.root, *([ceremony.held] if ceremony.held else [])]


def _is_of(key: PublicKey, roots: Sequence[Root]) -> bool:
    return any(key in root.keys for root in roots)


def _called(ceremony: Ceremony, root: Root) -> str:
    return "root" if root == ceremony.trust.root else "root before"


_TYPES = {"trust": TRUST, "policy": POLICY}
