from dataclasses import replace

import numpy as np
import pytest

from lockgate.cli.demo.magika_server import Answer, Cut, Settings, classify, numbers, settle, without_model

V1 = Cut(blocks="trimmed", begin=512, middle=512, end=512, block=4096, padding=256, smallest=17, meaning=16)
V3_2 = Cut(blocks="plain", begin=1024, middle=0, end=1024, block=4096, padding=256, smallest=9, meaning=8)
V3_3 = Cut(blocks="plain", begin=1024, middle=0, end=1024, block=4096, padding=256, smallest=8, meaning=8)
PAD = 256


def counted(size):
    """Bytes of which each says where it stands, none of them white space."""
    return bytes(33 + place % 200 for place in range(size))


@pytest.mark.parametrize(("cut", "smallest"), [(V1, 17), (V3_2, 9), (V3_3, 8)])
def test_a_model_is_asked_from_its_smallest_file_on(cut, smallest):
    assert numbers(counted(smallest - 1), cut) is None
    assert numbers(counted(smallest), cut) is not None


@pytest.mark.parametrize("cut", [V1, V3_2, V3_3])
@pytest.mark.parametrize("content", [b"", b"a", b" ", b" " * 16, b"\n" * 4096, b"\t" * 4097, b" " * 20000])
def test_a_model_is_not_asked_about_next_to_nothing(cut, content):
    assert numbers(content, cut) is None


@pytest.mark.parametrize(("cut", "meaning"), [(V1, 16), (V3_2, 8), (V3_3, 8)])
def test_white_space_before_the_content_does_not_make_it_long_enough(cut, meaning):
    assert numbers(b" " * 30 + counted(meaning - 1), cut) is None
    assert numbers(b" " * 30 + counted(meaning), cut) is not None


@pytest.mark.parametrize("cut", [V1, V3_2, V3_3])
@pytest.mark.parametrize("size", [17, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 8192, 8703, 8704, 8705])
@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 0), (0, 3), (4096, 0), (0, 4096)])
def test_the_model_always_sees_as_many_numbers(cut, size, left, right):
    seen = numbers(b" " * left + counted(size) + b"\n" * right, cut)

    assert seen is None or len(seen) == cut.begin + cut.middle + cut.end
    assert seen is None or all(0 <= number <= PAD for number in seen)


def test_a_short_file_is_padded_inwards():
    content = counted(20)

    assert numbers(content, V3_2) == [*content, *[PAD] * (2048 - 40), *content]


def test_a_short_file_of_the_first_generation_has_its_middle_in_the_middle():
    content = counted(21)

    seen = numbers(content, V1)

    assert seen is not None
    assert seen[:512] == [*content, *[PAD] * 491]
    assert seen[512:1024] == [*[PAD] * 245, *content, *[PAD] * 246]
    assert seen[1024:] == [*[PAD] * 491, *content]


def test_the_generations_trim_a_short_file_differently():
    first, third = numbers(b"  " + counted(20) + b"\n", V1), numbers(b"  " + counted(20) + b"\n", V3_2)

    assert first is not None and first[:21] == [*counted(20), PAD]
    assert third is not None and third[:22] == [*counted(20), 10, PAD]
    assert first[-21:] == [PAD, *counted(20)]
    assert third[-23:] == [PAD, 32, 32, *counted(20)]


def test_a_file_of_exactly_the_size_needs_no_padding():
    assert numbers(counted(512), V1) == [*counted(512)] * 3
    assert numbers(counted(1024), V3_2) == [*counted(1024)] * 2


def test_of_a_long_file_the_outer_blocks_are_trimmed_on_the_outside_only():
    content = b" " * 10 + counted(30000) + b"\n" * 6

    for cut in (V1, V3_2):
        seen = numbers(content, cut)
        assert seen is not None
        assert seen[: cut.begin] == [*counted(30000)[: cut.begin]]
        assert seen[-cut.end :] == [*counted(30000)[-cut.end :]]


