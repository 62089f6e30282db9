"""Do proofs convince exactly when they should?"""

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockgate.errors import VerificationError
from lockgate.tlog.merkle import (
    EMPTY_ROOT,
    CompactRange,
    Hash,
    leaf_hash,
    leaf_hashes,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tests.tlog import oracle

VECTORS = Path(os.environ.get("LOCKGATE_VECTORS", Path(__file__).parents[2] / "../shared/vectors")) / "merkle"
LEAVES = oracle.leaves(300)
ROOTS = [oracle.root(LEAVES[:size]) for size in range(301)]
OTHER = Hash(b"\xaa" * 32)


def vectors(kind: str) -> list[Any]:
    """Vectors of transparency-dev/merkle (testdata, 417fb0c, Apache-2.0), or one visible skip."""
    paths = sorted((VECTORS / kind).rglob("*.json"))
    if not paths:
        reason = "no Merkle vectors: LOCKGATE_VECTORS names no folder that has them"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason))]
    return [
        pytest.param(json.loads(path.read_text()), id=str(path.relative_to(VECTORS / kind).with_suffix("")))
        for path in paths
    ]


def hashes(encoded: list[str] | None) -> list[Hash]:
    return [Hash(b64decode(text)) for text in encoded or []]


@pytest.mark.parametrize("case", vectors("inclusion"))
def test_inclusion_vectors_get_their_verdict(case):
    def verify():
        leaf, root = hashes([case["leafHash"], case["root"]])
        verify_inclusion(leaf, case["leafIdx"], case["treeSize"], hashes(case["proof"]), root)

    if case["wantErr"]:
        with pytest.raises(VerificationError):
            verify()
    else:
        verify()


@pytest.mark.parametrize("case", vectors("consistency"))
def test_consistency_vectors_get_their_verdict(case):
    def verify():
        root1, root2 = hashes([case["root1"], case["root2"]])
        verify_consistency(case["size1"], case["size2"], hashes(case["proof"]), root1, root2)

    if case["wantErr"]:
        with pytest.raises(VerificationError):
            verify()
    else:
        verify()


def test_known_hashes_of_rfc_6962():
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert node_hash(Hash(b"N123"), Hash(b"N456")).hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


def test_leaf_hashes_are_each_leaf_hash():
    entries = [oracle.entry(i) for i in range(300)]

    assert leaf_hashes(entries) == [leaf_hash(entry) for entry in entries] == LEAVES


def test_root_is_the_recursive_root_at_every_size():
    grown = CompactRange()
    for size, root in enumerate(ROOTS):
        assert tree_root(LEAVES[:size]) == root
        assert (grown.size, grown.root()) == (size, root)
        assert CompactRange.decode(grown.encode()) == grown
        if size < 300:
            grown = grown.append(LEAVES[size])


def test_root_of_more_leaves_than_one_batch():
    many = leaf_hashes(i.to_bytes(4, "big") for i in range((1 << 14) + 3))

    assert tree_root(iter(many)) == oracle.root(many)


@given(st.lists(st.integers(0, 70), max_size=6))
def test_extending_in_any_steps_gives_the_same_tree(steps):
    grown, at = CompactRange(), 0
    for step in steps:
        grown, at = grown.extend(LEAVES[at : at + step]), min(300, at + step)

    assert grown == CompactRange().extend(LEAVES[:at])
    assert grown.root() == ROOTS[at]


def test_compact_range_of_a_thousand_million_entries_fits_a_row():
    assert len(CompactRange(2**30 - 1, (OTHER,) * 30).encode()) <= 1024


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stored: stored[:0],
        lambda stored: stored[:7],
        lambda stored: stored[:-1],
        lambda stored: stored[:-32],
        lambda stored: stored + OTHER,
        lambda stored: b"\x80" + stored[1:] + OTHER,
        lambda stored: stored[:7] + b"\x08" + stored[8:],
    ],
)
def test_spoiled_compact_range_is_refused(spoil):
    stored = CompactRange().extend(LEAVES[:7]).encode()

    with pytest.raises(VerificationError):
        CompactRange.decode(spoil(stored))


def test_all_inclusion_proofs_of_small_trees_verify():
    for size in range(1, 70):
        for index in range(size):
            verify_inclusion(LEAVES[index], index, size, oracle.path(index, LEAVES[:size]), ROOTS[size])


def test_all_consistency_proofs_of_small_trees_verify():
    for size2 in range(1, 70):
        for size1 in range(1, size2 + 1):
            proof = oracle.proof(size1, LEAVES[:size2])
            verify_consistency(size1, size2, proof, ROOTS[size1], ROOTS[size2])


