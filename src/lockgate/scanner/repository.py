"""Does a configuration make somebody else's code run, or fetch what nobody signed?

Hugging Face repositories, Hydra, Keras, jsonpickle and skops name Python objects in JSON; whoever reads it makes them.
"""

import re
from collections.abc import Iterator, Mapping

from lockgate.scanner.chat_template import template_flaws
from lockgate.scanner.json_text import Value, members
from lockgate.scanner.plain_text import secrets_in
from lockgate.scanner.scanned import Flaw

_CODE: Mapping[str, str] = {
    "auto_map": "code of the repository would be loaded",
    "custom_generate": "code of the repository would be loaded",
    "custom_pipelines": "code of the repository would be loaded",
    "_target_": "hydra would make what it names",
    "py/object": "jsonpickle would make what it names",
    "py/reduce": "jsonpickle would call what it names",
    "py/type": "jsonpickle would import what it names",
    "__reduce__": "a pickle in JSON",
    "loader_module": "a module that it names would be imported",
    "custom_ops_library": "a library that it names would be loaded",
    "class_path": "what it names would be imported and called",
}
_HUB = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}|[\w.-]{1,96}")
_LAYERS = (
    "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer", "__bytes__", "StringLookup", "IntegerLookup",
    "TextVectorization",
)  # fmt: skip
_LIBRARIES = {"diffusers", "transformers"}
_TEMPLATES = {"chat_template", "chat_templates", "default_chat_template"}


def repository_flaws(value: Value, text: str) -> Iterator[Flaw]:
    """Yield what a JSON value would make happen; `text` is how it was written."""
    yield from secrets_in(text)
    found: dict[Flaw, None] = {}
    if isinstance(value, list):
        found |= dict.fromkeys(_module_flaws(value))
    for name, member, whole in members(value):
        if (why := _CODE.get(name)) is not None and member not in (None, "", {}, []):
            found[Flaw("repository", f"{name}: {why}")] = None
        if isinstance(member, str) and ("{%" in member or "{{" in member) and name not in _TEMPLATES:
            found |= dict.fromkeys(template_flaws(member, is_template=False))
        if name in _ASKED:
            found |= dict.fromkeys(_ASKED[name](member, whole))
        elif name in _TEMPLATES:
            found |= dict.fromkeys(_templates(member))
    yield from found


def _fetching(member: Value, _whole: dict[str, Value]) -> Iterator[Flaw]:
    """Judge who computes attention: a name of two parts is a kernel that would be fetched, machine code."""
    if isinstance(member, str) and "/" in member:
        yield Flaw("repository", f"code would be fetched: {member[:60]!a}")


def _activated(member: Value, _whole: dict[str, Value]) -> Iterator[Flaw]:
    """Judge an activation: a name with dots is imported and called."""
    if isinstance(member, str) and "." in member and not member.startswith("torch.nn."):
        yield Flaw("repository", f"{member[:60]!a} would be imported and called")


def _megatron(member: Value, _whole: dict[str, Value]) -> Iterator[Flaw]:
    if isinstance(member, str) and member != "megatron.core":
        yield Flaw("repository", f"megatron_core: {member[:60]!a} would be imported")


def _parent(member: Value, _whole: dict[str, Value]) -> Iterator[Flaw]:
    if isinstance(member, str) and not member.startswith("transformers."):
        yield Flaw("repository", f"parent_library: {member[:60]!a} would be imported")


def _targeted(member: Value, whole: dict[str, Value]) -> Iterator[Flaw]:
    if isinstance(member, str) and "." in member and "params" in whole:
        yield Flaw("repository", f"target: {member[:60]!a} would be imported and called")


def _constructed(_member: Value, whole: dict[str, Value]) -> Iterator[Flaw]:
    if whole.get("type") in ("constructor", "secret", "not_implemented"):
        yield Flaw("repository", "lc: LangChain would make what it names")


def _trusting(member: Value, _whole: dict[str, Value]) -> Iterator[Flaw]:
    if member is not False:
        yield Flaw("repository", "trust_remote_code is not false")


def _based(member: Value, whole: dict[str, Value]) -> Iterator[Flaw]:
    """Judge the base of an adapter: nobody signed what is fetched by its name."""
    if ("peft_type" not in whole and "adapter_type" not in whole) or member in (None, ""):
        return
    if not isinstance(member, str) or not _HUB.fullmatch(member) or ".." in member:
        yield Flaw("adapter-base", f"the base model lies elsewhere: {str(member)[:80]!a}")
    else:
        yield Flaw("adapter-base", f"the base model {member[:80]!a} would be fetched by its name", "remote-base")


def _classed(member: Value, whole: dict[str, Value]) -> Iterator[Flaw]:
    """Judge a Keras layer: a Lambda is code, and so is a class out of a module that is not Keras."""
    if member in _LAYERS and "config" in whole:
        yield Flaw("keras-lambda", f"a layer reads files or loads a pickle: {member}")
    if member in ("Lambda", "TFOpLambda", "__lambda__", "function") and "config" in whole:
        yield Flaw("keras-lambda", f"a layer is code: {member}")
    module = whole.get("module")
    if "config" in whole and isinstance(module, str) and module.partition(".")[0] not in ("keras", "tf_keras"):
        yield Flaw("keras-lambda", f"a layer is made by {module[:60]!a}")


def _pipeline(_member: Value, whole: dict[str, Value]) -> Iterator[Flaw]:
    """Judge a Diffusers pipeline: each part names the library that it is imported from."""
    for name, part in whole.items():
        library = part[0] if isinstance(part, list) and len(part) == 2 else None
        if isinstance(library, str) and library not in _LIBRARIES and not name.startswith("_"):
            yield Flaw("repository", f"part {name[:40]!a} is imported from {library[:60]!a}")


def _module_flaws(value: list[Value]) -> Iterator[Flaw]:
    """Judge the modules of sentence-transformers: each names the class that is imported."""
    for each in value:
        kind = each.get("type") if isinstance(each, dict) else None
        if isinstance(kind, str) and "." in kind and not kind.startswith("sentence_transformers."):
            yield Flaw("repository", f"a module is imported from {kind[:60]!a}")


def _cells(member: Value, whole: dict[str, Value]) -> Iterator[Flaw]:
    if isinstance(member, list) and "nbformat" in whole:
        yield Flaw("python", "is a notebook", "python")


def _schema(_member: Value, whole: dict[str, Value]) -> Iterator[Flaw]:
    if "__module__" in whole or "__class__" in whole:
        yield Flaw("repository", "__loader__: skops would make what it names")


def _templates(member: Value) -> Iterator[Flaw]:
    if isinstance(member, str):
        yield from template_flaws(member)
    elif isinstance(member, dict):
        for each in member.values():
            yield from _templates(each)
    elif isinstance(member, list):
        for each in member:
            yield from _templates(each.get("template") if isinstance(each, dict) else each)


_ASKED = {
    **dict.fromkeys(("attn_implementation", "_attn_implementation", "_attn_implementation_internal"), _fetching),
    **dict.fromkeys(("activation_function", "activation_fn", "sbert_ce_default_activation_function"), _activated),
    "megatron_core": _megatron,
    "parent_library": _parent,
    "target": _targeted,
    "lc": _constructed,
    "trust_remote_code": _trusting,
    "base_model_name_or_path": _based,
    "class_name": _classed,
    "_class_name": _pipeline,
    "cells": _cells,
    "__loader__": _schema,
}
