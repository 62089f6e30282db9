"""Which version may a release take? The least bump that its difference from its predecessor demands.

| difference from the predecessor                                            | least bump |
|-----------------------------------------------------------------------------|-----------|
| contract narrowed (an input, output, label or tool is gone), licence changed | MAJOR     |
| contract extended; any component other than the config added, removed, changed | MINOR   |
| derived from others, or in another way                                       | MINOR     |
| anything else: metadata, thresholds of the serving config, the serve command | PATCH     |
"""

from collections.abc import Iterable
from enum import IntEnum

from lockgate.core.release import Kind, Manifest
from lockgate.errors import DeniedError
from lockgate.formats.names import Version


class Bump(IntEnum):
    """How far one version is from another (Semantic Versioning 2.0.0 §6-8)."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


def least_bump(old: Manifest, new: Manifest) -> tuple[Bump, tuple[str, ...]]:
    """Compute the least bump that `new` owes to `old`, and why."""
    major = [f"contract narrowed: {gone} is gone" for gone in _gone(old, new)]
    if old.license != new.license:
        major.append(f"licence changed from {old.license} to {new.license}")
    if major:
        return Bump.MAJOR, tuple(major)
    minor = [f"contract extended: {added} is new" for added in _gone(new, old)] + list(_changed(old, new))
    if old.derived_from != new.derived_from:
        minor.append(f"derivation changed: it was {_origin(old)}, and is {_origin(new)}")
    if minor:
        return Bump.MINOR, tuple(minor)
    return Bump.PATCH, ("only metadata, the config or the serve command changed",)


def bump_between(old: Version, new: Version) -> Bump:
    """Tell how far `new` is above `old`."""
    if new <= old:
        return Bump.NONE
    if new.major != old.major:
        return Bump.MAJOR
    return Bump.MINOR if new.minor != old.minor else Bump.PATCH


def check_version(predecessor: Manifest | None, new: Manifest) -> None:
    """Raise `DeniedError` if `new` is a smaller step from `predecessor` than their difference demands.

    Enforces: semantic_versioning
    """
    if predecessor is None:
        return
    least, why = least_bump(predecessor, new)
    taken = bump_between(predecessor.version, new.version)
    if taken < least:
        raise DeniedError(
            f"{new.tag} is a {taken.name} step from {predecessor.tag}, but {least.name} is owed: {why[0]}"
        )


def predecessor_of(new: Version, existing: Iterable[Version]) -> Version | None:
    """Choose the version that `new` is compared with: the highest one below it."""
    return max((version for version in existing if version < new), default=None)


def successor_of(new: Version, existing: Iterable[Version]) -> Version | None:
    """Choose the version that is compared with `new`, if it comes in below others: the lowest one above it."""
    return min((version for version in existing if version > new), default=None)


def _origin(manifest: Manifest) -> str:
    derived = manifest.derived_from
    return f"{derived.how} from {', '.join(sorted(map(str, derived.parents)))}" if derived else "not derived"


def _gone(old: Manifest, new: Manifest) -> list[str]:
    kinds = (("inputs", "input"), ("outputs", "output"), ("labels", "label"), ("tools", "tool"))
    return [
        f"{word} {item}"
        for field, word in kinds
        for item in sorted(set(getattr(old.contract, field)) - set(getattr(new.contract, field)))
    ]


def _changed(old: Manifest, new: Manifest) -> Iterable[str]:
    for name in sorted(old.components.keys() | new.components.keys()):
        before, after = old.components.get(name), new.components.get(name)
        if before is None or after is None:
            yield f"component {name} was {'added' if before is None else 'removed'}"
        elif before.kind != after.kind or (before.digest != after.digest and after.kind is not Kind.CONFIG):
            yield f"component {name} ({after.kind}) changed"
