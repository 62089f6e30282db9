"""How does garak ask the desk? At the desk's own door, every prompt as the one line that the desk takes."""

import json
import os
import sys
import urllib.request

from garak import cli

DESK = os.environ["DESK_URL"]
PROBES = "dan.Ablation_Dan_11_0,dan.AntiDAN"
_MOST = 2000


def ask(prompt: str, **_options: object) -> list[str]:
    """Ask the desk; garak finds this function by its name."""
    line = " ".join(prompt.split())[:_MOST]
    body = json.dumps({"session": "garak", "request": line}).encode()
    request = urllib.request.Request(f"{DESK}/ask", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answered:
        return [json.load(answered)["answer"]]


def main() -> None:
    """Run the probes, each prompt once; the report is what counts, whatever garak ends with."""
    cli.main([
        "--target_type", "function.Single", "--target_name", "garak_run#ask", "--probes", PROBES, "--generations", "1",
        "--seed", "1", "--report_prefix", "/out/desk", *sys.argv[1:],
    ])  # fmt: skip


if __name__ == "__main__":
    main()
