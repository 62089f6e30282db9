"""How are trust and policy written down, signed m of n, and put into force? One folder goes from hand to hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import yaml

from lockgate.cli.proposing import (
    Asking,
    as_texts,
    described,
    in_force,
    numbers_in,
    policy_of,
    propose,
    trust_of,
)
from lockgate.cli.simulating import simulate_policy, written
from lockgate.cli.speaking import EXISTING, FOLDER, KEY, as_json, asking, now, show, signer, speaking
from lockgate.formats.canonical import Json

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection

T = TypeVar("T")
REASON = click.option("--reason", help="Why, in writing. Not needed for the first rules of an installation.")
CEREMONY = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group()
def trust() -> None:
    r"""Whom an environment trusts. Signed by a threshold of offline root keys.

    \b
    lockgate trust propose trust.yaml ceremony      a change, and what will be signed, in a folder
    lockgate change approve N                       others, who see what it changes
    lockgate trust sign ceremony --key root1.pem    each holder of a root key, offline
    lockgate trust show ceremony                    what still lacks signatures
    lockgate trust publish ceremony                 into force, and to all hosts
    """


@click.group()
def policy() -> None:
    """What an endpoint demands. Signed like the trust, by the same root keys, in the same kind of folder."""


@trust.command("propose")
@click.argument("document", type=EXISTING)
@click.argument("folder", type=FOLDER)
@click.option("--policy", "policy_file", type=EXISTING, help="A policy (YAML or JSON) that is to change with it.")
@REASON
@asking
@as_json
def propose_trust(
    document: Path,
    folder: Path,
    policy_file: Path | None,
    reason: str | None,
    ask: "Callable[[], Connection]",
    json_: bool,
) -> None:
    """Propose the trust DOCUMENT (YAML or JSON): a change that others approve, and a ceremony in FOLDER to be signed.

    Says every difference from the document in force. Version 1 founds an installation and asks nobody: have FOLDER
    signed, put it at HOME/ceremony, and `lockgate up`. A new root needs the signatures of the old one too.
    """
    from lockgate.core.policy import Policy
    from lockgate.core.trust import Trust

    wanted: Trust = _document(Trust, document, "trust")
    ruled: Policy | None = _document(Policy, policy_file, "policy") if policy_file else None
    if wanted.version == 1:
        propose(folder, wanted, ruled, None, json_)
        return
    connection = ask()
    held = in_force(connection)
    propose(folder, wanted, ruled or policy_of(held), Asking(connection, reason, held), json_)


@policy.command("propose")
@click.argument("document", type=EXISTING)
@click.argument("folder", type=FOLDER)
@REASON
@speaking
@as_json
def propose_policy(document: Path, folder: Path, reason: str | None, connection: "Connection", json_: bool) -> None:
    """Propose the policy DOCUMENT (YAML or JSON): a change that others approve, and a ceremony in FOLDER to be signed.

    Says every difference from the policy in force. The trust stays as it is.
    """
    from lockgate.core.policy import Policy

    held = in_force(connection)
    wanted: Policy = _document(Policy, document, "policy")
    propose(folder, trust_of(held), wanted, Asking(connection, reason, held), json_)


@click.command("sign")
@click.argument("folder", type=CEREMONY)
@click.option(
    "--key", "keys", type=KEY, multiple=True, required=True, help="Root key, wherever it is; may be repeated."
)
@click.option("--more", is_flag=True, help="Sign although enough others have: where nobody is left to approve.")
@as_json
def sign_ceremony(folder: Path, keys: tuple[str, ...], more: bool, json_: bool) -> None:
    """Sign everything in FOLDER that waits for a root key of yours. Offline. Read the documents there first.

    Metadata that says anything else than the documents is not signed.
    """
    from lockgate.core.ceremony import missing, sign
    from lockgate.drivers.ceremony_folder import read_ceremony, write_ceremony

    ceremony, lines = read_ceremony(folder), list[str]()
    signed: dict[str, Json] = {}
    for key in keys:
        holder = signer(key)
        ceremony, names = sign(ceremony, holder, more=more)
        signed[str(holder.public.key_id)] = list(names)
        lines.append(f"signed {', '.join(names)} with {holder.public.key_id.hex[:16]}…")
    write_ceremony(folder, ceremony)
    lacking = list(missing(ceremony))
    show(json_, {"signed": signed, "missing": lacking}, *described(ceremony), *lines, *(lacking or ["complete"]))


@click.command("publish")
@click.argument("folder", type=CEREMONY)
@click.option(
    "--change", "changes", type=int, multiple=True, help="A change that approves it, besides those in FOLDER."
)
@speaking
@as_json
def publish_ceremony(folder: Path, changes: tuple[int, ...], connection: "Connection", json_: bool) -> None:
    """Put what FOLDER holds into force, once root keys signed it and others approved it. Hosts learn it at once."""
    from lockgate.drivers.ceremony_folder import read_ceremony
    from lockgate.formats.digest import Digest

    ceremony = read_ceremony(folder)
    carried = ceremony.carried
    overview = connection.get("/api/v1/installation")
    held = overview.get("rules")
    before = Digest.parse(str(held)) if held is not None else None
    intent = connection.intend("rules.adopt", overview["environment"], before=before, after=Digest.of(carried.targets))
    numbers = sorted({*numbers_in(folder), *changes})
    answer = connection.act("/api/v1/rules", intent, documents=as_texts(carried), changes=numbers)
    found = {"entry": answer["first"], "published": answer.get("published")}
    told = f"published for hosts at {found['published']}" if found["published"] else "not published for hosts yet"
    show(json_, found, *described(ceremony), f"in force (entry {answer['first']}); {told}")


def _showing_command(kind: str) -> click.Command:
    @click.argument("folder", type=CEREMONY, required=False)
    @asking
    @as_json
    def command(folder: Path | None, ask: "Callable[[], Connection]", json_: bool) -> None:
        from lockgate.formats import canonical, dsse

        if folder is not None:
            _show_ceremony(folder, json_)
            return
        envelope = dsse.parse(ask().fetch(f"/api/v1/{kind}"))
        document = canonical.parse_object(envelope.payload)
        text = yaml.safe_dump(json.loads(envelope.payload), sort_keys=False)
        show(json_, {kind: document, "signatures": len(envelope.signatures)}, text)

    line = f"Show the {kind} document in force; or, of a ceremony's FOLDER, what is proposed and what lacks signatures."
    return click.command("show", help=line)(command)


for _kind, _group in (("trust", trust), ("policy", policy)):
    _group.add_command(sign_ceremony)
    _group.add_command(publish_ceremony)
    _group.add_command(_showing_command(_kind))


policy.add_command(simulate_policy)


@policy.command("check")
@click.argument("document", type=EXISTING)
@click.option("--added", metavar="SUITE", multiple=True, help="A suite that was added: nobody is asked for them here.")
@as_json
def check_policy(document: Path, added: tuple[str, ...], json_: bool) -> None:
    """Check a policy (YAML or JSON) before anybody signs it. Offline."""
    from lockgate.core.policy import Policy, check_suites
    from lockgate.core.policy import check_policy as check

    found: Policy = _document(Policy, document, "policy")
    check(found, now())
    check_suites(found, added)
    show(
        json_,
        {"endpoints": sorted(found.endpoints)},
        f"{document} is a policy for {', '.join(sorted(found.endpoints))}",
    )


def _show_ceremony(folder: Path, json_: bool) -> None:
    from lockgate.core.ceremony import missing, signers
    from lockgate.drivers.ceremony_folder import read_ceremony

    ceremony = read_ceremony(folder)
    lacking, signed = list(missing(ceremony)), [str(key.key_id) for key in signers(ceremony)]
    found = {"trust": ceremony.trust, "policy": ceremony.policy, "signed_by": signed, "missing": lacking}
    show(json_, found, *described(ceremony), *(f"signed by {key}" for key in signed), *(lacking or ["complete"]))


def _document(kind: type[T], path: Path, name: str) -> T:
    from lockgate.formats import plain

    return plain.from_plain(kind, written(path, name), str(path))
