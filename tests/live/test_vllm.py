"""Does vLLM get only what our loader verified? On a stand-in for vLLM: the names that it has, and nothing behind them.

vLLM itself was not here: that it calls these names is read in its source, not seen. The folder and the refusals are
real.
"""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest

from lockgate.errors import VerificationError
from lockgate.loader.verified_root import check_verified

ROOT = Path(__file__).parents[2]
STAND_IN = {
    "vllm/__init__.py": "",
    "vllm/model_executor/__init__.py": "",
    "vllm/model_executor/model_loader/__init__.py": """
        FORMATS = {}
        def register_model_loader(name):
            return lambda kind: FORMATS.setdefault(name, kind)
    """,
    "vllm/model_executor/model_loader/default_loader.py": """
        import glob
        class DefaultModelLoader:
            def __init__(self, load_config):
                self.load_config = load_config
            def _prepare_weights(self, model_name_or_path, subfolder, revision, fall_back, overrides):
                assert self.load_config.load_format == "safetensors"
                return model_name_or_path, glob.glob(model_name_or_path + "/*.safetensors"), True, "index"
    """,
    "vllm/lora/__init__.py": "",
    "vllm/lora/worker_manager.py": """
        class WorkerLoRAManager:
            def _load_adapter(self, lora_request):
                return open(lora_request.lora_path + "/adapter").read()
    """,
}
BEGIN = """
import os, sys
from pathlib import Path
from types import SimpleNamespace as Thing
from lockgate.errors import VerificationError
from lockgate.loader.namespace import enter_private_mounts
room = enter_private_mounts().room(1 << 20)
def put(name, content):
    path = room.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
put("weights/model.safetensors", "w")
put("adapter/adapter", "verified")
os.symlink(sys.argv[1], room.path / "way-out")
room.seal()
os.chdir(room.path)
from lockgate.drivers.vllm import register
register(); register()
from vllm.model_executor.model_loader import FORMATS
from vllm.lora.worker_manager import WorkerLoRAManager
config = Thing(load_format="lockgate")
loader = FORMATS["lockgate"](config)
def prepared(path):
    return loader._prepare_weights(str(path), None, None, True, None)[1]
def adapter(path, **more):
    return WorkerLoRAManager()._load_adapter(Thing(lora_path=str(path), **more))
def refused(act, *given, **named):
    try:
        act(*given, **named)
    except VerificationError as e:
        return str(e)
    raise SystemExit(f"not refused: {given}")
"""


@pytest.fixture
def vllm(tmp_path):
    for name, text in STAND_IN.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "adapter").write_text("evil")
    (outside / "model.safetensors").write_text("evil")

    def run(script):
        command = [sys.executable, "-c", BEGIN + script, str(outside)]
        path = f"{tmp_path / 'site'}:{ROOT / 'src'}"
        environment = {"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
        if b"cannot" in done.stderr and b"UnavailableError" in done.stderr:
            pytest.skip("elsewhere: no private mounts here")
        assert done.returncode == 0, done.stderr.decode()

    return run


def test_weights_and_adapters_of_the_verified_folder_are_loaded(vllm):
    vllm("""
assert prepared(room.path / "weights") == [str(room.path / "weights/model.safetensors")]
assert adapter(room.path / "adapter") == "verified"
loader.download_model(Thing(model=str(room.path / "weights")))
assert config.load_format == "lockgate", "the configuration of vLLM stays as it was"
""")


def test_everything_else_is_refused_before_it_is_opened(vllm):
    vllm("""
outside = sys.argv[1]
os.symlink(room.path / "adapter", "/tmp/lockgate-way-in-" + str(os.getpid()))
ways = [f"{room.path}/adapter/../../{outside}", f"{room.path}/weights/../adapter", "org/hub", "", "/", "adapter"]
for path in (outside, room.path / "way-out", "/tmp/lockgate-way-in-" + str(os.getpid()), *ways):
    refused(adapter, path); refused(prepared, path)
    refused(loader.download_model, Thing(model=str(path)))
os.unlink("/tmp/lockgate-way-in-" + str(os.getpid()))
refused(adapter, room.path / "nothing-there")
refused(adapter, room.path / "adapter", tensorizer_config_dict={"uri": "s3://x"})
refused(loader.download_model, Thing())
""")


def test_a_folder_that_can_be_written_is_not_believed(vllm):
    vllm("""
other = enter_private_mounts().room(1 << 20)
(other.path / "adapter").mkdir()
from lockgate.loader.verified_root import check_verified
assert "can be written" in refused(check_verified, other.path / "adapter", other.path)
""")


def test_a_vllm_of_another_shape_does_not_start(vllm):
    vllm("""
import vllm.lora.worker_manager as module
del module.WorkerLoRAManager._load_adapter
assert "in a way that we do not know" in refused(register)
""")


@pytest.mark.parametrize("root", ["/", "."])
def test_a_folder_that_is_no_mount_is_not_believed(tmp_path, root):
    with pytest.raises(VerificationError, match="no folder that our loader filled"):
        check_verified(tmp_path.resolve(), tmp_path / root)


def test_the_entry_point_names_what_registers():
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["vllm.general_plugins"]
    module, _, name = points["lockgate"].partition(":")

    assert callable(getattr(import_module(module), name))
