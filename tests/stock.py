"""Where do the stock programs come from that others use, and with which our formats must agree?

`model_signing` signs and verifies OMS bundles as we do; Google Tink encrypts files as we do. Each is installed into an
environment of its own, once, because it brings packages that we must not depend on.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

PACKAGES = ["model-signing==1.1.1", "pyOpenSSL"]  # it imports pyOpenSSL without asking for it
TINK = ["tink==1.16.1"]
CACHE = Path(os.environ.get("LOCKGATE_CACHE", Path.home() / ".cache" / "lockgate"))
FOLDER = CACHE / "interop"
PROGRAM = FOLDER / "bin" / "model_signing"
TINK_PYTHON = CACHE / "tink" / "bin" / "python"
UV = Path(__file__).parents[1] / ".tools" / "bin" / "uv"


@cache
def model_signing():
    """Give the path of the program, installing it first; skip the test where that cannot be done."""
    return _installed(PROGRAM, PACKAGES)


@cache
def tink_python():
    """Give the path of a Python that has Tink, installing it first; skip the test where that cannot be done."""
    probe = [str(TINK_PYTHON), "-c", "import tink"]
    if TINK_PYTHON.exists() and subprocess.run(probe, capture_output=True, check=False).returncode:
        shutil.rmtree(TINK_PYTHON.parents[1])
    return _installed(TINK_PYTHON, TINK)


def _installed(program, packages):
    if not program.exists():
        folder = program.parents[1]
        uv = str(UV) if UV.exists() else shutil.which("uv") or "uv"
        commands = [
            [uv, "venv", "--clear", str(folder)],
            [uv, "pip", "install", "--python", str(folder / "bin" / "python"), *packages],
        ]
        for command in commands:
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            except (OSError, subprocess.SubprocessError) as e:
                said = str(getattr(e, "stderr", "") or e).strip().splitlines()[-1:]
                tried = " && ".join(map(" ".join, commands))
                pytest.skip(f"no stock {packages[0]} here ({' '.join(said)}); try: {tried}")
    return program