@pytest.mark.parametrize("size", [2 * 4096 + 512, 2 * 4096 + 513, 30000])
@pytest.mark.parametrize(("left", "right"), [(0, 0), (101, 0), (0, 101), (1000, 7)])
def test_the_middle_of_a_long_file_lies_between_what_was_trimmed(size, left, right):
    content = b" " * left + counted(size - left - right) + b" " * right

    seen = numbers(content, V1)

    start = left + (size - left - right - 512) // 2
    assert seen is not None and seen[512:1024] == [*content[start : start + 512]]


def test_white_space_at_the_inner_edge_of_a_block_is_kept():
    content = bytearray(counted(30000))
    content[3996:4096] = content[25904:26004] = b" " * 100

    seen = numbers(bytes(content), V1)

    assert seen is not None and seen[512:1024] == [*content[14744:15256]]


def test_one_byte_below_two_blocks_the_whole_file_is_trimmed():
    edge = 2 * 4096 + 512
    spaces = b" " * 5000
    below, at = spaces + counted(edge - 5001), spaces + counted(edge - 5000)

    assert numbers(below, V1) is not None  # trimmed as a whole: content is left
    assert numbers(at, V1) is None  # its first block is white space


@pytest.mark.parametrize(
    ("content", "label"),
    [
        (b"", "empty"),
        (b"a", "txt"),
        (b" \n", "txt"),
        ("é".encode(), "txt"),
        (b"\xff", "unknown"),
        ("é".encode()[:1], "unknown"),
        (b" " * 4096 + b"\xff", "txt"),
        (b" " * 4095 + b"\xff", "unknown"),
    ],
)
def test_what_no_model_is_asked_about_is_text_or_not(content, label):
    assert without_model(content, V1) == Answer(label, 1.0)


SETTINGS = Settings(
    model="standard_v7",
    cut=V3_2,
    number="int32",
    labels=("elf", "markdown", "odex", "python"),
    renamed={"odex": "elf"},
    thresholds={"markdown": 0.75, "odex": 0.9, "elf": 0.6},
    otherwise=0.5,
    texts=frozenset({"markdown", "python"}),
)


@pytest.mark.parametrize(
    ("label", "score", "answer"),
    [
        ("markdown", 0.75, "markdown"),
        ("markdown", 0.7499, "txt"),
        ("python", 0.5, "python"),
        ("python", 0.4999, "txt"),
        ("elf", 0.6, "elf"),
        ("elf", 0.5999, "unknown"),
        ("odex", 0.9, "elf"),
        ("odex", 0.8999, "unknown"),
    ],
)
def test_a_label_must_reach_its_threshold(label, score, answer):
    assert settle(label, score, SETTINGS) == Answer(answer, score)


def test_the_first_generation_judges_the_label_that_it_answers():
    first = replace(SETTINGS, cut=V1)

    assert settle("odex", 0.6, first) == Answer("elf", 0.6)
    assert settle("odex", 0.5999, first) == Answer("unknown", 0.5999)


class Fixed:
    """A model that always says the same, and remembers what it was asked."""

    def __init__(self, *scores):
        self.scores = scores

    def run(self, outputs, inputs):
        self.asked = outputs, inputs["bytes"].shape, inputs["bytes"].dtype
        return [np.array([self.scores], dtype=np.float32)]


def test_the_best_label_wins():
    session = Fixed(0.1, 0.8, 0.05, 0.05)

    answer = classify(counted(100), SETTINGS, session)

    assert (answer.label, round(answer.score, 6)) == ("markdown", 0.8)
    assert session.asked == (["target_label"], (1, 2048), np.dtype("int32"))


def test_an_empty_file_does_not_reach_the_model():
    session = Fixed(1.0)

    assert classify(b"", SETTINGS, session) == Answer("empty", 1.0)
    assert not hasattr(session, "asked")
