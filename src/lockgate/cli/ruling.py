"""How are trust and policy written down, signed m of n, and adopted?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from lockgate.cli.simulating import simulate_policy, written
from lockgate.cli.speaking import EXISTING, FILE, as_json, private_key, read, show, speaking
from lockgate.loader.whole_file import write_whole

if TYPE_CHECKING:
    from lockgate.loader.connection import Connection


@click.group()
def trust() -> None:
    """Whom an environment trusts. The document is signed by a threshold of offline root keys."""


@click.group()
def policy() -> None:
    """What an endpoint demands. The document is signed by the same root keys as the trust."""


def _sign(document: Path, keys: tuple[Path, ...], output: Path, kind: str) -> str:
    """Sign a YAML or JSON document, or add signatures to one that was signed before."""
    from lockgate.core.policy import POLICY, Policy
    from lockgate.core.trust import TRUST, Trust
    from lockgate.formats import dsse, plain
    from lockgate.formats.digest import Digest

    payload_type, of = (TRUST, Trust) if kind == "trust" else (POLICY, Policy)
    content = read(document)
    held: tuple[dsse.Signature, ...] = ()
    if content.lstrip().startswith(b'{"payload"'):
        envelope = dsse.parse(content)
        payload, held = envelope.payload, envelope.signatures
    else:
        payload = plain.encode(plain.from_plain(of, written(document, kind), str(document)))
    fresh = dsse.sign(payload, payload_type, [private_key(path) for path in keys])
    ids = {signature.key_id for signature in fresh.signatures}
    kept = tuple(signature for signature in held if signature.key_id not in ids)
    write_whole(output, dsse.Envelope(payload_type, payload, (*kept, *fresh.signatures)).encode())
    return str(Digest.of(payload))


def _signing_command(kind: str) -> click.Command:
    @click.argument("document", type=EXISTING)
    @click.option("--key", "keys", type=EXISTING, multiple=True, required=True, help="Root key, PEM. May be repeated.")
    @click.option("--output", type=FILE, required=True)
    @as_json
    def command(document: Path, keys: tuple[Path, ...], output: Path, json_: bool) -> None:
        digest = _sign(document, keys, output, kind)
        show(
            json_, {"digest": digest, "output": str(output)}, f"signed {kind} {digest} with {len(keys)} keys: {output}"
        )

    line = f"Sign a {kind} document (YAML, JSON, or one signed by others before) with root keys. Offline."
    return click.command("sign", help=line)(command)


def _showing_command(kind: str) -> click.Command:
    @speaking
    @as_json
    def command(connection: "Connection", json_: bool) -> None:
        from lockgate.formats import canonical, dsse

        envelope = dsse.parse(connection.fetch(f"/api/v1/{kind}"))
        document = canonical.parse_object(envelope.payload)
        text = yaml.safe_dump(json.loads(envelope.payload), sort_keys=False)
        show(json_, {kind: document, "signatures": len(envelope.signatures)}, text)

    return click.command("show", help=f"Show the {kind} document in force.")(command)


def _adopting_command(kind: str) -> click.Command:
    @click.argument("document", type=EXISTING)
    @speaking
    @as_json
    def command(document: Path, connection: "Connection", json_: bool) -> None:
        from lockgate.formats import dsse
        from lockgate.formats.digest import Digest

        content = read(document)
        installation = connection.get("/api/v1/installation")
        held = installation.get(kind)
        before = Digest.parse(str(held["digest"])) if isinstance(held, dict) else None
        after = Digest.of(dsse.parse(content).payload)
        intent = connection.intend(f"{kind}.adopt", installation["environment"], before=before, after=after)
        answer = connection.act(f"/api/v1/{kind}", intent, document=content.decode())
        show(
            json_, {"digest": str(after), "entry": answer["first"]}, f"adopted {kind} {after} (entry {answer['first']})"
        )

    return click.command("adopt", help=f"Put the next signed {kind} document into force.")(command)


for _kind, _group in (("trust", trust), ("policy", policy)):
    _group.add_command(_signing_command(_kind))
    _group.add_command(_showing_command(_kind))
    _group.add_command(_adopting_command(_kind))


policy.add_command(simulate_policy)


@policy.command("check")
@click.argument("document", type=EXISTING)
@as_json
def check_policy(document: Path, json_: bool) -> None:
    """Check a policy (YAML or JSON) before anybody signs it. Offline."""
    from lockgate.core.policy import Policy, check_rules
    from lockgate.formats import plain

    found = plain.from_plain(Policy, written(document, "policy"), str(document))
    for endpoint, rules in found.endpoints.items():
        check_rules(endpoint, rules)
    show(
        json_,
        {"endpoints": sorted(found.endpoints)},
        f"{document} is a policy for {', '.join(sorted(found.endpoints))}",
    )
