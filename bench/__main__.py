"""How fast is Lockgate beside its peers, on this machine, in this run? `python -m bench [NAME…]`

Ratios and CPU seconds, because machines are noisy. Rows go to the screen as they come and to build/bench.json.
"""

import importlib
import json
import sys
from pathlib import Path

NAMES = (
    "verify",
    "gate",
    "load",
    "store",
    "log_verify",
    "append",
    "promote",
    "updates",
    "leases",
    "push",
    "agent",
    "analysis",
    "gateway",
    "shutdown",
    "breaker",
    "kserve",
    "rollback",
    "desk",
    "bindings",
    "scan",
    "sandbox",
    "evaluate",
)
RESULTS = Path("build/bench.json")


def main(names: list[str]) -> None:
    """Run the named benches, or all."""
    if unknown := [name for name in names if name not in NAMES]:
        sys.exit(f"there is no bench {unknown[0]}; there are: {', '.join(NAMES)}")
    rows = []
    for name in names or NAMES:
        try:
            found = importlib.import_module(f"bench.{name}").rows()
        except Exception as e:  # noqa: BLE001 - a bench that cannot run is a row that was not reached, not an end
            found = [{"what": name, "figure": f"not measured: {e}", "must": "", "ok": False, "command": "make bench"}]
        for row in found:
            mark = {True: "✔", False: "✘"}.get(row["ok"], "·")
            print(f"{mark} {row['what']}\n      {row['figure']}   (must: {row['must'] or 'reported'})", flush=True)
        rows += found
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    print(f"\n{len(rows)} rows in {RESULTS}")


main(sys.argv[1:])
