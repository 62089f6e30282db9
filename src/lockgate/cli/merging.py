"""How do the shards of a run become one result? Verified, put together, judged and attested by whoever signs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.speaking import (
    EXISTING,
    KEY,
    TAG,
    WHERE,
    as_json,
    public_key,
    read,
    show,
    signer,
    speaking,
)
from lockgate.errors import DeniedError, VerificationError
from lockgate.formats.names import Tag

if TYPE_CHECKING:
    from lockgate.core.evidence import TestRun
    from lockgate.core.shard import Shard
    from lockgate.loader.connection import Connection


@click.command()
@click.argument("tag", type=TAG)
@click.argument("shards", type=EXISTING, nargs=-1, required=True)
@click.option("--signing-key", type=KEY, required=True, help=f"Key for results (purpose result): {WHERE}.")
@click.option("--by", type=EXISTING, multiple=True, help="Another key that signs shards, public, PEM.")
@speaking
@as_json
def merge(
    tag: Tag, shards: tuple[Path, ...], signing_key: str, by: tuple[Path, ...], connection: "Connection", json_: bool
) -> int:
    """Put the SHARDS of one trial together, and attach their one result. Exit 3 if it does not reach what is demanded.

    They are what `lockgate evaluate --shard` wrote, signed by the same key, or by one that --by names. Each must be
    there exactly once, of the same trial, and no sample in two of them.
    """
    run, reasons, entry = _attested(connection, tag, shards, signing_key, by)
    measures = {name: str(measure) for name, measure in (run.measures or {}).items()}
    found = {"result": run.result.value, "trial": run.trial, "entry": entry, "measures": measures, "reasons": reasons}
    lines = [*(f"{name} is {measure}" for name, measure in measures.items()), *(f"- {reason}" for reason in reasons)]
    show(json_, found, *lines, f"attached {run.suite} {run.result} of {len(shards)} shards to {tag} (entry {entry})")
    return 3 if reasons else 0


def _attested(
    connection: "Connection", tag: Tag, files: Sequence[Path], key: str, by: Sequence[Path]
) -> "tuple[TestRun, list[str], int]":
    """Attest what the shards come to; return the result, in what it falls short, and its entry."""
    from lockgate.cli.releasing import Signable, sign_statement
    from lockgate.cli.trying import demands_of, find_trial, log_of
    from lockgate.core.evidence import test_result
    from lockgate.core.shard import Run, merged
    from lockgate.evaluator.conducting import Trial, missed, result_of_shards
    from lockgate.formats.digest import Digest
    from lockgate.formats.statement import TEST_RESULT

    shards = _opened(files, key, by)
    release = Digest.parse(str(connection.get(f"/api/v1/releases/{tag.name}/{tag.version}")["release"]))
    held, log = find_trial(connection, tag, shards[0].run.trial), log_of(connection)
    run = Run(
        held.number, log, tag, release, held.suite, held.suite_version, held.suite_digest, held.policy
    )  # fmt: skip
    whole = merged(shards, run)
    block = demands_of(connection, held.endpoint, held.suite).block
    if block is None or block.digest != held.demands:
        raise DeniedError(f"trial {held.number} was begun under other demands than the policy makes now")
    trial = Trial(held.number, log, held.begun_at, block, held.policy)
    result, measured = result_of_shards(whole, trial)
    signed = sign_statement(connection, tag, str(release), key, Signable(TEST_RESULT, test_result(result)))
    return result, list(missed(block, measured)), int(str(signed["entry"]))


def _opened(files: Sequence[Path], key: str, by: Sequence[Path]) -> "list[Shard]":
    from lockgate.core.shard import open_shard

    keys, found = [signer(key).public, *map(public_key, by)], []
    for path in files:
        try:
            found.append(open_shard(read(path), keys))
        except VerificationError as e:
            raise VerificationError(f"{path}: {e}") from e
    return found
