"""Is everything in a directory of a kind that is allowed? Offline, by content."""

from collections import Counter
from pathlib import Path

import click

from lockgate.cli.speaking import as_json, progress, show, spread
from lockgate.scanner.scanned import EXCEPTIONS, check_clean

_CLASSES = "\n".join(f"  {name:<14} {what}" for name, what in EXCEPTIONS.items())


@click.command(epilog=f"\b\nExceptions, each of which a policy must accept too:\n{_CLASSES}")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--allow", multiple=True, type=click.Choice(list(EXCEPTIONS)), metavar="CLASS", help="Excuse a class of files."
)
@click.option("--also", multiple=True, metavar="COMMAND", help="Ask another scanner too; it can only deny.")
@as_json
def scan(directory: Path, allow: tuple[str, ...], also: tuple[str, ...], json_: bool) -> int:
    """Scan every file of DIRECTORY by its content, and refuse what is not known to be harmless.

    Accepted are safetensors, GGUF, ONNX, npy, SentencePiece, JSON and text, if their structure is strict: nothing
    before, between or behind, no second meaning, no code that a configuration asks for, no secrets, chat templates that
    only lay out. Names decide nothing; what is called one thing and holds another is refused. What could not be
    scanned is refused.

    Exit 0: nothing was found. Exit 3: every finding is listed. The digest of the rules that looked is in the answer.

    COMMAND is run with DIRECTORY as its last word, and prints
    {"scanner": "NAME", "version": "1.0", "files": 12, "findings": [{"file": "a.bin", "text": "why"}]}.
    """
    from lockgate.scanner.folder import scan as look
    from lockgate.scanner.second_opinion import ask, joined

    with progress(f"scanning {directory}", _bytes_below(directory)) as advance:
        found = look(directory, exceptions=frozenset(allow), progress=advance)
    for command in also:
        found = joined(found, ask(command, directory, found.files))
    if json_:
        show(json_, found)
        return 3 if found.findings else 0
    counted = Counter(found.formats.values())
    refused = Counter(found.formats[name] for name in {each.file for each in found.findings} & found.formats.keys())
    cells = [[name, str(count), str(refused[name])] for name, count in sorted(counted.items())]
    lines = spread([["format", "files", "refused"], *cells])
    show(json_, found, *lines, *_last_lines(found.files, found.excused, str(found.rules)))
    check_clean(found)
    return 0


def _last_lines(files: int, excused: tuple[str, ...], rules: str) -> list[str]:
    lines = [f"excused, if a policy accepts it: {', '.join(excused)}"] if excused else []
    return [*lines, f"scanned {files} files by the rules {rules}"]


def _bytes_below(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file())