@st.composite
def altered(draw: st.DrawFn, proof: list[Hash]) -> list[Hash]:
    """Spoil one thing of a proof: a bit, a hash more, a hash less, two hashes swapped, a length."""
    at = draw(st.integers(0, max(0, len(proof) - 1)))
    kinds = ["more"] + (["flip", "less", "short", "long"] if proof else []) + (["swap"] if at else [])
    match draw(st.sampled_from(kinds)):
        case "flip":
            bit = draw(st.integers(0, 255))
            flipped = int.from_bytes(proof[at], "big") ^ 1 << bit
            return [*proof[:at], Hash(flipped.to_bytes(32, "big")), *proof[at + 1 :]]
        case "less":
            return proof[:at] + proof[at + 1 :]
        case "short":
            return [*proof[:at], Hash(proof[at][:-1]), *proof[at + 1 :]]
        case "long":
            return [*proof[:at], Hash(proof[at] + b"\x00"), *proof[at + 1 :]]
        case "swap":
            return [*proof[: at - 1], proof[at], proof[at - 1], *proof[at + 1 :]]
        case _:
            return [*proof[:at], draw(st.sampled_from([OTHER, EMPTY_ROOT, LEAVES[0]])), *proof[at:]]


@given(st.data())
def test_altered_inclusion_proof_is_refused(data):
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    proof = oracle.path(index, LEAVES[:size])

    verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
    with pytest.raises(VerificationError):
        verify_inclusion(LEAVES[index], index, size, data.draw(altered(proof)), ROOTS[size])


@given(st.data())
def test_altered_consistency_proof_is_refused(data):
    size2 = data.draw(st.integers(1, 300))
    size1 = data.draw(st.integers(1, size2))
    proof = oracle.proof(size1, LEAVES[:size2])

    verify_consistency(size1, size2, proof, ROOTS[size1], ROOTS[size2])
    with pytest.raises(VerificationError):
        verify_consistency(size1, size2, data.draw(altered(proof)), ROOTS[size1], ROOTS[size2])


def test_inclusion_of_another_claim_is_refused():
    for size in range(1, 34):
        for index in range(size):
            proof = oracle.path(index, LEAVES[:size])
            claims = [
                (LEAVES[index + 1], index, size, ROOTS[size]),
                (LEAVES[index], index, size, ROOTS[size - 1]),
                (LEAVES[index], index, size, OTHER),
                (LEAVES[index], -1, size, ROOTS[size]),
                (LEAVES[index], index, index, ROOTS[size]),
                (Hash(LEAVES[index][:31]), index, size, ROOTS[size]),
                *((LEAVES[index], other, size, ROOTS[size]) for other in range(size) if other != index),
            ]
            for leaf, at, of, root in claims:
                with pytest.raises(VerificationError):
                    verify_inclusion(leaf, at, of, proof, root)


def test_consistency_of_another_claim_is_refused():
    for size2 in range(1, 34):
        for size1 in range(1, size2):
            proof = oracle.proof(size1, LEAVES[:size2])
            root1, root2 = ROOTS[size1], ROOTS[size2]
            claims = [
                (size1, size2, root2, root2),
                (size1, size2, root1, root1),
                (size1, size2, root2, root1),
                (size1, size2, OTHER, root2),
                (size1, size2, root1, OTHER),
                (size2, size1, root1, root2),
                (0, size2, EMPTY_ROOT, root2),
                (-1, size2, root1, root2),
                (size2, size2, root2, root2),
                *((other, size2, root1, root2) for other in range(1, size2) if other != size1),
            ]
            for of1, of2, claimed1, claimed2 in claims:
                with pytest.raises(VerificationError):
                    verify_consistency(of1, of2, proof, claimed1, claimed2)


def test_a_root_that_is_no_hash_cannot_be_grown():
    proof = [Hash(ROOTS[2][31:] + LEAVES[0])]

    with pytest.raises(VerificationError, match="31 bytes"):
        verify_consistency(2, 3, [LEAVES[2]], Hash(ROOTS[2][:31]), ROOTS[3])
    with pytest.raises(VerificationError, match="33 bytes"):
        verify_consistency(2, 3, proof, ROOTS[2], ROOTS[3])


def test_two_roots_at_one_size_are_a_fork():
    with pytest.raises(VerificationError, match="two roots at one size"):
        verify_consistency(5, 5, [], ROOTS[5], OTHER)


def test_a_node_is_not_an_entry():
    with pytest.raises(VerificationError):
        verify_inclusion(leaf_hash(LEAVES[0] + LEAVES[1]), 0, 2, [ROOTS[4]], ROOTS[4])
