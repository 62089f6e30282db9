"""What would a harness write that asks forty questions, or its share of them? A log in the form of Inspect."""

import json
import sys
from pathlib import Path

model, number, of = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
assert (model / "weights" / "model.safetensors").read_bytes()
mine = [f"q{n}" for n in range(40)][number - 1 :: of]
samples = [{"id": one, "epoch": 1, "scores": {"right": {"value": "C"}}} for one in mine]
about = {
    "task": "questions", "task_version": 1, "dataset": {"sample_ids": mine}, "config": {"epochs": 1},
    "packages": {"inspect_ai": "0.0.1"},
}  # fmt: skip
log = {
    "version": 2, "status": "success", "invalidated": False, "eval": about, "samples": samples,
    "results": {"total_samples": len(mine), "completed_samples": len(mine)},
}  # fmt: skip
Path("/out/log.json").write_text(json.dumps(log))
