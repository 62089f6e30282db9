"""How does vLLM load only what came through our loader? A plugin: `--load-format lockgate`, and no other adapters.

    vllm serve {model}/weights --load-format lockgate

vLLM calls `register` at its start in each of its processes (entry point `vllm.general_plugins`). Weights, and LoRA
adapters that come while it runs, are taken from the folder in which it was started, which `run` and the pods of a
cluster make that of the verified files. Without the plugin the load format is unknown, and vLLM does not start.
"""

import copy
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from lockgate.errors import VerificationError
from lockgate.loader.verified_root import check_verified

LOAD_FORMAT = "lockgate"

_LOADERS = "vllm.model_executor.model_loader"
_ADAPTERS = "vllm.lora.worker_manager"


class _Request(Protocol):
    lora_path: str


def register() -> None:
    """Register the load format, and let in no adapter that our loader did not verify. May be called twice."""
    root = Path.cwd()
    loaders, default = importlib.import_module(_LOADERS), importlib.import_module(f"{_LOADERS}.default_loader")
    loaders.register_model_loader(LOAD_FORMAT)(_verifying(default.DefaultModelLoader, root))
    _guard_adapters(importlib.import_module(_ADAPTERS), root)


def _verifying(loader: type, root: Path) -> type:
    """Make a loader of vLLM one that reads safetensors out of the verified folder, and downloads nothing."""

    class VerifiedModelLoader(loader):  # type: ignore[misc]  # a class of vLLM, which is not here when types are checked
        """Loads weights that our loader has verified."""

        def __init__(self, load_config: object) -> None:
            inner = copy.copy(load_config)
            setattr(inner, "load_format", "safetensors")  # noqa: B010 - vLLM's own class has it
            super().__init__(inner)

        def download_model(self, model_config: object) -> None:
            check_verified(getattr(model_config, "model", None), root)

        def _prepare_weights(self, model_name_or_path: str, *arguments: object, **named: object) -> object:
            check_verified(model_name_or_path, root)
            found = super()._prepare_weights(model_name_or_path, *arguments, **named)
            for file in found[1]:
                check_verified(file, root)
            return found

    return VerifiedModelLoader


def _guard_adapters(module: object, root: Path) -> None:
    """Look at the path of each adapter before vLLM does; raise if this vLLM loads them in another way."""
    manager = getattr(module, "WorkerLoRAManager", None)
    load: Callable[..., object] | None = getattr(manager, "_load_adapter", None)
    if load is None:
        raise VerificationError("this vLLM loads adapters in a way that we do not know, so it is not let in")
    if getattr(load, "guarded_by", None) == LOAD_FORMAT:
        return

    @functools.wraps(load)
    def guarded(self: object, lora_request: _Request) -> object:
        if getattr(lora_request, "tensorizer_config_dict", None):
            raise VerificationError("adapters come as files, not out of a tensorizer")
        check_verified(lora_request.lora_path, root)
        return load(self, lora_request)

    guarded.guarded_by = LOAD_FORMAT  # type: ignore[attr-defined]
    setattr(manager, "_load_adapter", guarded)  # noqa: B010 - its own name, on a class that is not ours
