"""Which real documents does the desk know? Lockgate's own pages, cut into sections of a few sentences.

They lie in `docs/` of the source, and in `pages/` beside this file in a wheel. Examples and tables are left out:
what is quoted to somebody should be sentences.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lockgate.errors import UnavailableError

_MOST_WORDS = 40
_SOURCE = 5  # folders above this file
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_EXAMPLE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A few sentences of one page, under its title."""

    page: str
    title: str
    text: str


def sections(folders: Iterable[str]) -> list[Section]:
    """Cut every page of these folders of the documents into sections, in the order of their names."""
    root = _root()
    pages = (page for folder in folders for page in sorted((root / folder).glob("*.md")))
    return [section for page in pages for section in cut(f"{page.parent.name}/{page.stem}", page.read_text())]


def cut(page: str, text: str) -> Iterator[Section]:
    """Yield the sections of one page."""
    title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), page)
    for paragraph in re.split(r"\n\s*\n", _EXAMPLE.sub("", text)):
        lines = [line for line in paragraph.splitlines() if not line.lstrip().startswith(("#", "|"))]
        sentences = (
            _LINK.sub(r"\1", " ".join(" ".join(lines).split())).replace(" - ", " ").replace("`", "").replace("**", "")
        )
        words = sentences.removeprefix("- ").split()
        if len(words) >= 6:
            yield Section(page, title, " ".join(words[:_MOST_WORDS]))


def _root() -> Path:
    here = Path(__file__).resolve()
    for found in (here.parent / "pages", here.parents[_SOURCE] / "docs"):
        if (found / "how-to").is_dir():
            return found
    raise UnavailableError("the pages of the documentation are neither beside this program nor in its source")
