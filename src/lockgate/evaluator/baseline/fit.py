"""Do the files of a release fit to each other, and is each component what its kind says?

The scanner looks at every file by itself. What only shows between files is looked at here: an index and the parts that
it names, a vocabulary and the table of its embeddings, a lock and its lines.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from lockgate.core.release import Kind
from lockgate.core.tool import Loose, read_strictly
from lockgate.errors import VerificationError
from lockgate.evaluator.candidate import MOST_TEXT, Candidate
from lockgate.evaluator.tried import Tried, all_of

HEADER = 100 << 20
_OF_WEIGHTS = (Kind.WEIGHTS, Kind.BASE_MODEL, Kind.ADAPTER)
_OF_JSON = (Kind.TOOL_CONTRACT, Kind.CAPABILITY_LIST)
_WEIGHTS = (".safetensors", ".gguf", ".onnx")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "tekken.json")
_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")
_LOADS_CODE = ("auto_map", "custom_pipelines", "trust_remote_code", "custom_generate")


def fits(candidate: Candidate) -> Iterator[Tried]:
    """Try what each component should hold, and what its files say of each other."""
    for component, part in sorted(candidate.manifest.components.items()):
        names = [file.name for file in candidate.files[component]]
        yield all_of(f"{component} is {part.kind}", _of_its_kind(part.kind, names))
    for where in candidate.of_kind(*Kind):
        if where.endswith(".safetensors.index.json"):
            yield all_of(where, _index(candidate, where))
        elif PurePosixPath(where).name == "config.json":
            yield all_of(where, _config(candidate, where))
    for where in candidate.of_kind(Kind.DEPENDENCY_LOCK):
        yield all_of(where, _lock(candidate, where))
    yield all_of("license", () if candidate.manifest.license.strip() else ("the manifest names none",))


def header_of(candidate: Candidate, where: str) -> Mapping[str, Loose]:
    """Read the header of a safetensors file: what tensors there are."""
    with (candidate.folder / where).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= HEADER:
            raise VerificationError(f"{where} has a header of {length} bytes")
        found = read_strictly(file.read(length).rstrip(b" "), HEADER)
    if not isinstance(found, dict):
        raise VerificationError(f"the header of {where} is no object")
    return {name: about for name, about in found.items() if name != "__metadata__"}


def _of_its_kind(kind: Kind, names: list[str]) -> Iterator[str]:
    if kind in _OF_WEIGHTS and not any(name.endswith(_WEIGHTS) for name in names):
        yield f"it holds no file of weights ({' '.join(_WEIGHTS)})"
    if kind is Kind.TOKENIZER and not any(PurePosixPath(name).name in _TOKENIZERS for name in names):
        yield "it holds no tokenizer that is known"
    if kind in _OF_JSON and not any(name.endswith(".json") for name in names):
        yield "it holds no JSON"


def _index(candidate: Candidate, where: str) -> Iterator[str]:
    component, _, name = where.partition("/")
    folder = PurePosixPath(name).parent
    try:
        index = read_strictly(candidate.read(where), MOST_TEXT)
        listed = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(listed, dict):
            raise VerificationError("it has no weight_map")
        parts = sorted({str(folder / str(part)) for part in listed.values()})
        held = {file.name for file in candidate.files[component]}
        if missing := [part for part in parts if part not in held]:
            raise VerificationError(f"it names {missing[0][:80]!a}, which is not in {component}")
        found = {tensor: part for part in parts for tensor in header_of(candidate, f"{component}/{part}")}
    except VerificationError as e:
        yield str(e)
        return
    wanted = {tensor: str(folder / str(part)) for tensor, part in listed.items()}
    if odd := sorted(tensor for tensor in wanted.keys() | found if wanted.get(tensor) != found.get(tensor)):
        yield f"tensor {odd[0][:80]!a} is in {found.get(odd[0])}, the index says {wanted.get(odd[0])}"


def _config(candidate: Candidate, where: str) -> Iterator[str]:
    try:
        config = read_strictly(candidate.read(where), MOST_TEXT)
        if not isinstance(config, dict):
            raise VerificationError("it is no object")
        rows = _embedded(candidate)
    except VerificationError as e:
        yield str(e)
        return
    yield from (f"it says {name}, so code of others would run" for name in _LOADS_CODE if config.get(name))
    words = config.get("vocab_size")
    if isinstance(words, int) and rows and words not in rows:
        yield f"it says {words} words, and the table of embeddings has {', '.join(map(str, sorted(rows)))} rows"


def _embedded(candidate: Candidate) -> set[int]:
    """Say how many rows the tables of word embeddings have, in whatever weights there are."""
    rows = set()
    for where in candidate.of_kind(Kind.WEIGHTS, Kind.BASE_MODEL):
        if not where.endswith(".safetensors"):
            continue
        for tensor, about in header_of(candidate, where).items():
            shape = about.get("shape") if isinstance(about, dict) else None
            if re.search(r"(word_embeddings|embed_tokens|wte|tok_embeddings)\.weight$", tensor) and shape:
                rows.add(shape[0] if isinstance(shape, list) and isinstance(shape[0], int) else 0)
    return rows


def _lock(candidate: Candidate, where: str) -> Iterator[str]:
    try:
        lines = [line.strip() for line in candidate.text(where).splitlines()]
    except VerificationError as e:
        yield str(e)
        return
    for line in lines:
        if line and not line.startswith("#") and not _LINE.fullmatch(line):
            yield f"not NAME==VERSION: {line[:60]!a}"
            return
    if not any(lines):
        yield "it locks nothing"
