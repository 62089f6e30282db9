"""Where do the demo's models come from, and which component is which file of them?

    wheel   magika 0.5.1      0.6.1          (0.6.1, other thresholds)    1.0.2
    model   standard_v1  →    standard_v3_2  →    standard_v3_2      →    standard_v3_3
    release 0.9.0             1.0.0 MAJOR         1.0.1 PATCH             1.1.0 MINOR

The wheels are pinned by hash and kept in a cache; pip fetches them with whatever index its owner has configured. Only
the files named here are read from them, and nothing of them is ever executed. A component is a byte-exact copy, with
three exceptions that are ours: `config/model.json` says what upstream has in its code only (the model's name, the
smallest file that it is asked about), 1.0.1 changes one number of 1.0.0, so that a short Markdown note gets its name,
and a release of the chapter `rollout` may say in `config/serving.json` how its requests are served.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lockgate.errors import UnavailableError, VerificationError

LICENSE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Generation:
    """One published wheel and the model in it."""

    wheel: str
    sha256: str
    model: str
    smallest: int
    config: tuple[str, ...]

    @property
    def filename(self) -> str:
        """Say what the wheel is called: the one for any platform, without upstream's own executable."""
        return f"magika-{self.wheel}-py3-none-any.whl"


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


def default_cache() -> Path:
    """Return where downloads are kept: `$LOCKGATE_CACHE`, else the user's cache directory."""
    named = os.environ.get("LOCKGATE_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lockgate"


def fetch(cache: Path, generations: Sequence[Generation] = GENERATIONS) -> dict[str, Path]:
    """Return the wheels by their own version, fetching what the cache lacks or holds in another form.

    Raises:
        UnavailableError: pip could not get a wheel.
        VerificationError: what it got is not what is pinned.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [generation for generation in generations if not _is_kept(generation, cache)]
    if missing:
        with _pip() as pip:
            for generation in missing:
                _download(pip, generation, cache)
    return {generation.wheel: cache / generation.filename for generation in generations}


def _is_kept(generation: Generation, cache: Path) -> bool:
    kept = cache / generation.filename
    return kept.is_file() and _sha256(kept) == generation.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _pip() -> Iterator[list[str]]:
    """Find a pip: the one that is named, the one beside this Python, or one of its own for the moment."""
    if named := os.environ.get("LOCKGATE_PIP"):
        yield [named]
    elif importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip"]
    else:
        with tempfile.TemporaryDirectory(prefix="lockgate-pip-") as place:
            _run([sys.executable, "-m", "venv", place], "install python3-venv, or name a pip in LOCKGATE_PIP")
            yield [f"{place}/bin/python", "-m", "pip"]


def _download(pip: list[str], generation: Generation, cache: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".part-", dir=cache) as place:
        pinned = Path(place, "requirements.txt")
        pinned.write_text(f"magika=={generation.wheel} --hash=sha256:{generation.sha256}\n")
        only = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--platform", "any"]
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        remedy = f"give pip an index that has it, or put {generation.filename} into {cache}"
        _run([*pip, "download", *quiet, *only, "--dest", place, "--requirement", str(pinned)], remedy)
        got = Path(place, generation.filename)
        if not got.is_file():
            raise UnavailableError(f"pip brought no {generation.filename}: {remedy}")
        if (found := _sha256(got)) != generation.sha256:
            raise VerificationError(f"{got.name} has sha256 {found}, not {generation.sha256}")
        got.replace(cache / generation.filename)


def _run(command: list[str], remedy: str) -> None:
    try:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UnavailableError(f"{command[0]}: {e}: {remedy}") from e
    if done.returncode == 0:
        return
    said = done.stderr or done.stdout
    if "DO NOT MATCH THE HASHES" in said:
        raise VerificationError("pip was offered a wheel of magika with another hash than the pinned one")
    errors = [line.strip() for line in said.splitlines() if line.startswith("ERROR")]
    raise UnavailableError(f"{(errors or ['no reason given'])[-1]}: {remedy}")


def build(wheels: Mapping[str, Path], into: Path, releases: Sequence[Release] = RELEASES) -> None:
    """Write `into/VERSION/{weights,config,dependency-lock}/…` for each release; none of them may be there before."""
    lock = "".join(f"{line}\n" for line in _locked(("numpy", "onnxruntime"))).encode()
    for release in releases:
        for name, content in _components(release, wheels[release.generation.wheel]).items():
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
    return {**files, "config/model.json": json.dumps(named, indent=2).encode() + b"\n"}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)


def _locked(roots: Iterable[str]) -> list[str]:
    """List `name==version` of `roots` and of all the installed distributions that they need."""
    found: dict[str, str] = {}
    wanted = list(roots)
    while wanted:
        name = _canonical(wanted.pop())
        if name in found:
            continue
        found[name] = importlib.metadata.version(name)
        wanted += _needs(name)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _needs(name: str) -> Iterator[str]:
    installed = {_canonical(each.name) for each in importlib.metadata.distributions()}
    for line in importlib.metadata.requires(name) or ():
        requirement, _, marker = line.partition(";")
        needed = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
        # What only an extra asks for is not needed; what only another platform asks for is not installed.
        if "extra" not in marker and _canonical(needed) in installed:
            yield needed


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # (PyPA specification, "Names and normalization")


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
