"""How does the demo's model serve: which type of file are these bytes?

    POST /classify   the bytes of a file, at most 10 MiB   →  {"label", "score", "model"}
    POST /blocks     the same                              →  a line of {"block", "label", "score"} for each KiB
    GET  /healthz                                          →  {"model", "weights"}

`--model DIR` holds `weights/model.onnx` and `config/`. Nothing else is read, and nothing else of lockgate is imported:
this runs in a child that was given the verified files and no more.

A generation of Magika differs from the others in how it cuts a file into numbers (`Cut.blocks`):
`trimmed` (standard_v1) takes the middle from what is left after trimming, a short file being trimmed as a whole first;
`plain` (standard_v3_*) trims the first block on its left and the last on its right, each on its own.
"""

import argparse
import hashlib
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

MAX_BODY = 10 * 1024 * 1024
BLOCK = 1024
NOTHING_HERE = "nothing here but GET /healthz, POST /classify and POST /blocks"


@dataclass(frozen=True, slots=True)
class Cut:
    """How one generation turns a file into numbers."""

    blocks: str  # "trimmed" or "plain"
    begin: int
    middle: int
    end: int
    block: int
    padding: int
    smallest: int  # a smaller file is not shown to the model
    meaning: int  # nor is one with fewer bytes than this left after trimming


@dataclass(frozen=True, slots=True)
class Settings:
    """What one generation does with the numbers that come out."""

    model: str
    cut: Cut
    number: str  # "float32" or "int32": what the model takes
    labels: tuple[str, ...]
    renamed: Mapping[str, str]
    thresholds: Mapping[str, float]
    otherwise: float
    texts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Habits:
    """How requests are served, whatever the model says: what is tuned by hand, and what no test of accuracy sees.

    More than `at_once` requests at the same time are answered 503; each waits `gather_ms` for others to come with it.
    """

    at_once: int = 64
    gather_ms: int = 0


class BusyError(Exception):
    """There are as many requests as the release takes at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What type of file it is, and how sure the model was."""

    label: str
    score: float


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that is used."""

    def run(self, outputs: list[str], inputs: dict[str, NDArray[np.generic]]) -> list[NDArray[np.float32]]:
        """Return each of `outputs`, one row for each row of `inputs`."""
        ...


def numbers(content: bytes, cut: Cut) -> list[int] | None:
    """Return what the model sees of `content`, or None if too little is left of it to ask a model."""
    if len(content) < cut.smallest:
        return None
    if cut.blocks == "trimmed":
        first, centre, last = _trimmed(content, cut)
    else:
        first, centre, last = _plain(content, cut)
    first, last = first[: cut.begin], last[max(0, len(last) - cut.end) :]
    if len(first) < cut.meaning:
        return None
    gap = cut.middle - len(centre)
    return [
        *first,
        *[cut.padding] * (cut.begin - len(first) + gap // 2),
        *centre,
        *[cut.padding] * (gap - gap // 2 + cut.end - len(last)),
        *last,
    ]


def _trimmed(content: bytes, cut: Cut) -> tuple[bytes, bytes, bytes]:
    if len(content) < 2 * cut.block + cut.middle:
        content = content.strip()
        return content, _centre(content, 0, len(content), cut.middle), content
    first, last = content[: cut.block].lstrip(), content[-cut.block :].rstrip()
    start, stop = cut.block - len(first), len(content) - cut.block + len(last)
    return first, _centre(content, start, stop, cut.middle), last


def _plain(content: bytes, cut: Cut) -> tuple[bytes, bytes, bytes]:
    centre = _centre(content, 0, len(content), cut.middle)
    return content[: cut.block].lstrip(), centre, content[-cut.block :].rstrip()


def _centre(content: bytes, start: int, stop: int, size: int) -> bytes:
    size = min(size, stop - start)
    start += (stop - start - size) // 2
    return content[start : start + size]


def settle(label: str, score: float, settings: Settings) -> Answer:
    """Keep the model's `label` if its score reaches the threshold, else say only text or not text."""
    renamed = settings.renamed.get(label, label)
    judged = renamed if settings.cut.blocks == "trimmed" else label
    if score >= settings.thresholds.get(judged, settings.otherwise):
        return Answer(renamed, score)
    return Answer("txt" if renamed in settings.texts else "unknown", score)


def without_model(content: bytes, cut: Cut) -> Answer:
    """Say what can be said of a file that is empty or nearly so."""
    if not content:
        return Answer("empty", 1.0)
    try:
        content[: cut.block].decode()
    except UnicodeDecodeError:
        return Answer("unknown", 1.0)
    return Answer("txt", 1.0)


def classify(content: bytes, settings: Settings, session: Session) -> Answer:
    """Name the type of file that `content` is."""
    seen = numbers(content, settings.cut)
    if seen is None:
        return without_model(content, settings.cut)
    row = np.array([seen], dtype=np.dtype(settings.number))
    scores = session.run(["target_label"], {"bytes": row})[0][0]
    best = int(scores.argmax())
    return settle(settings.labels[best], float(scores[best]), settings)


def read_settings(config: Path) -> Settings:
    """Read the files of `config`, which the loader has verified, in the form their generation gave them."""
    if (config / "model_config.json").exists():
        return _first_settings(config)
    return _third_settings(config)


