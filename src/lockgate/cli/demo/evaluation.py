"""How good is a generation of the model? Its server is asked about every sample, and what it says is counted."""

import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from lockgate.cli.demo.company import MAGIKA, Subject
from lockgate.cli.demo.samples import SAMPLES
from lockgate.cli.demo.stage import Stage, free_port
from lockgate.core.evidence import TestRun, Verdict


def evaluate(stage: Stage, model: Path) -> TestRun:
    """Run the suite against the model in `model`."""
    port = free_port()
    command = [sys.executable, "-m", "lockgate.cli.demo.magika_server", "--model", str(model), "--port", str(port)]
    process = stage.start(command, "evaluation")
    try:
        url = f"http://127.0.0.1:{port}"
        stage.until("the model server answers", lambda: "model" in stage.ask(f"{url}/healthz"))
        right = sum(classify(stage, url, name) == sample.label for name, sample in SAMPLES.items())
    finally:
        stage.stop(process)
    return counted(MAGIKA, right, len(SAMPLES))


def counted(subject: Subject, right: int, of: int) -> TestRun:
    """Say what came of a suite: so many answers were right, and whether that is enough."""
    accuracy = f"{right / of:.4f}"
    verdict = Verdict.PASSED if float(accuracy) >= float(subject.accuracy) else Verdict.FAILED
    return TestRun(
        verdict, subject.suite, "1.0.0", "lockgate-demo", version("lockgate"), {"accuracy": subject.accuracy},
        {"accuracy": accuracy}, datetime.now(UTC), subject.content,
    )  # fmt: skip


def classify(stage: Stage, url: str, sample: str) -> str:
    """Ask a model server what a sample is."""
    return str(stage.ask(f"{url}/classify", SAMPLES[sample].content()).get("label"))
