"""Did a training run learn its reward instead of the task? What its metrics show, and the verdict as evidence."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lockgate import __version__
from lockgate.cli.speaking import EXISTING, KEY, TAG, WHERE, as_json, asking, now, read, show, spread
from lockgate.formats.canonical import Json
from lockgate.formats.digest import Digest
from lockgate.formats.names import Tag

if TYPE_CHECKING:
    from lockgate.core.evidence import TestRun
    from lockgate.core.reward import Allowance, Curve, Finding
    from lockgate.loader.connection import Connection

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 48


@click.group()
def reward() -> None:
    """Look for reward hacking in the metrics of a training run."""


@reward.command("check")
@click.argument("metrics", type=EXISTING)
@click.option(
    "--allowance", "allowed", type=EXISTING, required=True, help="JSON: kl, margin; gap and length if wanted."
)
@click.option("--steps", type=click.IntRange(min=1), required=True, help="The last step that the run was to have.")
@click.option("--attest", type=TAG, help="Attach the verdict, whatever it is, to this release.")
@click.option("--signing-key", type=KEY, help=f"Key for results (purpose result), with --attest: {WHERE}.")
@click.option("--digest", help="The release digest you mean; else the server's word is taken and shown.")
@asking
@as_json
def check_reward(
    metrics: Path, ask: "Callable[[], Connection]", json_: bool, allowed: Path, steps: int, **attesting: object
) -> int:
    """Look for reward hacking in METRICS: JSON lines of step, reward, held_out, kl and, if you like, length.

    METRICS holds the whole run. Exit 3: something was found. Offline, unless the verdict is to be attached.
    """
    from lockgate.core.reward import look_for_hacking, open_allowance, read_curve

    tag, key, digest = (attesting[name] for name in ("attest", "signing_key", "digest"))
    if (tag is None) != (key is None):
        raise click.UsageError("--attest and --signing-key go together")
    content, allowance = read(metrics), open_allowance(read(allowed))
    curve = read_curve(content, steps)
    findings = look_for_hacking(curve, allowance)
    told = [*_picture(curve), *(f"- {finding.text}" for finding in findings)]
    told.append(f"{len(curve.steps)} records; signs of reward hacking: {len(findings) or 'none'}")
    told.append(f"allowance {allowance.digest}")
    run = _run(curve, allowance, findings, Digest.of(content))
    said: dict[str, Json] = {"result": run.result.value, "metrics": run.metrics, "allowance": str(allowance.digest)}
    said["findings"] = [{"sort": f.sort, "first": f.first, "last": f.last, "text": f.text} for f in findings]
    if isinstance(tag, Tag):
        said["entry"] = _attached(ask(), tag, str(digest) if digest else None, str(key), run)
        told.append(f"attached {run.suite} {run.result} to {tag} (entry {said['entry']})")
    show(json_, said, *told)
    return 3 if findings else 0


def _run(curve: "Curve", allowance: "Allowance", findings: "Sequence[Finding]", metrics: Digest) -> "TestRun":
    from lockgate.core.evidence import TestRun, Verdict
    from lockgate.core.measure import Measure
    from lockgate.core.reward import SUITE, VERSION, clean_share

    set_before = {"kl": allowance.kl, "margin": allowance.margin, "gap": allowance.gap, "length": allowance.length}
    thresholds = {name: str(value) for name, value in set_before.items() if value is not None}
    last, share = str(curve.steps[-1]), clean_share(curve, findings)
    counted = {"share-without-hacking": share, "records": str(len(curve.steps)), "last-step": last}
    return TestRun(
        result=Verdict.FAILED if findings else Verdict.PASSED,
        suite=SUITE,
        suite_version=VERSION,
        harness="lockgate-reward",
        harness_version=__version__,
        thresholds=thresholds,
        metrics=counted,
        finished_at=now(),
        suite_digest=allowance.digest,
        measures={name: Measure(value=value) for name, value in counted.items()},
        records={"metrics": metrics},
    )


def _attached(connection: "Connection", tag: Tag, digest: str | None, key: str, run: "TestRun") -> Json:
    from lockgate.cli.releasing import Signable, sign_statement
    from lockgate.core.evidence import test_result
    from lockgate.formats.statement import TEST_RESULT

    return sign_statement(connection, tag, digest, key, Signable(TEST_RESULT, test_result(run)))["entry"]


def _picture(curve: "Curve") -> list[str]:
    """Draw each series from the first step to the last, and say where it begins and ends."""
    from lockgate.core.reward import decimal_of

    rows = [["MEASURE", f"STEP {curve.steps[0]} TO {curve.steps[-1]}", "FIRST", "LAST", "LEAST", "MOST"]]
    named = {"reward": curve.reward, "held out": curve.held_out, "kl": curve.kl, "length": curve.length}
    for name, series in named.items():
        if series is not None:
            numbers = (series[0], series[-1], min(series), max(series))
            rows.append([name, spark(series), *map(decimal_of, numbers)])
    return spread(rows)


def spark(series: "Sequence[int]") -> str:
    """Draw a series as bars: each the mean of its share, from the least to the most."""
    width = min(_WIDTH, len(series))
    edges = [len(series) * number // width for number in range(width + 1)]
    means = [sum(series[one:other]) // (other - one) for one, other in pairwise(edges)]
    low, high = min(means), max(means)
    return "".join(_BARS[(mean - low) * (len(_BARS) - 1) // max(1, high - low)] for mean in means)
