"""How are trust and policy written down, signed m of n, and put into force? One folder goes from hand to hand."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import yaml

from lockgate.cli.simulating import simulate_policy, written
from lockgate.cli.speaking import EXISTING, FOLDER, KEY, as_json, asking, show, signer, speaking
from lockgate.errors import ConflictError
from lockgate.formats.canonical import Json

if TYPE_CHECKING:
    from lockgate.core.ceremony import Ceremony
    from lockgate.core.metadata import Carried
    from lockgate.core.policy import Policy
    from lockgate.core.trust import Trust
    from lockgate.loader.connection import Connection

T = TypeVar("T")
CEREMONY = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group()
def trust() -> None:
    r"""Whom an environment trusts. Signed by a threshold of offline root keys.

    \b
    lockgate trust propose trust.yaml ceremony      what will be signed, in a folder
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
@asking
@as_json
def propose_trust(
    document: Path, folder: Path, policy_file: Path | None, ask: "Callable[[], Connection]", json_: bool
) -> None:
    """Begin a ceremony in FOLDER for the trust DOCUMENT (YAML or JSON), and whatever of the policy goes with it.

    Version 1 founds an installation and asks nobody: have FOLDER signed, put it at HOME/ceremony, and `lockgate up`. A
    later version asks the server which rules are in force. A new root needs the signatures of the old one too.
    """
    from lockgate.core.ceremony import draft
    from lockgate.core.policy import Policy
    from lockgate.core.trust import Trust

    wanted: Trust = _document(Trust, document, "trust")
    ruled: Policy | None = _document(Policy, policy_file, "policy") if policy_file else None
    held = None
    if wanted.version > 1:
        held = _in_force(ask())
        ruled = ruled or propose_again(held)
    _begin(folder, draft(wanted, ruled, held), json_)


@policy.command("propose")
@click.argument("document", type=EXISTING)
@click.argument("folder", type=FOLDER)
@speaking
@as_json
def propose_policy(document: Path, folder: Path, connection: "Connection", json_: bool) -> None:
    """Begin a ceremony in FOLDER for the policy DOCUMENT (YAML or JSON); the trust stays as it is."""
    from lockgate.core.ceremony import draft
    from lockgate.core.policy import Policy
    from lockgate.core.trust import Trust
    from lockgate.formats import dsse, plain

    held = _in_force(connection)
    kept = plain.decode(Trust, dsse.parse(held.trust).payload)
    _begin(folder, draft(kept, _document(Policy, document, "policy"), held), json_)


@click.command("sign")
@click.argument("folder", type=CEREMONY)
@click.option(
    "--key", "keys", type=KEY, multiple=True, required=True, help="Root key, wherever it is; may be repeated."
)
@as_json
def sign_ceremony(folder: Path, keys: tuple[str, ...], json_: bool) -> None:
    """Sign everything in FOLDER that waits for a root key of yours. Offline. Read the documents there first.

    Metadata that says anything else than the documents is not signed.
    """
    from lockgate.core.ceremony import missing, sign
    from lockgate.drivers.ceremony_folder import read_ceremony, write_ceremony

    ceremony, lines = read_ceremony(folder), list[str]()
    signed: dict[str, Json] = {}
    for key in keys:
        holder = signer(key)
        ceremony, names = sign(ceremony, holder)
        signed[str(holder.public.key_id)] = list(names)
        lines.append(f"signed {', '.join(names)} with {holder.public.key_id.hex[:16]}…")
    write_ceremony(folder, ceremony)
    lacking = list(missing(ceremony))
    show(json_, {"signed": signed, "missing": lacking}, *_described(ceremony), *lines, *(lacking or ["complete"]))


