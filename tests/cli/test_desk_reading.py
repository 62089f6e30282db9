"""What the desk reads: words, numbers, pages, a guardrail."""

import json

import numpy as np
import pytest

from lockgate.cli.demo.desk.documents import Section, cut, sections
from lockgate.cli.demo.desk.guardrail import beginning, read_guardrail
from lockgate.cli.demo.desk.minilm import MOST_PIECES, WordPieces, read_tensors, write_tensors
from lockgate.cli.demo.desk.training import Labelled, train_guardrail

VOCABULARY = "[PAD] [UNK] [CLS] [SEP] lock gate ##gate ##s caf ##e - . [".replace(" ", "\n")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("lock", [4]),
        ("Lockgates", [4, 6, 7]),
        ("LOCK  gate\n", [4, 5]),
        ("lock-gate.", [4, 10, 5, 11]),
        ("café", [8, 9]),
        ("zebra", [1]),
        ("lockzebra", [1]),
        ("lock\x00\u200bgate", [4, 6]),
        ("[SEP]", [12, 1, 1]),
        ("l" * 101, [1]),
    ],
)
def test_a_text_is_cut_into_the_longest_pieces(text, pieces):
    assert WordPieces(VOCABULARY).numbers(text) == [2, *pieces, 3]


def test_a_long_text_is_cut_off():
    assert len(WordPieces(VOCABULARY).numbers("lock " * 1000)) == MOST_PIECES


def test_numbers_come_back_as_they_were_written_and_are_written_always_the_same():
    numbers = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([0.5], np.float32)}

    written = write_tensors(numbers)

    assert written == write_tensors(dict(reversed(numbers.items())))
    assert {name: tensor.tolist() for name, tensor in read_tensors(written).items()} == {
        "a": [0.5],
        "b": [[0, 1, 2], [3, 4, 5]],
    }


def test_a_page_is_cut_into_paragraphs_of_sentences():
    page = "# Fill the lock\n\nWait for the [green light](x.md), then **fill** the `chamber` slowly.\n\n"
    page += "```sh\nfill --chamber 1 is an example of six words\n```\n\n| a | table | of | words |\n\nToo short."

    assert list(cut("how-to/x", page)) == [
        Section("how-to/x", "Fill the lock", "Wait for the green light, then fill the chamber slowly.")
    ]


def test_the_real_pages_are_found():
    found = sections(["how-to"])

    assert {"how-to/roll-back", "how-to/revoke"} < {section.page for section in found}
    assert all(6 <= len(section.text.split()) <= 40 for section in found)


def trained(tmp_path, folds, threshold=0.5):
    texts = [f"text {number}" for number in range(60)]
    meanings = np.array([[1, 0.1 * (n % 3)] if n % 2 else [-1, 0.1 * (n % 3)] for n in range(60)], np.float32)
    files = train_guardrail(Labelled(texts, [n % 2 == 1 for n in range(60)]), meanings, folds, threshold)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return files


@pytest.mark.slow
def test_a_guardrail_learns_is_trained_again_to_the_same_bytes_and_counts_its_mistakes(tmp_path):
    files = trained(tmp_path, 4)

    guardrail = read_guardrail(tmp_path)
    about = json.loads(files["guardrail.json"])
    assert files == trained(tmp_path, 4)
    assert guardrail.risk(np.array([1, 0], np.float32)) > 0.9
    assert guardrail.risk(np.array([-1, 0], np.float32)) < 0.1
    assert (about["attempts_missed"], about["ordinary_refused"]) == (0, 0)
    assert about["kept_back"] > 0 and about["learnt_from"] + about["kept_back"] == 60
    assert trained(tmp_path, 1)["guardrail.safetensors"] != files["guardrail.safetensors"]


def test_the_guardrail_reads_the_beginning_of_a_text():
    assert beginning("one\n two   three") == "one two three"
    assert beginning("word " * 100) == " ".join(["word"] * 24)
