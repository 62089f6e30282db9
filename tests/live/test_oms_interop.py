"""Do we and the stock `model_signing` accept each other's bundles, and where is it less strict?"""

import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from lockgate.core.release import Trusted
from lockgate.errors import VerificationError
from lockgate.formats.keys import PublicKey
from lockgate.loader.directory import sign_directory, verify_directory
from tests.authority import NOW, authority, leaf
from tests.stock import model_signing

ROOT = authority()
CURVES = [ec.SECP256R1(), ec.SECP384R1()]
by_curve = pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)


@pytest.fixture
def model(tmp_path):
    """A model whose files stock and spec order differently: `a-b` and `a/b`."""
    root = tmp_path / "model"
    for name in ("config.json", "a/b.safetensors", "a-b.json", "é/empty"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"" if "empty" in name else name.encode() * 100)
    return root


def stock(*arguments):
    """Run the program; return what it said if it succeeded, None if it refused."""
    command = [model_signing(), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout + done.stderr
    assert ("succeeded" in said) == (done.returncode == 0), said
    return said if done.returncode == 0 else None


def stock_key(verb, model, issued, *more):
    pem = model.parent / "key.pem"
    pem.write_bytes(issued.private_pem if verb == "sign" else issued.signer.public.pem)
    option = "--private_key" if verb == "sign" else "--public_key"
    return stock(verb, "key", option, pem, "--signature", model / "model.sig", *more, model)


def stock_certificate(verb, model, issued, *chain):
    folder = model.parent
    (folder / "key.pem").write_bytes(issued.private_pem)
    (folder / "leaf.pem").write_bytes(issued.pem)
    (folder / "chain.pem").write_bytes(b"".join(one.pem for one in chain))
    own = ["--private_key", folder / "key.pem", "--signing_certificate", folder / "leaf.pem"] if verb == "sign" else []
    chained = ["--certificate_chain", folder / "chain.pem"]
    return stock(verb, "certificate", *own, *chained, "--signature", model / "model.sig", model)


def ours(model, *keys: PublicKey, roots=()):
    return verify_directory(model, model / "model.sig", Trusted(keys, tuple(root.der for root in roots)), at=NOW)


def flip(model):
    path = model / "a" / "b.safetensors"
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)


@by_curve
def test_stock_accepts_what_we_sign_and_refuses_a_flipped_bit(model, curve):
    issued = leaf(ROOT, curve=curve)
    sign_directory(model, issued.signer, model / "model.sig")

    assert stock_key("verify", model, issued)
    flip(model)
    assert stock_key("verify", model, issued) is None
    with pytest.raises(VerificationError, match=r"a/b\.safetensors is not what was sealed"):
        ours(model, issued.signer.public)


def test_stock_accepts_a_seal_of_ours_that_lies_elsewhere(model, tmp_path):
    issued = leaf(ROOT)
    sign_directory(model, issued.signer, tmp_path / "elsewhere.sig")
    (tmp_path / "key.pem").write_bytes(issued.signer.public.pem)

    assert stock(
        "verify", "key", "--public_key", tmp_path / "key.pem", "--signature", tmp_path / "elsewhere.sig", model
    )


def test_stock_accepts_our_seal_over_git_s_files_when_told_not_to_leave_them_out(model):
    issued = leaf(ROOT)
    (model / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    sign_directory(model, issued.signer, model / "model.sig")

    assert stock_key("verify", model, issued, "--no-ignore-git-paths")
    assert stock_key("verify", model, issued) is None  # it never looks at them by default


@by_curve
def test_stock_accepts_our_seal_with_a_certificate(model, curve):
    middle = authority("middle", ROOT)
    issued = leaf(middle, curve=curve)
    sign_directory(model, issued.signer, model / "model.sig", certificates=[issued.der, middle.der])

    assert stock_certificate("verify", model, issued, ROOT)
    assert stock_certificate("verify", model, issued, authority("other")) is None
    assert ours(model, roots=[ROOT]).signed_by == issued.signer.public


@by_curve
def test_we_accept_what_stock_signs_with_a_key(model, curve):
    issued = leaf(ROOT, curve=curve)
    assert stock_key("sign", model, issued)

    component = ours(model, issued.signer.public)

    assert [file.name for file in component.files] == ["a/b.safetensors", "a-b.json", "config.json", "é/empty"]
    with pytest.raises(VerificationError, match="no key that is trusted"):
        ours(model, leaf(ROOT, "other").signer.public)


@by_curve
def test_we_accept_what_stock_signs_with_a_certificate(model, curve):
    middle = authority("middle", ROOT)
    issued = leaf(middle, curve=curve)
    assert stock_certificate("sign", model, issued, middle)

    assert ours(model, roots=[ROOT]).signed_by == issued.signer.public
    with pytest.raises(VerificationError, match="vouches"):
        ours(model, roots=[authority("other")])


def test_stock_and_we_give_one_directory_the_same_dir_hash(model):
    issued = leaf(ROOT)
    assert stock_key("sign", model, issued)
    theirs = ours(model, issued.signer.public).dir_hash

    assert sign_directory(model, issued.signer, model / "model.sig").dir_hash == theirs


def test_we_refuse_an_expired_certificate_that_stock_accepts(model):
    issued = leaf(authority("old root", days=(-900, 900)), days=(-800, -700))
    assert stock_certificate("sign", model, issued, authority("old root", days=(-900, 900)))

    assert stock_certificate("verify", model, issued, authority("old root", days=(-900, 900)))
    with pytest.raises(VerificationError, match="not at 2026-11-21"):
        ours(model, roots=[authority("old root", days=(-900, 900))])


def test_we_refuse_a_skeleton_signature_that_stock_makes_and_accepts(model):
    issued = leaf(ROOT)
    assert stock_key("sign", model, issued, "--ignore-paths", model)
    flip(model)

    assert stock_key("verify", model, issued)
    with pytest.raises(VerificationError, match="resources is not a list of at least one"):
        ours(model, issued.signer.public)


def test_we_refuse_files_that_stock_does_not_look_at(model):
    issued = leaf(ROOT)
    assert stock_key("sign", model, issued)
    (model / ".git").mkdir()
    (model / ".git" / "evil.py").touch()

    assert stock_key("verify", model, issued)
    with pytest.raises(VerificationError, match=r"not sealed: \.git/evil\.py"):
        ours(model, issued.signer.public)