@click.command("publish")
@click.argument("folder", type=CEREMONY)
@speaking
@as_json
def publish_ceremony(folder: Path, connection: "Connection", json_: bool) -> None:
    """Put what FOLDER holds into force, once enough root keys have signed it. Hosts learn it at once."""
    from lockgate.drivers.ceremony_folder import read_ceremony
    from lockgate.formats.digest import Digest

    ceremony = read_ceremony(folder)
    carried = ceremony.carried
    overview = connection.get("/api/v1/installation")
    held = overview.get("rules")
    before = Digest.parse(str(held)) if held is not None else None
    intent = connection.intend("rules.adopt", overview["environment"], before=before, after=Digest.of(carried.targets))
    answer = connection.act("/api/v1/rules", intent, documents=_written_out(carried))
    found = {"entry": answer["first"], "published": answer.get("published")}
    told = f"published for hosts at {found['published']}" if found["published"] else "not published for hosts yet"
    show(json_, found, *_described(ceremony), f"in force (entry {answer['first']}); {told}")


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
@as_json
def check_policy(document: Path, json_: bool) -> None:
    """Check a policy (YAML or JSON) before anybody signs it. Offline."""
    from lockgate.core.policy import Policy, check_rules

    found: Policy = _document(Policy, document, "policy")
    for endpoint, rules in found.endpoints.items():
        check_rules(endpoint, rules)
    show(
        json_,
        {"endpoints": sorted(found.endpoints)},
        f"{document} is a policy for {', '.join(sorted(found.endpoints))}",
    )


def propose_again(held: "Carried") -> "Policy | None":
    """Return the policy in force, to be signed again if the root changes."""
    from lockgate.core.policy import Policy
    from lockgate.formats import dsse, plain

    return plain.decode(Policy, dsse.parse(held.policy).payload) if held.policy else None


def _begin(folder: Path, ceremony: "Ceremony", json_: bool) -> None:
    """Write a new ceremony, and say what it wants."""
    from lockgate.core.ceremony import missing
    from lockgate.core.policy import check_rules
    from lockgate.drivers.ceremony_folder import write_ceremony

    for endpoint, rules in ceremony.policy.endpoints.items() if ceremony.policy else ():
        check_rules(endpoint, rules)
    if os.path.lexists(folder / "trust.json"):
        raise ConflictError(f"{folder} holds a ceremony already; a folder is used once")
    write_ceremony(folder, ceremony)
    lacking = list(missing(ceremony))
    show(json_, {"folder": str(folder), "missing": lacking}, *_described(ceremony), *lacking, f"to be signed: {folder}")


def _show_ceremony(folder: Path, json_: bool) -> None:
    from lockgate.core.ceremony import missing, signers
    from lockgate.drivers.ceremony_folder import read_ceremony

    ceremony = read_ceremony(folder)
    lacking, signed = list(missing(ceremony)), [str(key.key_id) for key in signers(ceremony)]
    found = {"trust": ceremony.trust, "policy": ceremony.policy, "signed_by": signed, "missing": lacking}
    show(json_, found, *_described(ceremony), *(f"signed by {key}" for key in signed), *(lacking or ["complete"]))


def _described(ceremony: "Ceremony") -> list[str]:
    from lockgate.formats import plain
    from lockgate.formats.digest import Digest

    named: list[tuple[str, Trust | Policy | None]] = [("trust", ceremony.trust), ("policy", ceremony.policy)]
    return [
        f"{kind} of {document.environment} version {document.version}, until {document.expires:%Y-%m-%d}: "
        f"{Digest.of(plain.encode(document))}"
        for kind, document in named
        if document is not None
    ]


def _in_force(connection: "Connection") -> "Carried":
    from lockgate.core.metadata import Carried

    answer = connection.get("/api/v1/rules")
    policy = answer.get("policy")
    texts = [str(answer[name]).encode() for name in ("trust", "root", "targets")]
    return Carried(texts[0], str(policy).encode() if policy is not None else None, texts[1], texts[2])


def _written_out(carried: "Carried") -> dict[str, str | None]:
    policy = carried.policy.decode() if carried.policy is not None else None
    texts = {"trust": carried.trust.decode(), "root": carried.root.decode(), "targets": carried.targets.decode()}
    return {**texts, "policy": policy}


def _document(kind: type[T], path: Path, name: str) -> T:
    from lockgate.formats import plain

    return plain.from_plain(kind, written(path, name), str(path))
