"""May the desk answer this at all? A line between ordinary requests and attempts to talk a model out of its rules.

It knows the kind of English jailbreak that is passed around, by the meaning of its first sentences. It is small, and
honest about it: `guardrail.json` says what it learned from, and how often it was wrong about what it had not seen.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from lockgate.cli.demo.desk.minilm import Array, read_tensors

WEIGHTS, ABOUT = "guardrail.safetensors", "guardrail.json"
SEEN_WORDS = 24


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A direction in the space of meanings, and from where on a request is refused."""

    weights: Array
    bias: float
    threshold: float

    def risk(self, meaning: Array) -> float:
        """Say how likely a text is an attempt, from 0 to 1."""
        return 1 / (1 + math.exp(-(float(meaning @ self.weights) + self.bias)))


def read_guardrail(folder: Path) -> Guardrail:
    """Read a guardrail from the files of its component."""
    tensors = read_tensors((folder / WEIGHTS).read_bytes())
    about = json.loads((folder / ABOUT).read_bytes())
    return Guardrail(tensors["weights"], float(tensors["bias"][0]), float(about["threshold"]))


def beginning(text: str) -> str:
    """Return what the guardrail reads of a text: a long story of a jailbreak tells itself in its first words."""
    return " ".join(text.split()[:SEEN_WORDS])
