"""Did a file come through our loader? Only what lies in the one folder that it filled, and that nobody can write.

A model server that loads something while it runs (an adapter, a second model) names a path. What the loader verified
lies in a mount of its own, read-only for this program: the private tmpfs of `run`, or the volume of a pod that `load`
filled. Everything else may be anything: a download, a file that came in with a request. The path is the real one, so
that no link on the way can be changed between this look and the next.
"""

import os
from pathlib import Path

from lockgate.errors import VerificationError


def check_verified(path: object, root: Path) -> None:
    """Raise `VerificationError` unless `path` lies in `root`, a mount that holds verified files and cannot be written.

    Enforces: verified_loading
    """
    named = str(path)[:200]
    try:
        top, found = os.path.realpath(root, strict=True), os.path.realpath(str(path), strict=True)
        if str(path).removesuffix("/") != found:
            raise VerificationError(f"{named!a} is no real path: it is relative, or goes by a link or by ..")
        if top == "/" or not os.path.ismount(top):
            raise VerificationError(f"{top} is no folder that our loader filled, so nothing is loaded from anywhere")
        if found != top and not found.startswith(top + os.sep):
            raise VerificationError(f"{named!a} did not come through our loader: only what lies in {top} is loaded")
        if Path(found).stat().st_dev != Path(top).stat().st_dev:
            raise VerificationError(f"{named!a} lies on another volume than the verified files")
        if not os.statvfs(top).f_flag & os.ST_RDONLY:
            raise VerificationError(f"{top} can be written here, so what lies there may not be what was verified")
    except (OSError, ValueError) as e:
        raise VerificationError(f"{named!a} is not here, and nothing is downloaded") from e