def _first_settings(config: Path) -> Settings:
    named = json.loads((config / "model.json").read_bytes())
    tool = json.loads((config / "magika_config.json").read_bytes())
    trained = json.loads((config / "model_config.json").read_bytes())
    known = json.loads((config / "content_types_config.json").read_bytes())
    size = trained["cfg"]["input_sizes"]
    return Settings(
        model=named["name"],
        cut=Cut(
            blocks="trimmed",
            begin=size["beg"],
            middle=size["mid"],
            end=size["end"],
            block=tool["block_size"],
            padding=tool["padding_token"],
            smallest=named["smallest"],
            meaning=tool["min_file_size_for_dl"],
        ),
        number="float32",
        labels=tuple(trained["train_dataset_info"]["target_labels_info"]["target_labels_space"]),
        renamed=json.loads((config / "model_output_overwrite_map.json").read_bytes()),
        thresholds=json.loads((config / "thresholds.json").read_bytes())["thresholds"],
        otherwise=tool["medium_confidence_threshold"],
        texts=frozenset(label for label, about in known.items() if "text" in about["tags"]),
    )


def _third_settings(config: Path) -> Settings:
    named = json.loads((config / "model.json").read_bytes())
    main = json.loads((config / "config.min.json").read_bytes())
    known = json.loads((config / "content_types_kb.min.json").read_bytes())
    return Settings(
        model=named["name"],
        cut=Cut(
            blocks="plain",
            begin=main["beg_size"],
            middle=main["mid_size"],
            end=main["end_size"],
            block=main["block_size"],
            padding=main["padding_token"],
            smallest=named["smallest"],
            meaning=main["min_file_size_for_dl"],
        ),
        number="int32",
        labels=tuple(main["target_labels_space"]),
        renamed=main["overwrite_map"],
        thresholds=main["thresholds"],
        otherwise=main["medium_confidence_threshold"],
        texts=frozenset(label for label, about in known.items() if about["is_text"]),
    )


def read_habits(config: Path) -> Habits:
    """Read how the release wants its requests served; a release that does not say is served as usual."""
    tuned = config / "serving.json"
    return Habits(**json.loads(tuned.read_bytes())) if tuned.exists() else Habits()


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer."""

    protocol_version = "HTTP/1.1"
    server_version = "magika"
    sys_version = ""
    timeout = 10.0
    server: "Served"

    def do_GET(self) -> None:
        """Say which model serves."""
        if self.path == "/healthz":
            self._answer(200, {"model": self.server.settings.model, "weights": self.server.weights})
        else:
            self._refuse(404, NOTHING_HERE)

    def do_POST(self) -> None:
        """Classify the body, or each block of it."""
        stated = self.headers.get("Content-Length", "")
        if self.path not in ("/classify", "/blocks"):
            self._refuse(404, NOTHING_HERE)
        elif "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,18}", stated):
            self._refuse(411, "a Content-Length is wanted")
        elif int(stated) > MAX_BODY:
            self._refuse(413, f"{MAX_BODY} bytes at most")
        elif len(content := self.rfile.read(int(stated))) != int(stated):
            self._refuse(400, f"{len(content)} bytes came, not {int(stated)}")
        elif self.path == "/blocks":
            self._stream(content)
        else:
            self._classify(content)

    def _classify(self, content: bytes) -> None:
        try:
            with self.server.turn():
                answer = classify(content, self.server.settings, self.server.session)
        except BusyError as e:
            self._answer(503, {"error": str(e)})
            return
        model = self.server.settings.model
        self._answer(200, {"label": answer.label, "score": round(answer.score, 6), "model": model})

    def _stream(self, content: bytes) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/jsonl")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with suppress(ConnectionError):  # the caller is gone, or was cut off
            for first in range(0, len(content), BLOCK):
                found = classify(content[first : first + BLOCK], self.server.settings, self.server.session)
                line = {"block": first // BLOCK, "label": found.label, "score": round(found.score, 6)}
                written = json.dumps(line).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(written), written))
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Keep quiet: what is classified is nobody else's business."""

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True  # the body was not read: what follows on this line is not a request
        self._answer(status, {"error": why})

    def _answer(self, status: int, document: Mapping[str, str | float]) -> None:
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


class Served(ThreadingHTTPServer):
    """The listening socket, and the one model behind it."""

    daemon_threads = True  # a slow client must not keep the model alive after SIGTERM

    def __init__(self, address: tuple[str, int], settings: Settings, weights: bytes, habits: Habits = Habits()) -> None:
        onnxruntime.disable_telemetry_events()
        self.settings, self.habits = settings, habits
        self._places = threading.BoundedSemaphore(habits.at_once)
        self.weights = f"sha256:{hashlib.sha256(weights).hexdigest()}"
        # Made from the bytes that were hashed: /healthz tells what is running, not what lies on the disk.
        self.session: Session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
        super().__init__(address, Exchange)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Take one of the places for requests; raise `BusyError` if there is none."""
        if not self._places.acquire(blocking=False):
            raise BusyError(f"{self.habits.at_once} at once, no more")
        try:
            time.sleep(self.habits.gather_ms / 1000)
            yield
        finally:
            self._places.release()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="magika_server", description="Serve one generation of Magika.")
    parser.add_argument("--model", type=Path, required=True, help="a directory with weights/ and config/")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0: any free one")
    given = parser.parse_args()
    # As the first process of a PID namespace it would otherwise ignore the signal.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    settings = read_settings(given.model / "config")
    weights, habits = (given.model / "weights" / "model.onnx").read_bytes(), read_habits(given.model / "config")
    with Served((given.host, given.port), settings, weights, habits) as served:
        print(f"serving {settings.model} on http://{given.host}:{served.server_port}", flush=True)
        served.serve_forever()


if __name__ == "__main__":
    main()
