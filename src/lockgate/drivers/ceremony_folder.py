"""How do the documents that people sign together lie in a folder that goes from hand to hand?

FOLDER/trust.json  policy.json         the documents (DSSE), with the signatures that they have so far
       tuf-root.json  tuf-targets.json the metadata that carries them
       root.json                       who signs from now on: what a new host pins
       held-root.json                  who signed until now, if this is not the first ceremony
"""

from pathlib import Path

from lockgate.core.ceremony import Ceremony
from lockgate.core.metadata import Carried
from lockgate.core.trust import Root
from lockgate.errors import UnavailableError, VerificationError
from lockgate.formats import plain
from lockgate.loader.whole_file import write_whole

_LARGEST = 1 << 20
_TRUST, _POLICY, _ROOT, _TARGETS = "trust.json", "policy.json", "tuf-root.json", "tuf-targets.json"
_PINNED, _HELD = "root.json", "held-root.json"


def read_ceremony(folder: Path) -> Ceremony:
    """Read what lies in a folder; nothing of it is verified."""
    held = _read(folder / _HELD)
    carried = Carried(_need(folder / _TRUST), _read(folder / _POLICY), _need(folder / _ROOT), _need(folder / _TARGETS))
    return Ceremony(carried, plain.decode(Root, held) if held is not None else None)


def write_ceremony(folder: Path, ceremony: Ceremony) -> None:
    """Write what is signed so far."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UnavailableError(f"cannot make {folder}: {e.strerror}") from e
    files = {
        _TRUST: ceremony.carried.trust,
        _POLICY: ceremony.carried.policy,
        _ROOT: ceremony.carried.root,
        _TARGETS: ceremony.carried.targets,
        _PINNED: plain.encode(ceremony.trust.root),
        _HELD: plain.encode(ceremony.held) if ceremony.held else None,
    }
    for name, content in files.items():
        if content is not None:
            write_whole(folder / name, content)
        else:
            (folder / name).unlink(missing_ok=True)


def _need(path: Path) -> bytes:
    content = _read(path)
    if content is None:
        raise UnavailableError(
            f"{path.parent} is no ceremony: {path.name} is missing; begin with `lockgate trust propose`"
        )
    return content


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise UnavailableError(f"cannot read {path}: {e.strerror}") from e
    if len(content) > _LARGEST:
        raise VerificationError(f"{path} has more than {_LARGEST} bytes")
    return content
