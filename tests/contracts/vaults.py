"""Which vaults are there to test? Files, memory, and a token of SoftHSM that is made for each test."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lockgate.drivers.local_vault import LocalVault
from lockgate.drivers.memory import MemoryVault
from lockgate.formats.names import Name
from lockgate.formats.pkcs11_uri import Pkcs11Uri

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib64/libsofthsm2.so")
PROD = Name("prod")


def soft_token(folder):
    """Make an empty token in `folder`, its PIN in a file, and return its URI; skip where there is no SoftHSM."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed: pip install 'lockgate[hsm]'")
    module = next((path for path in MODULES if Path(path).exists()), None)
    program = shutil.which("softhsm2-util")
    if module is None or program is None:
        pytest.skip("no SoftHSM here: apt-get install --yes --no-install-recommends softhsm2")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    words = ["--init-token", "--free", "--label", "vault", "--so-pin", "12345678", "--pin", "87654321"]
    subprocess.run([program, *words], check=True, capture_output=True)
    (folder / "pin").write_text("87654321\n")
    return Pkcs11Uri("vault", module, pin_source=str(folder / "pin"))


def open_token(uri, environment=PROD):
    """Open a token afresh, as another process would: what the module remembers of other tokens is forgotten."""
    import pkcs11

    from lockgate.drivers.pkcs11_vault import Pkcs11Vault

    pkcs11.unload(uri.module_path)
    return Pkcs11Vault(uri, environment)


def make_vault(kind, folder):
    """Give a vault of one kind, and a function that opens it again as another process would."""
    if kind == "memory":
        vault = MemoryVault()
        return vault, lambda: vault
    if kind == "local vault":
        return LocalVault(folder / "vault"), lambda: LocalVault(folder / "vault")
    uri = soft_token(folder)
    return open_token(uri), lambda: open_token(uri)
