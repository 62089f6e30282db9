"""What do good reports of other harnesses look like? To be spoilt one thing at a time."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "vectors" / "inspect"
INSPECT = json.loads((VECTORS / "security-memory.json").read_bytes())

HARNESSES = Path(__file__).parents[2] / "vectors" / "harnesses"
GARAK_WHOLE = (HARNESSES / "garak-whole.report.jsonl").read_bytes()
GARAK: list[Any] = [json.loads(line) for line in GARAK_WHOLE.splitlines()]
PROMPTFOO = json.loads((HARNESSES / "promptfoo-some-failed.json").read_bytes())
LM_EVAL = json.loads((HARNESSES / "lm-eval-two-wrong.json").read_bytes())


def lines(report):
    return "".join(json.dumps(line) + "\n" for line in report).encode()


def spoilt(report, where, value):
    """Change one member, found by its path; `...` takes it away."""
    found = deepcopy(report)
    *way, last = where
    inner = found
    for step in way:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(found).encode()


def places(found, way=()):
    """List the path of every member of a report."""
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for name, value in inner:
        yield (*way, name)
        yield from places(value, (*way, name))
