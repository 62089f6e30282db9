"""Where do keys lie that nobody can read? In a token of SoftHSM, made for one test."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lockgate.formats.pkcs11_uri import Pkcs11Uri

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib64/libsofthsm2.so")
KINDS = ("ed25519", "p256", "p384")
MAKING = """
import sys, pkcs11
from pkcs11.util.ec import encode_named_curve_parameters as named
module, label, kind = sys.argv[1:]
curve = {"ed25519": "1.3.101.112", "p256": "secp256r1", "p384": "secp384r1", "k1": "secp256k1"}[kind]
key_type = pkcs11.KeyType.EC_EDWARDS if kind == "ed25519" else pkcs11.KeyType.EC
how = {"mechanism": pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN} if kind == "ed25519" else {}
with pkcs11.lib(module).get_token(token_label="keys").open(rw=True, user_pin="87654321") as session:
    parameters = session.create_domain_parameters(key_type, {pkcs11.Attribute.EC_PARAMS: named(curve)}, local=True)
    parameters.generate_keypair(store=True, label=label, id=label.encode(), **how)
"""


def make_token(folder):
    """Make an empty token, its PIN in a file; return the URI of the token. Skips where there is no SoftHSM."""
    pkcs11 = pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed: pip install 'lockgate[hsm]'")
    module, program = next((path for path in MODULES if Path(path).exists()), None), shutil.which("softhsm2-util")
    if module is None or program is None:
        pytest.skip("no SoftHSM here: apt-get install --yes --no-install-recommends softhsm2")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    words = ["--init-token", "--free", "--label", "keys", "--so-pin", "12345678", "--pin", "87654321"]
    subprocess.run([program, *words], check=True, capture_output=True)
    (folder / "pin").write_text("87654321\n")
    pkcs11.unload(module)  # what it remembers of the tokens of other tests
    return Pkcs11Uri("keys", module, pin_source=str(folder / "pin"))


def make_key(token, label, kind="p256"):
    """Make a pair of keys in the token, in a process of its own; return the URI of the key."""
    subprocess.run([sys.executable, "-c", MAKING, token.module_path, label, kind], check=True, capture_output=True)
    return replace(token, label=label)
