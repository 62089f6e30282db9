"""What do good reports of other harnesses look like? To be spoilt one thing at a time."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "vectors" / "inspect"
INSPECT = json.loads((VECTORS / "security-memory.json").read_bytes())

GARAK: list[Any] = [
    {"entry_type": "start_run setup", "_config.version": "0.17.1"},
    {"entry_type": "init", "garak_version": "0.17.1", "start_time": "2026-11-26T05:00:00", "run": "r"},
    *(
        {"entry_type": "attempt", "uuid": f"u{n}", "seq": n, "status": status, "probe_classname": "dan.Dan_11_0"}
        for n in range(2)
        for status in (1, 2)
    ),
    *(
        {
            "entry_type": "eval", "probe": "dan.Dan_11_0", "detector": detector, "passed": passed, "fails": 10 - passed,
            "nones": 0, "total_evaluated": 10, "total_processed": 10, "confidence_lower": 0.0,
        }
        for detector, passed in (("dan.DAN", 9), ("mitigation.MitigationBypass", 10))
    ),
    {"entry_type": "completion", "end_time": "2026-11-26T05:01:00", "run": "r"},
    {"entry_type": "digest", "meta": {}},
]  # fmt: skip

PROMPTFOO = {
    "evalId": "eval-1",
    "results": {
        "version": 3,
        "results": [
            {
                "testIdx": test, "promptIdx": 0, "success": test != 2, "score": 1, "provider": {"id": "http"},
                "testCase": {"metadata": {"metric": "refusals"} if test > 1 else {}}, "failureReason": 0,
            }
            for test in range(4)
        ],
        "stats": {"successes": 3, "failures": 1, "errors": 0},
    },
    "metadata": {"promptfooVersion": "0.121.20"},
}  # fmt: skip

LM_EVAL = {
    "lm_eval_version": "0.4.13",
    "results": {
        "words": {"alias": "words", "acc,none": 0.9, "acc_stderr,none": 0.05, "bleu,none": 31.25, "sample_len": 30},
        "a_group": {"acc,none": 0.9},
    },
    "n-samples": {"words": {"original": 30, "effective": 30}},
    "versions": {"words": 1.0},
    "task_hashes": {"words": "ab" * 32},
}


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
