"""How are other rules asked for? With a folder for holders of root keys to sign, and a change for others to approve."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lockgate.cli.comparing import as_items, told
from lockgate.cli.speaking import FOLDER, as_json, now, read, show, speaking
from lockgate.errors import ConflictError, DeniedError, VerificationError
from lockgate.formats import canonical, dsse, plain
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.loader.whole_file import write_whole

if TYPE_CHECKING:
    from lockgate.core.ceremony import Ceremony
    from lockgate.core.change import Ruling
    from lockgate.core.difference import Difference
    from lockgate.core.metadata import Carried
    from lockgate.core.policy import Policy
    from lockgate.core.trust import Trust
    from lockgate.loader.connection import Connection

CHANGES = "changes.json"


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for other rules, of which server, and why."""

    connection: "Connection"
    reason: str | None
    held: "Carried"


@dataclass(frozen=True, slots=True)
class Order:
    """What a command that proposes the next trust document was told, besides what it proposes."""

    folder: Path
    reason: str
    connection: "Connection"
    json_: bool

    def held(self) -> "Carried":
        """Fetch what is in force."""
        return in_force(self.connection)

    def propose(self, held: "Carried", wanted: "Trust") -> None:
        """Propose the next trust document; the policy stays as it is."""
        propose(self.folder, wanted, policy_of(held), Asking(self.connection, self.reason, held), self.json_)


def ordering(command: "Callable[..., None]") -> "Callable[..., None]":
    """Give a command FOLDER, --reason and who speaks to which server; it gets them as `order`."""

    @functools.wraps(command)
    def ordered(*args: Any, folder: Path, reason: str, connection: "Connection", json_: bool, **more: Any) -> None:
        command(*args, order=Order(folder, reason, connection, json_), **more)

    told_why = click.option("--reason", required=True, help="Why, in writing.")
    return click.argument("folder", type=FOLDER)(told_why(speaking(as_json(ordered))))


@dataclass(frozen=True, slots=True)
class Step:
    """One document, and the one in force whose place it takes: None if there is none yet."""

    kind: "Ruling"
    old: "Trust | Policy | None"
    new: "Trust | Policy"


def in_force(connection: "Connection") -> "Carried":
    """Fetch the signed documents in force, and the metadata that carries them."""
    from lockgate.core.metadata import Carried

    answer = connection.get("/api/v1/rules")
    policy = answer.get("policy")
    texts = [str(answer[name]).encode() for name in ("trust", "root", "targets")]
    return Carried(texts[0], str(policy).encode() if policy is not None else None, texts[1], texts[2])


def trust_of(held: "Carried") -> "Trust":
    """Read the trust document in force."""
    from lockgate.core.trust import Trust

    return plain.decode(Trust, dsse.parse(held.trust).payload)


def policy_of(held: "Carried") -> "Policy | None":
    """Read the policy in force; a new root signs it again."""
    from lockgate.core.policy import Policy

    return plain.decode(Policy, dsse.parse(held.policy).payload) if held.policy else None


def propose(folder: Path, trust: "Trust", policy: "Policy | None", asking: Asking | None, json_: bool) -> None:
    """Begin a ceremony in `folder`, open a change for each document that is new, and say what they change.

    The first rules of an installation, and its first policy, need no change: nobody is there yet who could approve.
    """
    from lockgate.core.ceremony import draft, missing
    from lockgate.core.policy import check_policy, check_suites
    from lockgate.drivers.ceremony_folder import write_ceremony

    if policy is not None:
        check_policy(policy, now())
        if asking is None or asking.held.policy is None:  # nobody knows a suite that was added; else the server does
            check_suites(policy, ())
    if os.path.lexists(folder / "trust.json"):
        raise ConflictError(f"{folder} holds a ceremony already; a folder is used once")
    if asking is not None and not list(_steps(asking.held, trust, policy)):
        raise DeniedError("these documents are in force already")
    ceremony = draft(trust, policy, asking.held if asking else None)
    changes, differences = _opened(asking, trust, policy) if asking and asking.held.policy else ({}, [])
    write_ceremony(folder, ceremony)
    write_whole(folder / CHANGES, canonical.encode(dict(changes)))
    lacking = list(missing(ceremony))
    found = {"folder": str(folder), "missing": lacking, "changes": changes, "differences": as_items(differences)}
    lines = [f"change {number} opened, of the {kind}: others approve it" for kind, number in changes.items()]
    show(json_, found, *described(ceremony), *told(differences), *lines, *lacking, f"to be signed: {folder}")


def numbers_in(folder: Path) -> list[int]:
    """Read which changes a ceremony carries out."""
    if not (folder / CHANGES).exists():
        return []
    found = canonical.parse_object(read(folder / CHANGES))
    numbers = [number for number in found.values() if isinstance(number, int)]
    if len(numbers) != len(found):
        raise VerificationError(f"{folder / CHANGES} does not say which changes there are")
    return numbers


def described(ceremony: "Ceremony") -> list[str]:
    """Say which documents a ceremony is about."""
    named: list[tuple[str, Trust | Policy | None]] = [("trust", ceremony.trust), ("policy", ceremony.policy)]
    return [
        f"{kind} of {document.environment} version {document.version}, until {document.expires:%Y-%m-%d}: "
        f"{Digest.of(plain.encode(document))}"
        for kind, document in named
        if document is not None
    ]


def _opened(asking: Asking, trust: "Trust", policy: "Policy | None") -> "tuple[Mapping[str, int], list[Difference]]":
    from lockgate.core.difference import differences

    changes: dict[str, int] = {}
    found: list[Difference] = []
    for step in _steps(asking.held, trust, policy):
        assert step.old is not None, "where a policy is in force, both documents are"
        found += differences(step.old, step.new)
        changes[step.kind] = _open(asking, step)
    return changes, found


def _steps(held: "Carried", trust: "Trust", policy: "Policy | None") -> Iterator[Step]:
    """Say what is new: a document that stays as it is needs nobody's approval."""
    steps = [Step("trust", trust_of(held), trust)]
    if policy is not None:
        steps.append(Step("policy", policy_of(held), policy))
    return (step for step in steps if step.old != step.new)


def _open(asking: Asking, step: Step) -> int:
    from lockgate.core.change import RuleChange

    if not asking.reason:
        raise click.UsageError("say why the rules shall change: --reason")
    old, new = (Digest.of(plain.encode(document)) for document in (step.old, step.new))
    content = RuleChange(step.kind, step.new.environment, old, new, step.new.version, asking.reason)
    connection = asking.connection
    intent = connection.intend("rules.propose", content.environment, before=old, after=content.digest)
    document = plain.encode(step.new).decode()
    number = connection.act("/api/v1/proposals", intent, content=content, document=document)["first"]
    if not isinstance(number, int):
        raise VerificationError("the server says no number of the change")
    return number


def as_texts(carried: "Carried") -> dict[str, Json]:
    """Write signed documents for a request."""
    policy = carried.policy.decode() if carried.policy is not None else None
    texts: dict[str, Json] = {name: getattr(carried, name).decode() for name in ("trust", "root", "targets")}
    return {**texts, "policy": policy}
