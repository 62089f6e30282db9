"""Where does the stock `model_signing` come from, which signs and verifies OMS bundles as we do?

It is installed into an environment of its own, once, because it brings packages that we must not depend on.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

PACKAGES = ["model-signing==1.1.1", "pyOpenSSL"]  # it imports pyOpenSSL without asking for it
FOLDER = Path(os.environ.get("LOCKGATE_CACHE", Path.home() / ".cache" / "lockgate")) / "interop"
PROGRAM = FOLDER / "bin" / "model_signing"
UV = Path(__file__).parents[1] / ".tools" / "bin" / "uv"


@cache
def model_signing():
    """Give the path of the program, installing it first; skip the test where that cannot be done."""
    if not PROGRAM.exists():
        uv = str(UV) if UV.exists() else shutil.which("uv") or "uv"
        commands = [
            [uv, "venv", "--clear", str(FOLDER)],
            [uv, "pip", "install", "--python", str(FOLDER / "bin" / "python"), *PACKAGES],
        ]
        for command in commands:
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            except (OSError, subprocess.SubprocessError) as e:
                said = str(getattr(e, "stderr", "") or e).strip().splitlines()[-1:]
                pytest.skip(
                    f"no stock model_signing here ({' '.join(said)}); try: {' && '.join(map(' '.join, commands))}"
                )
    return PROGRAM
