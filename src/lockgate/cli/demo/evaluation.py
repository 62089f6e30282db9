"""How good is a generation of the model? Its server is asked about every sample, and what it says is counted."""

import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from lockgate.cli.demo.company import ACCURACY, SUITE
from lockgate.cli.demo.samples import SAMPLES
from lockgate.cli.demo.stage import Stage, free_port
from lockgate.core.evidence import TestRun, Verdict
from lockgate.formats import plain


def evaluate(stage: Stage, model: Path, output: Path) -> TestRun:
    """Run the suite against the model in `model` and write the result to `output`."""
    port = free_port()
    command = [sys.executable, "-m", "lockgate.cli.demo.magika_server", "--model", str(model), "--port", str(port)]
    process = stage.start(command, "evaluation")
    try:
        url = f"http://127.0.0.1:{port}"
        stage.until("the model server answers", lambda: "model" in stage.ask(f"{url}/healthz"))
        right = sum(classify(stage, url, name) == sample.label for name, sample in SAMPLES.items())
    finally:
        stage.stop(process)
    accuracy = f"{right / len(SAMPLES):.4f}"
    verdict = Verdict.PASSED if float(accuracy) >= float(ACCURACY) else Verdict.FAILED
    run = TestRun(
        verdict, SUITE, "1.0.0", "lockgate-demo", version("lockgate"), {"accuracy": ACCURACY}, {"accuracy": accuracy},
        datetime.now(UTC),
    )  # fmt: skip
    output.write_text(json.dumps(plain.to_plain(run)))
    return run


def classify(stage: Stage, url: str, sample: str) -> str:
    """Ask a model server what a sample is."""
    return str(stage.ask(f"{url}/classify", SAMPLES[sample].content()).get("label"))
