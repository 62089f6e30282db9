"""How does lm-eval ask the desk? As a model whose words are those of the desk, and the page that they quote."""

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

from lm_eval.__main__ import cli_evaluate
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

DESK = os.environ["DESK_URL"]


@register_model("desk")
class Desk(LM):  # type: ignore[misc]  # lm-eval lives in an environment of its own
    """The release that serves."""

    def __init__(self, **_options: object) -> None:
        super().__init__()

    def generate_until(self, requests: list[Any], **_options: object) -> list[str]:
        """Ask each question; one that is not answered ends the run."""
        return [_asked(request.args[0]) for request in requests]

    def loglikelihood(self, requests: list[Any], **_options: object) -> list[Any]:
        """Refuse: a desk says words, and not how likely they are."""
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def _asked(question: str) -> str:
    body = json.dumps({"session": "lm-eval", "request": question}).encode()
    request = urllib.request.Request(f"{DESK}/ask", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answered:
        answer = json.load(answered)
    pages = [f"[{step['page']}]" for step in answer["steps"] if step["step"] == "quote"]
    return " ".join([answer["answer"], *pages])


if __name__ == "__main__":
    sys.argv = [
        "lm_eval", "run", "--model", "desk", "--include_path", str(Path(__file__).parent), "--tasks", "desk-pages",
        "--output_path", "/out/results.json", "--log_samples", *sys.argv[1:],
    ]  # fmt: skip
    cli_evaluate()
