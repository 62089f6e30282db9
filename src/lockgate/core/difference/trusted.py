"""What does a new trust document change, in words?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from lockgate.core.difference.sentence import (
    Difference,
    Effect,
    Words,
    each_field,
    environment,
    expiry,
    free,
    in_another_order,
    instant,
    members,
    neutral,
    number,
    paired,
    reordered,
    short,
    stronger,
    version,
    weaker,
)
from lockgate.core.rights import Role
from lockgate.core.trust import Actor, Purpose, Retiring, Root, TrustedSigner
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey
from lockgate.formats.names import Name

MAY: Mapping[Role, str] = {
    Role.VIEWER: "look",
    Role.AUTHOR: "register releases and open changes",
    Role.APPROVER: "approve",
    Role.OPERATOR: "carry changes out, roll back and shut down",
    Role.SECURITY_AUTHORITY: "shut down, roll back, revoke and approve emergencies",
    Role.AUDITOR: "read the log",
    Role.ADMIN: "propose and adopt trust and policy",
    Role.AGENT: "ask for leases",
    Role.CI: "register releases and attest",
    Role.DETECTOR: "raise alerts",
}


def _origin(old: str, new: str, _where: str) -> Iterator[Difference]:
    yield weaker(f"is for the log {free(new)}, no longer for {free(old)}")


def _root(old: Root, new: Root, _where: str) -> Iterator[Difference]:
    yield from each_field(ROOT, old, new, "the root")


def _root_keys(old: tuple[PublicKey, ...], new: tuple[PublicKey, ...], _where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda key: stronger(f"takes the root key {short(key)} away"),
        lambda key: weaker(f"adds the root key {short(key)}"),
    )  # fmt: skip
    yield from reordered(old, new, "root keys")


def _actors(old: tuple[Actor, ...], new: tuple[Actor, ...], _where: str) -> Iterator[Difference]:
    for before, after in paired(old, new, lambda actor: actor.name):
        if after is None and before is not None:
            yield stronger(f"removes {before.name}: what they said before counts no longer either")
        elif before is None and after is not None:
            yield weaker(f"adds {after.name}, {_lasting(after.until)}", after.name)
            yield from each_field(ACTOR, Actor(after.name, (), (), after.until), after, str(after.name))
        elif before is not None and after is not None:
            yield from each_field(ACTOR, before, after, str(before.name))
    yield from in_another_order([str(one.name) for one in old], [str(one.name) for one in new], "people")


def _roles(old: tuple[Role, ...], new: tuple[Role, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda role: stronger(f"no longer lets {where} {MAY[role]} (role {role})"),
        lambda role: weaker(f"lets {where} {MAY[role]} (role {role})", Name(where)),
    )  # fmt: skip
    yield from reordered(old, new, f"roles of {where}")


def _keys(old: tuple[PublicKey, ...], new: tuple[PublicKey, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda key: stronger(f"takes the key {short(key)} from {where}"),
        lambda key: weaker(f"gives {where} the key {short(key)}"),
    )  # fmt: skip
    yield from reordered(old, new, f"keys of {where}")


def _until(holder: Name | None, old: datetime | None, new: datetime | None, where: str) -> Iterator[Difference]:
    if new is None:
        yield weaker(f"lets {where} count without end, no longer {_lasting(old)} only", holder)
    elif old is None or new < old:
        yield stronger(f"lets {where} count until {instant(new)} only, no longer {_lasting(old)}")
    else:
        yield weaker(f"lets {where} count until {instant(new)}, no longer until {instant(old)} only", holder)


def _lasting(until: datetime | None) -> str:
    return "without end" if until is None else f"until {instant(until)}"


def _retiring(old: tuple[Retiring, ...] | None, new: tuple[Retiring, ...] | None, where: str) -> Iterator[Difference]:
    for before, after in paired(old or (), new or (), lambda one: one.key):
        if after is None and before is not None:
            yield stronger(f"ends the time of the old key {short(before.key)} of {where}")
        elif before is None and after is not None:
            yield weaker(f"lets {where} use the old key {short(after.key)} until {instant(after.until)}")
        elif before is not None and after is not None and before.until != after.until:
            yield from _until(None, before.until, after.until, f"the old key {short(after.key)} of {where}")
    if {*(old or ())} == {*(new or ())}:
        yield neutral(f"writes the old keys of {where} differently")


def _signers(old: tuple[TrustedSigner, ...], new: tuple[TrustedSigner, ...], _where: str) -> Iterator[Difference]:
    for before, after in paired(old, new, lambda signer: signer.name):
        if after is None and before is not None:
            yield stronger(f"removes the signer {before.name}: what it signed counts no longer")
        elif before is None and after is not None:
            yield weaker(f"adds the signer {after.name} for {after.purpose}, {_lasting(after.until)}", after.person)
            empty = TrustedSigner(after.name, after.purpose, (), person=after.person, until=after.until)
            yield from _signer(empty, after)
        elif before is not None and after is not None:
            yield from _signer(before, after)
    yield from in_another_order([str(one.name) for one in old], [str(one.name) for one in new], "signers")


def _signer(old: TrustedSigner, new: TrustedSigner) -> Iterator[Difference]:
    where = f"the signer {old.name}"
    another_key = {*_signing_key(old.key, new.key, where)}  # with which its holder may do what they might before
    for found in each_field(SIGNER, old, new, where):
        is_gain = found.effect is Effect.WEAKENS and found not in another_key
        yield replace(found, to=new.person) if is_gain else found


def _purpose(old: Purpose, new: Purpose, where: str) -> Iterator[Difference]:
    yield weaker(f"lets {where} sign for {new}, no longer for {old}")


def _scope(old: tuple[str, ...], new: tuple[str, ...], where: str) -> Iterator[Difference]:
    yield from members(
        old, new,
        lambda word: stronger(f"no longer lets {where} sign {free(word)}"),
        lambda word: weaker(f"lets {where} sign {free(word)}"),
    )  # fmt: skip
    yield from reordered(old, new, f"scope of {where}")


def _signing_key(old: PublicKey | None, new: PublicKey | None, where: str) -> Iterator[Difference]:
    if old is not None:
        yield stronger(f"takes the key {short(old)} from {where}")
    if new is not None:
        yield weaker(f"gives {where} the key {short(new)}")


def _authority(old: str | None, new: str | None, where: str) -> Iterator[Difference]:
    if old is not None:
        yield stronger(f"takes the certificate authority {_authority_id(old)} from {where}")
    if new is not None:
        yield weaker(f"lets the certificate authority {_authority_id(new)} vouch for {where}")


def _authority_id(pem: str) -> str:
    return f"{Digest.of(pem.encode()).hex[:16]}…"


def _person(old: Name | None, new: Name | None, where: str) -> Iterator[Difference]:
    if old is None:
        yield stronger(f"says that {new} holds {where}, and so is an author of what it signs")
    else:
        yield weaker(f"says that {new or 'nobody'} holds {where}, no longer {old}")


TRUST: Mapping[str, Words] = {
    "environment": environment,
    "version": version,
    "expires": expiry("trust document"),
    "origin": _origin,
    "root": _root,
    "actors": _actors,
    "signers": _signers,
}
ROOT: Mapping[str, Words] = {
    "threshold": number("the root threshold", Effect.STRENGTHENS),
    "keys": _root_keys,
}
ACTOR: Mapping[str, Words] = {
    "name": lambda old, new, _where: [weaker(f"calls {old} {new}")],
    "roles": _roles,
    "keys": _keys,
    "until": lambda old, new, where: _until(Name(where), old, new, where),
    "retiring": _retiring,
}
SIGNER: Mapping[str, Words] = {
    "name": lambda old, new, _where: [weaker(f"calls the signer {old} {new}")],
    "purpose": _purpose,
    "scope": _scope,
    "key": _signing_key,
    "root": _authority,
    "person": _person,
    "until": lambda old, new, where: _until(None, old, new, where),
}

trust_differences = partial(each_field, TRUST)
