"""What does this text mean, as 384 numbers? all-MiniLM-L6-v2, six layers of BERT, in nothing but numpy.

    text ──▶ word pieces ──▶ six times (attention, feed forward) ──▶ mean over the pieces ──▶ a vector of length 1

Read from `model.safetensors` and `vocab.txt` as their publisher wrote them; safetensors is a length, a JSON header and
the bare numbers (https://github.com/huggingface/safetensors), so that nothing in it can be executed.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_TYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8")}

Array: TypeAlias = NDArray[np.float32]
MOST_PIECES = 256  # as the publisher cut it when it was trained
_LAYERS, _HEADS, _EPSILON = 6, 12, 1e-12
_LONGEST_WORD = 100
_BATCH = 32
_REMEMBERED = 4096


def read_tensors(content: bytes) -> dict[str, Array]:
    """Read a safetensors file; what has another type or lies outside of it is an error."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    body = memoryview(content)[8 + length :]
    tensors = {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        begin, end = about["data_offsets"]
        tensors[name] = np.frombuffer(body[begin:end], _TYPES[about["dtype"]]).reshape(about["shape"])
    return tensors


def write_tensors(tensors: Mapping[str, Array]) -> bytes:
    """Write numbers as safetensors: the same ones always give the same bytes."""
    header, chunks, at = {}, [], 0
    for name, tensor in sorted(tensors.items()):
        chunk = np.ascontiguousarray(tensor, dtype="<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(chunk)]}
        chunks.append(chunk)
        at += len(chunk)
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + b"".join(chunks)


class WordPieces:
    """Cut a text into the pieces of a vocabulary, in lower case and without accents (BERT, uncased)."""

    def __init__(self, vocabulary: str) -> None:
        self._number = {piece: number for number, piece in enumerate(vocabulary.splitlines())}
        self._first, self._last = self._number["[CLS]"], self._number["[SEP]"]
        self._unknown = self._number["[UNK]"]

    def numbers(self, text: str) -> list[int]:
        """Return the numbers of the pieces, between a first and a last one."""
        found = [number for word in _words(text) for number in self._cut(word)]
        return [self._first, *found[: MOST_PIECES - 2], self._last]

    def _cut(self, word: str) -> list[int]:
        found: list[int] = []
        at = 0
        while at < len(word) <= _LONGEST_WORD:
            prefix = "##" if at else ""
            ends = (end for end in range(len(word), at, -1) if prefix + word[at:end] in self._number)
            end = next(ends, None)
            if end is None:
                return [self._unknown]
            found.append(self._number[prefix + word[at:end]])
            at = end
        return found or [self._unknown]


def _words(text: str) -> Iterator[str]:
    """Yield words and single marks of punctuation."""
    plain = unicodedata.normalize("NFD", "".join(character for character in text if _is_kept(character)).lower())
    word = ""
    for character in plain:
        if unicodedata.category(character) == "Mn":
            continue
        if character.isspace() or _stands_alone(character):
            if word:
                yield word
            word = ""
            if not character.isspace():
                yield character
        else:
            word += character
    if word:
        yield word


def _is_kept(character: str) -> bool:
    return character in "\t\n\r" or (character != "\ufffd" and not unicodedata.category(character).startswith("C"))


def _stands_alone(character: str) -> bool:
    """Tell punctuation, what ASCII has beside letters and digits, and ideographs."""
    if character.isascii():
        return not character.isalnum()
    return unicodedata.category(character).startswith("P") or "\u4e00" <= character <= "\u9fff"


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's numbers, the three projections of attention in one."""

    attend: Array
    attend_bias: Array
    out: Array
    out_bias: Array
    up: Array
    up_bias: Array
    down: Array
    down_bias: Array
    norms: tuple[tuple[Array, Array], tuple[Array, Array]]


class MiniLm:
    """The model, ready to read. The same text always gives the same vector on one machine."""

    def __init__(self, weights: bytes, vocabulary: str) -> None:
        tensors = read_tensors(weights)
        self._pieces = WordPieces(vocabulary)
        self._words = tensors["embeddings.word_embeddings.weight"]
        places = tensors["embeddings.position_embeddings.weight"]
        self._places = places + tensors["embeddings.token_type_embeddings.weight"][0]
        self._norm = (tensors["embeddings.LayerNorm.weight"], tensors["embeddings.LayerNorm.bias"])
        self._layers = [_layer(tensors, f"encoder.layer.{number}.") for number in range(_LAYERS)]
        self._remembered = lru_cache(_REMEMBERED)(lambda text: self._read([self._pieces.numbers(text)])[0])

    def vector(self, text: str) -> Array:
        """Return what one text means; asked again, it is remembered."""
        return self._remembered(text)

    def vectors(self, texts: Sequence[str]) -> Array:
        """Return what many texts mean, one in a row."""
        numbers = [self._pieces.numbers(text) for text in texts]
        by_length = sorted(range(len(texts)), key=lambda index: len(numbers[index]))
        found = np.zeros((len(texts), self._words.shape[1]), np.float32)
        for at in range(0, len(texts), _BATCH):
            chosen = by_length[at : at + _BATCH]
            found[chosen] = self._read([numbers[index] for index in chosen])
        return found

    def _read(self, rows: Sequence[Sequence[int]]) -> Array:
        longest = max(map(len, rows))
        seen = np.array([[*([1] * len(row)), *([0] * (longest - len(row)))] for row in rows], np.float32)
        numbers = np.array([[*row, *([0] * (longest - len(row)))] for row in rows])
        shape = len(rows), longest
        hidden = _normal(self._words[numbers] + self._places[:longest], *self._norm).reshape(len(rows) * longest, -1)
        for layer in self._layers:
            hidden = _pass(layer, hidden, shape, (seen - 1)[:, None, None, :] * np.float32(1e9))
        mean = (hidden.reshape(*shape, -1) * seen[:, :, None]).sum(axis=1) / seen.sum(axis=1, keepdims=True)
        return unit(mean)


def unit(vectors: Array) -> Array:
    """Make each vector as long as 1."""
    length: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)


def _layer(tensors: Mapping[str, Array], at: str) -> _Layer:
    def of(name: str) -> tuple[Array, Array]:
        return tensors[f"{at}{name}.weight"], tensors[f"{at}{name}.bias"]

    heads = [of(f"attention.self.{name}") for name in ("query", "key", "value")]
    out, up, down = of("attention.output.dense"), of("intermediate.dense"), of("output.dense")
    return _Layer(
        np.concatenate([weight for weight, _ in heads]).T.copy(), np.concatenate([bias for _, bias in heads]),
        out[0].T.copy(), out[1], up[0].T.copy(), up[1], down[0].T.copy(), down[1],
        (of("attention.output.LayerNorm"), of("output.LayerNorm")),
    )  # fmt: skip


def _pass(layer: _Layer, hidden: Array, shape: tuple[int, int], hide: Array) -> Array:
    rows, places = shape
    width = hidden.shape[1]
    mixed = (hidden @ layer.attend + layer.attend_bias).reshape(rows, places, 3, _HEADS, width // _HEADS)
    query, key, value = mixed.transpose(2, 0, 3, 1, 4)
    weights = query @ key.transpose(0, 1, 3, 2) / np.float32((width // _HEADS) ** 0.5) + hide
    weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    attended = (weights @ value).transpose(0, 2, 1, 3).reshape(rows * places, width)
    hidden = _normal(hidden + attended @ layer.out + layer.out_bias, *layer.norms[0])
    raised = _gelu(hidden @ layer.up + layer.up_bias)
    return _normal(hidden + raised @ layer.down + layer.down_bias, *layer.norms[1])


def _normal(values: Array, weight: Array, bias: Array) -> Array:
    mean = values.mean(axis=-1, keepdims=True)
    spread = np.sqrt(values.var(axis=-1, keepdims=True) + np.float32(_EPSILON))
    return (values - mean) / spread * weight + bias


def _gelu(values: Array) -> Array:
    """Return x·Φ(x), with Φ from Abramowitz and Stegun 7.1.26, which is within 1.5e-7 of it."""
    size = np.abs(values)
    size *= np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * size)
    tail = np.full_like(t, 1.061405429)
    for term in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail *= t
        tail += np.float32(term)
    tail *= t
    size *= size
    tail *= np.exp(np.negative(size, out=size), out=size)
    tail /= 2
    np.subtract(1, tail, out=tail, where=values >= 0)
    tail *= values
    return tail
