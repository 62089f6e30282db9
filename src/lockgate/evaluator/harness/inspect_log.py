"""What did Inspect find? Its log (EvalLog version 2), as JSON or as `.eval`, counted again sample by sample.

`results` of the log are means, so they are not asked. A sample counts if it ended by itself with a score that is right
or wrong; a log that was invalidated, cancelled or cut short, or in which a sample failed, is refused whole.
"""

from collections.abc import Iterator
from typing import Any

from lockgate.core.measure import Measure
from lockgate.errors import VerificationError
from lockgate.evaluator.harness.reported import MAX_REPORT, Reported, Task, counted, member, parsed
from lockgate.evaluator.harness.unzipping import unzipped

VERSION = 2
_ZIP = b"PK\x03\x04"
_RIGHT, _WRONG = ("C", 1, 1.0, True), ("I", "N", 0, 0.0, False)


def read_inspect(log: bytes) -> Reported:
    """Read a log; raise `VerificationError` for one that does not show a whole run of a task."""
    found = _unpacked(log) if log.startswith(_ZIP) else parsed(log)
    if member(found, "version", int) != VERSION:
        raise VerificationError(f"the log has version {found['version']}, and {VERSION} can be read")
    if found.get("status") != "success" or found.get("invalidated") is not False or "error" in found:
        raise VerificationError(f"the run ended as {str(found.get('status'))[:40]!a}, or was invalidated")
    about, samples = member(found, "eval", dict), member(found, "samples", list)
    task = member(about, "task", str)
    _check_whole(found, about, samples, task)
    scorers = sorted({name for sample in samples for name in member(sample, "scores", dict, task)})
    if not scorers:
        raise VerificationError(f"{task[:80]!a} has no score")
    measures = {name: _count(samples, name, task) for name in scorers}
    names = tuple(f"{sample['id']} {sample['epoch']}" for sample in samples)
    return Reported(_harness(about), {task: Task(str(about.get("task_version")), measures, names)})


def _check_whole(found: dict[str, Any], about: dict[str, Any], samples: list[Any], task: str) -> None:
    """Raise `VerificationError` unless each sample of the dataset was run in each epoch, to its end."""
    asked = member(member(about, "dataset", dict), "sample_ids", list)
    epochs = member(about, "config", dict).get("epochs") or 1
    if type(epochs) is not int:
        raise VerificationError(f"{task[:80]!a} says no number of epochs")
    wanted = sorted((str(name), str(epoch + 1)) for name in asked for epoch in range(min(epochs, 1000)))
    if not all(isinstance(sample, dict) and type(sample.get("id")) in (str, int) for sample in samples):
        raise VerificationError(f"{task[:80]!a} has samples that are none")
    ran = sorted((str(sample.get("id")), str(sample.get("epoch"))) for sample in samples)
    results = member(found, "results", dict)
    if (results.get("total_samples"), results.get("completed_samples")) != (len(wanted), len(wanted)) or ran != wanted:
        raise VerificationError(
            f"{task[:80]!a} has {len(samples)} samples, and {len(wanted)} were to be run, each once"
        )
    for sample in samples:
        for odd in ("error", "limit"):
            if sample.get(odd) is not None:
                raise VerificationError(f"sample {str(sample['id'])[:80]!a} of {task[:80]!a} ended with an {odd}")


def _count(samples: list[Any], scorer: str, task: str) -> Measure:
    def outcomes() -> Iterator[tuple[object, bool]]:
        for sample in samples:
            value = member(sample["scores"], scorer, dict, f"sample {str(sample['id'])[:80]!a}").get("value")
            if isinstance(value, dict | list) or value not in (*_RIGHT, *_WRONG):
                raise VerificationError(f"{task[:80]!a}: score {str(value)[:40]!a} is neither right nor wrong")
            yield (str(sample["id"]), sample["epoch"]), value in _RIGHT

    return counted(outcomes(), task[:80])


def _harness(about: dict[str, Any]) -> str:
    return str(member(member(about, "packages", dict), "inspect_ai", str))[:80]


def _unpacked(log: bytes) -> dict[str, Any]:
    """Put a `.eval` together: its header, with the samples that lie beside it."""
    members = unzipped(log, MAX_REPORT)
    if "header.json" not in members:
        raise VerificationError("the log is no whole .eval: it has no header.json")
    inside = [name for name in members if name.startswith("samples/") and name.endswith(".json")]
    return {**parsed(members["header.json"]), "samples": [parsed(members[name]) for name in inside]}
