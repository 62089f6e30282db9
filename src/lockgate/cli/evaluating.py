"""How does a person have a release tested, and see whether that is enough? In a sandbox, with one attested result."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate.cli.bar import steps
from lockgate.cli.speaking import (
    ENDPOINT,
    EXISTING,
    FILE,
    FOLDER,
    KEY,
    TAG,
    WHERE,
    as_json,
    progress,
    show,
    speaking,
    spread,
)
from lockgate.formats.canonical import Json
from lockgate.formats.names import Endpoint, Tag

if TYPE_CHECKING:
    from lockgate.cli.placing import Place
    from lockgate.cli.trying import Demanded, Tested, Wanted
    from lockgate.core.policy import Evaluation
    from lockgate.evaluator.assignment import Portion
    from lockgate.evaluator.measured import Measured
    from lockgate.evaluator.on_trial import Surroundings
    from lockgate.evaluator.suite_folder import Suite
    from lockgate.loader.connection import Connection

MISSED = 3
SUITES = click.Path(path_type=Path, file_okay=False, exists=True)
_NOTHING_COUNTS = "only looked at: nothing was written in the log, and nothing of this counts"


@dataclass(frozen=True, slots=True)
class _Chosen:
    """How a trial is made, beside what is tried."""

    signing_key: str | None
    suites_dir: Path | None
    digest: str | None
    bindings: Path | None
    reach: tuple[str, ...]
    lacking: tuple[str, ...]
    memory: int
    reports: Path | None
    no_attest: bool
    also: tuple[str, ...]
    shard: str | None
    trial: int | None
    into: Path | None
    place: str
    cluster: Path | None
    seconds: int


@click.command()
@click.argument("tag", type=TAG)
@click.option("--suite", default="baseline", show_default=True, help="Which suite to run.")
@click.option("--endpoint", type=ENDPOINT, required=True, help="Whose demands it is held to.")
@click.option("--signing-key", type=KEY, help=f"Key for results (purpose result): {WHERE}.")
@click.option("--suites-dir", type=SUITES, help="A directory of suites, beside those that come with Lockgate.")
@click.option("--digest", help="The release digest you mean; else the server's word is taken and shown.")
@click.option("--bindings", type=SUITES, help="What the release gets as {bindings}: accounts made for tests.")
@click.option(
    "--reach", multiple=True, metavar="PORT=SOCKET", help="A port inside that leads to a unix socket outside."
)
@click.option(
    "--lacking", multiple=True, metavar="LAYER", help="A layer of the sandbox that may lack; the result says so."
)
@click.option("--also", multiple=True, metavar="COMMAND", help="Ask another scanner too, and attest what it says.")
@click.option("--memory", type=click.IntRange(64), default=4096, show_default=True, help="MiB for the release.")
@click.option("--reports", type=FOLDER, help="Where to write the reports that the result names by digest.")
@click.option("--on", "place", type=click.Choice(["bubblewrap", "kubernetes"]), default="bubblewrap", show_default=True)
@click.option("--cluster", type=EXISTING, help="On kubernetes: the file that describes the cluster (TOML).")
@click.option("--seconds", type=click.IntRange(1), default=600, show_default=True, help="How long a job may take.")
@click.option("--shard", metavar="K/N", help="Run part K of N of the suite only, and sign what came of that.")
@click.option("--into", type=FILE, help="The file that the shard is written to.")
@click.option("--trial", type=click.IntRange(0), help="Of a shard: the trial that it is of; else another is begun.")
@click.option("--no-attest", is_flag=True, help="Only look: nothing is written in the log, and nothing counts.")
@speaking
@as_json
def evaluate(tag: Tag, suite: str, endpoint: Endpoint, connection: "Connection", json_: bool, **options: object) -> int:
    """Run a suite over a release in a sandbox, and attest what came of it, passed or failed.

    Every byte is compared with what was signed; the run is written in the log before it begins; the files are scanned;
    the release is served as its manifest says, without a network; what was measured is held to what the policy demands
    at ENDPOINT. Exit 3 if that is not reached: the result is attested all the same.

    A heavy suite that says how it is split runs in shards, on as many machines as you like: the first one begins the
    trial, the others join it (--trial), and `lockgate merge` makes one result of them.
    """
    from lockgate.cli.trying import Wanted
    from lockgate.evaluator.suite_folder import find_suite
    from lockgate.formats.digest import Digest

    chosen = _Chosen(**options)  # type: ignore[arg-type]  # click has checked them
    if chosen.no_attest == (chosen.signing_key is not None):
        raise click.UsageError("say by which key the result is signed: --signing-key; or only look: --no-attest")
    portion = _portion(chosen)
    digest = Digest.parse(chosen.digest) if chosen.digest else None
    suite_ = find_suite(suite, chosen.suites_dir)
    wanted = Wanted(tag, endpoint, suite_, digest, _surroundings(chosen), chosen.also, portion, chosen.trial)
    demanded, tested = _tested(connection, wanted, chosen)
    block = demanded.block if portion.is_all else None  # a part reaches nothing by itself
    reasons = _reasons(block, tested)
    _write_reports(chosen.reports, tested.measured)
    _write_shard(chosen.into, tested.shard)
    rows = list(_rows(wanted.suite, block, tested.measured))
    found = {**_document(wanted, tested), "measures": rows, "reasons": reasons}
    show(json_, found, *_table(rows), *_last_lines(wanted, tested, reasons))
    return MISSED if reasons else 0


def _tested(connection: "Connection", wanted: "Wanted", chosen: _Chosen) -> "tuple[Demanded, Tested]":
    from lockgate.cli.fetching import size_of
    from lockgate.cli.trying import Bench

    with _place(chosen) as place:
        files = place.folder / "files"
        files.mkdir(mode=0o755)
        around = replace(wanted.around, python=place.python, workshop=place.workshop)
        wanted = replace(wanted, around=around)
        bench = Bench(connection, chosen.signing_key, place.sandbox, files)
        release, demanded = bench.find(wanted)
        with progress(f"fetching {wanted.tag}", size_of(release)) as advance:
            candidate = bench.fetch(release, advance)
        label, measures = f"{wanted.suite.about.name} over {wanted.tag}", len(wanted.suite.about.measures)
        with steps(label, measures, shown=sys.stderr.isatty()) as tell:
            return demanded, bench.test(wanted, demanded, candidate, tell)


def _place(chosen: _Chosen) -> "AbstractContextManager[Place]":
    from lockgate.cli.placing import placed

    if (chosen.place == "kubernetes") != (chosen.cluster is not None):
        raise click.UsageError("--on kubernetes and --cluster go together")
    return placed(chosen.cluster, frozenset(chosen.lacking))


def _surroundings(chosen: _Chosen) -> "Surroundings":
    from lockgate.evaluator.on_trial import Surroundings
    from lockgate.evaluator.sandbox import Limits

    reach = {}
    for each in chosen.reach:
        port, equals, socket = each.partition("=")
        if not equals or not port.isdecimal():
            raise click.UsageError(f"not PORT=SOCKET: {each[:80]!a}")
        reach[int(port)] = Path(socket)
    limits = Limits(seconds=chosen.seconds, cpu_seconds=chosen.seconds, memory=chosen.memory << 20)
    return Surroundings(limits, chosen.bindings, reach)


def _reasons(block: "Evaluation | None", tested: "Tested") -> list[str]:
    """Say what is against the release after this run: of its scan, and of what the suite demands."""
    from lockgate.evaluator.conducting import missed

    found = [f"scan: {finding}" for finding in tested.scan.findings]
    return [*found, *(missed(block, tested.measured) if block else tested.measured.trouble)]


def _rows(suite: "Suite", block: "Evaluation | None", measured: "Measured") -> "Iterator[dict[str, Json]]":
    from lockgate.core.measure import bound, reaches

    for name in suite.about.measures:
        measure, wanted = measured.measures.get(name), block.metrics.get(name) if block else None
        row: dict[str, Json] = {"measure": name, "wanted": wanted}
        if measure is None:
            yield {**row, "of": None, "value": None, "bound": None, "verdict": "MISSED" if wanted else "absent"}
            continue
        enough = wanted is None or reaches(measure, wanted)
        enough = enough and (measure.of or 0) >= ((block.least or {}).get(name, 0) if block else 0)
        verdict = ("passed" if enough else "MISSED") if wanted else "not wanted"
        yield {**row, "of": measure.of, "value": str(measure), "bound": bound(measure), "verdict": verdict}


def _table(rows: Sequence[Mapping[str, Json]]) -> list[str]:
    heads = ["MEASURE", "N", "VALUE", "LOWER BOUND", "WANTED", "VERDICT"]
    names = ("measure", "of", "value", "bound", "wanted", "verdict")
    return spread([heads, *(["-" if row[name] is None else str(row[name]) for name in names] for row in rows)])


def _document(wanted: "Wanted", tested: "Tested") -> dict[str, Json]:
    attested: dict[str, Json] = {
        suite: {"result": run.result.value, "entry": entry, "trial": run.trial}
        for suite, (run, entry) in tested.runs.items()
    }
    return {
        "tag": str(wanted.tag),
        "release": str(tested.release),
        "suite": str(wanted.suite.about.name),
        "suite_digest": str(wanted.suite.digest),
        "served": tested.measured.served,
        "isolation": list(tested.measured.isolation or ()),
        "attested": attested,
        "trial": tested.trial,
        "shard": f"{wanted.portion.number}/{wanted.portion.of}",
    }


def _last_lines(wanted: "Wanted", tested: "Tested", reasons: Sequence[str]) -> list[str]:
    held = ", ".join(tested.measured.isolation or ()) or "nothing ran"
    lines = [f"- {reason}" for reason in reasons]
    lines.append(f"release {tested.release}, suite {wanted.suite.about.name} {wanted.suite.about.version}"
                 f" ({wanted.suite.digest}), held by: {held}")  # fmt: skip
    for suite, (run, entry) in tested.runs.items():
        lines.append(f"attached {suite} {run.result} to {wanted.tag} (entry {entry})")
    if tested.shard is not None:
        lines.append(f"this is shard {wanted.portion.number} of {wanted.portion.of} of trial {tested.trial}")
    return lines if tested.trial is not None else [*lines, _NOTHING_COUNTS.upper()]


def _portion(chosen: _Chosen) -> "Portion":
    from lockgate.core.shard import MOST_SHARDS
    from lockgate.evaluator.assignment import Portion

    if chosen.shard is None:
        if chosen.trial is not None or chosen.into is not None:
            raise click.UsageError("--trial and --into are of a shard: --shard K/N")
        return Portion()
    number, slash, of = chosen.shard.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of) <= MOST_SHARDS):
        raise click.UsageError(f"not a shard like 2/5: {chosen.shard[:20]!a}")
    if chosen.no_attest or chosen.into is None or int(of) == 1:
        raise click.UsageError("a shard is one of several, signed (--signing-key) and written to a file (--into)")
    return Portion(int(number), int(of))


def _write_shard(path: Path | None, shard: bytes | None) -> None:
    from lockgate.errors import UnavailableError

    if path is None or shard is None:
        return
    try:
        path.write_bytes(shard)
    except OSError as e:
        raise UnavailableError(f"cannot write {path}: {e.strerror}") from e


def _write_reports(folder: Path | None, measured: "Measured") -> None:
    from lockgate.errors import UnavailableError

    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, record in measured.records.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(record)
    except OSError as e:
        raise UnavailableError(f"cannot write {e.filename}: {e.strerror}") from e
