"""What do the parts of one run come to together? The whole run, if each of them is there exactly once.

    trial ──▶ shard 1 of 3 ──signed──┐
         ├──▶ shard 2 of 3 ──signed──┼──▶ merged: counts are added ──▶ one result, signed
         └──▶ shard 3 of 3 ──signed──┘

Counts are added, shares never averaged. A shard of another run, one that is missing or there twice, and a sample that
two of them count are refused by name. What went wrong in one of them went wrong with the run (spec/shard.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import ClassVar

from lockgate.core.measure import Measure, check_measure
from lockgate.errors import VerificationError
from lockgate.formats import dsse, plain
from lockgate.formats.digest import Digest
from lockgate.formats.keys import PublicKey, Signer
from lockgate.formats.names import Tag, Version

SHARD = "application/vnd.lockgate.trial-shard+json"
MOST_SHARDS = 1000
MAX_SHARD = 64 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """Which run it is a part of: the trial that the log holds, and what was tried by what."""

    trial: int
    log: str
    tag: Tag
    release: Digest
    suite: str
    suite_version: Version
    suite_digest: Digest
    policy: Digest


@dataclass(frozen=True, slots=True)
class Shard:
    """What part `number` of `of` of a run came to. `samples` are those that it counted, by measure."""

    type: ClassVar[str] = "trial-shard/v1"
    run: Run
    number: int
    of: int
    harness: str
    harness_version: str
    started_at: datetime
    finished_at: datetime
    measures: Mapping[str, Measure]
    samples: Mapping[str, tuple[str, ...]]
    isolation: tuple[str, ...] | None
    served: bool
    trouble: tuple[str, ...]
    records: Mapping[str, Digest]


def sign_shard(shard: Shard, signer: Signer) -> bytes:
    """Write a shard as whoever ran it signs it."""
    return dsse.sign(plain.encode(shard), SHARD, [signer]).encode()


def open_shard(document: bytes, keys: Iterable[PublicKey]) -> Shard:
    """Verify that one of `keys` signed a shard, and read it; raise `VerificationError` for anything else."""
    opened = dsse.open_envelope(dsse.parse(document, limit=MAX_SHARD), SHARD, keys)
    found = plain.decode(Shard, opened.payload, limit=MAX_SHARD)
    if not 1 <= found.number <= found.of <= MOST_SHARDS:
        raise VerificationError(f"shard {found.number} of {found.of} is none of 1 to {MOST_SHARDS}")
    if found.started_at > found.finished_at:
        raise VerificationError(f"shard {found.number} finished before it started")
    return found


def merged(shards: Sequence[Shard], run: Run) -> Shard:
    """Put all shards of `run` together, as its one and only; raise `VerificationError` unless each is there once."""
    _check_each_once(shards)
    for shard in shards:
        _check_same(shard, run, shards[0])
    ordered = sorted(shards, key=lambda shard: shard.number)
    measures = _added([shard.measures for shard in ordered if not shard.trouble])
    _check_samples(ordered)
    return replace(
        ordered[0],
        number=1,
        of=1,
        started_at=min(shard.started_at for shard in shards),
        finished_at=max(shard.finished_at for shard in shards),
        measures=measures,
        samples=_union(ordered),
        isolation=_common(ordered),
        served=all(shard.served for shard in shards),
        trouble=tuple(f"shard {shard.number}: {why}" for shard in ordered for why in shard.trouble),
        records={f"shard-{one.number}/{name}": digest for one in ordered for name, digest in one.records.items()},
    )


def _check_each_once(shards: Sequence[Shard]) -> None:
    numbers = sorted(shard.number for shard in shards)
    if len(of := {shard.of for shard in shards}) != 1:
        raise VerificationError(f"the shards are of runs in {sorted(of)} parts, not of one run")
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise VerificationError(f"shard {twice[0]} is there twice")
    if missing := sorted(set(range(1, max(of) + 1)) - set(numbers)):
        raise VerificationError(f"shard {missing[0]} of {max(of)} is missing")


def _check_same(shard: Shard, run: Run, first: Shard) -> None:
    """Raise `VerificationError` for a shard of another run, or by another harness than the first one."""
    for field in fields(Run):
        found, wanted = getattr(shard.run, field.name), getattr(run, field.name)
        if found != wanted:
            what = field.name.replace("_", " ")
            raise VerificationError(f"shard {shard.number} is of another {what}: {str(found)[:80]!a}, not {wanted}")
    found, wanted = (f"{one.harness} {one.harness_version}" for one in (shard, first))
    if found != wanted and not (shard.trouble or first.trouble):
        raise VerificationError(f"shard {shard.number} was run by {found[:160]!a}, shard {first.number} by {wanted}")


def _check_samples(shards: Sequence[Shard]) -> None:
    """Raise `VerificationError` unless each count is of as many samples as there are, none of them counted twice."""
    counted: dict[tuple[str, str], int] = {}
    for shard in shards:
        if {name: measure.of for name, measure in shard.measures.items()} != _sizes(shard):
            raise VerificationError(f"shard {shard.number} does not name each sample that it counted, once")
        for name, sample in ((name, sample) for name, samples in shard.samples.items() for sample in samples):
            before = counted.setdefault((name, sample), shard.number)
            if before != shard.number:
                there = f"in shard {before} and in shard {shard.number}"
                raise VerificationError(f"sample {sample[:80]!a} of {name[:80]!a} is {there}")


def _sizes(shard: Shard) -> Mapping[str, int | None]:
    return {name: len(set(samples)) for name, samples in shard.samples.items()}


def _added(measures: Sequence[Mapping[str, Measure]]) -> Mapping[str, Measure]:
    """Add counts; a value is of its own shard alone, and cannot be merged."""
    if not measures:
        return {}
    names = {frozenset(found) for found in measures}
    if len(names) != 1:
        raise VerificationError("the shards have not measured the same")
    return {name: _sum(name, [found[name] for found in measures]) for name in sorted(*names)}


def _sum(name: str, parts: Sequence[Measure]) -> Measure:
    passed, of = 0, 0
    for part in parts:
        check_measure(name, part)
        if part.passed is None or part.of is None:
            raise VerificationError(f"measure {name[:80]!a} is a value: parts of it cannot be merged")
        passed, of = passed + part.passed, of + part.of
    check_measure(name, found := Measure(passed, of))
    return found


def _union(shards: Sequence[Shard]) -> Mapping[str, tuple[str, ...]]:
    names = sorted({name for shard in shards for name in shard.samples})
    return {name: tuple(one for shard in shards for one in shard.samples.get(name, ())) for name in names}


def _common(shards: Sequence[Shard]) -> tuple[str, ...] | None:
    """Name the layers that held every shard."""
    held = shards[0].isolation
    for shard in shards:
        held = tuple(layer for layer in held if layer in (shard.isolation or ())) if held else None
    return held or None
