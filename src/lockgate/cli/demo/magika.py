"""Where do the demo's models come from, and which component is which file of them?

    wheel   magika 0.5.1      0.6.1          (0.6.1, other thresholds)    1.0.2
    model   standard_v1  →    standard_v3_2  →    standard_v3_2      →    standard_v3_3
    release 0.9.0             1.0.0 MAJOR         1.0.1 PATCH             1.1.0 MINOR

The wheels are pinned by hash ([wheels](wheels.py)). Only the files named here are read from them, and nothing of them
is ever executed. A component is a byte-exact copy, with four exceptions that are ours: `config/model.json` says what
upstream has in its code only (the model's name, the smallest file that it is asked about), `config/intake.json` how its
server may be asked, 1.0.1 changes one number of 1.0.0, so that a short Markdown note gets its name, and a release of
the chapter `rollout` may say in `config/serving.json` how its requests are served.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lockgate.cli.demo import wheels
from lockgate.cli.demo.wheels import Wheel, locked

LICENSE = "Apache-2.0"
_GOOD = "import json\n\n\ndef read(path):\n    return json.loads(path.read_text())\n"
INTAKE = {
    "type": "intake/v1",
    "ready": "/healthz",
    "takes": [
        {"path": "/classify", "content": "bytes", "most": 10 << 20, "good": _GOOD, "same": ["/label", "/model"]},
    ],
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One published wheel and the model in it."""

    wheel: str
    sha256: str
    model: str
    smallest: int
    config: tuple[str, ...]

    @property
    def published(self) -> Wheel:
        """Say which wheel it is: the one for any platform, without upstream's own executable."""
        return Wheel("magika", self.wheel, self.sha256)

    @property
    def filename(self) -> str:
        """Say what the wheel is called."""
        return self.published.filename


@dataclass(frozen=True, slots=True)
class Release:
    """What of which generation a release of the demo is made of."""

    version: str
    generation: Generation
    thresholds: Mapping[str, float] = field(default_factory=dict)
    serving: Mapping[str, int] = field(default_factory=dict)


STANDARD_V1 = Generation(
    wheel="0.5.1",
    sha256="a4d1f64f71460f335841c13c3d16cfc2cb21e839c1898a1ae9bd5adc8d66cb2b",
    model="standard_v1",
    smallest=17,
    config=(
        "magika/config/content_types_config.json",
        "magika/config/magika_config.json",
        "magika/models/standard_v1/model_config.json",
        "magika/models/standard_v1/model_output_overwrite_map.json",
        "magika/models/standard_v1/thresholds.json",
    ),
)
STANDARD_V3_2 = Generation(
    wheel="0.6.1",
    sha256="15838d2469f1394d8e9598bc7fceea1ede7f35aebe9675c6b45c6b5c48315931",
    model="standard_v3_2",
    smallest=9,
    config=("magika/config/content_types_kb.min.json", "magika/models/standard_v3_2/config.min.json"),
)
STANDARD_V3_3 = Generation(
    wheel="1.0.2",
    sha256="c50be7a6a7132ef1a92956694401aaf911bda8fc5e2a591092e0dac5b5865a8a",
    model="standard_v3_3",
    smallest=8,
    config=("magika/config/content_types_kb.min.json", "magika/models/standard_v3_3/config.min.json"),
)
GENERATIONS = (STANDARD_V1, STANDARD_V3_2, STANDARD_V3_3)
RELEASES = (
    Release("0.9.0", STANDARD_V1),
    Release("1.0.0", STANDARD_V3_2),
    Release("1.0.1", STANDARD_V3_2, thresholds={"markdown": 0.6}),
    Release("1.1.0", STANDARD_V3_3),
)


def fetch(cache: Path, generations: Sequence[Generation] = GENERATIONS) -> dict[str, Path]:
    """Return the wheels by their own version, fetching what the cache lacks or holds in another form."""
    found = wheels.fetch(cache, [generation.published for generation in generations])
    return {generation.wheel: found[generation.published] for generation in generations}


def build(fetched: Mapping[str, Path], into: Path, releases: Sequence[Release] = RELEASES) -> None:
    """Write `into/VERSION/{weights,config,dependency-lock}/…` for each release; none of them may be there before."""
    lock = "".join(f"{line}\n" for line in locked(("numpy", "onnxruntime"))).encode()
    for release in releases:
        for name, content in _components(release, fetched[release.generation.wheel]).items():
            _write(into / release.version / name, content)
        _write(into / release.version / "dependency-lock" / "requirements.txt", lock)


def _components(release: Release, wheel: Path) -> dict[str, bytes]:
    generation = release.generation
    with zipfile.ZipFile(wheel) as archive:
        files = {f"config/{Path(member).name}": archive.read(member) for member in generation.config}
        files["weights/model.onnx"] = archive.read(f"magika/models/{generation.model}/model.onnx")
    if release.thresholds:
        main = json.loads(files["config/config.min.json"])
        main["thresholds"] |= release.thresholds
        files["config/config.min.json"] = json.dumps(main, separators=(",", ":")).encode()
    if release.serving:
        files["config/serving.json"] = json.dumps(dict(release.serving)).encode() + b"\n"
    named = {
        "name": generation.model,
        "smallest": generation.smallest,
        "published_in": generation.filename,
        "sha256": generation.sha256,
    }
    written = {"config/model.json": named, "config/intake.json": INTAKE}
    return {**files, **{name: json.dumps(content, indent=2).encode() + b"\n" for name, content in written.items()}}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)


def contract(release: Path) -> dict[str, list[str]]:
    """Return what a user of the built `release` may rely on: the model's tensors, and every label it can answer."""
    config = release / "config"
    if (config / "model_config.json").exists():
        trained = json.loads((config / "model_config.json").read_bytes())
        sizes = trained["cfg"]["input_sizes"].values()
        labels = trained["train_dataset_info"]["target_labels_info"]["target_labels_space"]
        renamed = json.loads((config / "model_output_overwrite_map.json").read_bytes())
        number = "float32"
    else:
        main = json.loads((config / "config.min.json").read_bytes())
        sizes = (main["beg_size"], main["mid_size"], main["end_size"])
        labels, renamed, number = main["target_labels_space"], main["overwrite_map"], "int32"
    answers = {renamed.get(label, label) for label in labels} | {"empty", "txt", "unknown"}
    return {
        "inputs": [f"bytes:{number}[{sum(sizes)}]"],
        "outputs": ["target_label:float32"],
        "labels": sorted(answers),
        "tools": [],
    }
