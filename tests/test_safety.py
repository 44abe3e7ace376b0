"""No file is ever run: nothing here unpickles, evaluates text, starts a shell or unpacks an archive."""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command import ROOT
from digits import models
from digits.errors import UserError
from digits.training import backend

SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "kaggle_kernel.py"])
MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "pty", "commands"}
NAMES = {"eval", "exec", "compile", "__import__"}  # of builtins
CALLS = {  # by the last parts of their dotted names
    "os.system": "starts a shell", "os.popen": "starts a shell",
    "subprocess.getoutput": "starts a shell", "subprocess.getstatusoutput": "starts a shell",
    "yaml.load": "may build any object", "yaml.load_all": "may build any object",
    "yaml.unsafe_load": "builds any object", "yaml.unsafe_load_all": "builds any object",
    "yaml.full_load": "builds many objects", "yaml.full_load_all": "builds many objects",
    "joblib.load": "unpickles", "joblib.dump": "pickles", "torch.load": "unpickles",
    "config.enable_unsafe_deserialization": "runs code of model files",
    "shutil.unpack_archive": "writes where the archive says",
}  # fmt: skip
METHODS = {
    "extract": "writes where the archive says", "extractall": "writes where the archive says",
    "enable_unsafe_deserialization": "runs code of model files",
    "to_pickle": "pickles", "read_pickle": "unpickles",
}  # fmt: skip
LOADERS = {"Loader", "UnsafeLoader", "FullLoader", "CLoader", "CUnsafeLoader", "CFullLoader"}
NUMPY_LOADS = {"np.load", "numpy.load"}
MODEL_LOADS = {"load_model", "model_from_json", "deserialize_keras_object"}


def dangers(text: str) -> list[str]:
    """What in Python source could run what a file says, each with its line."""
    return [f"line {line}: {why}" for node in ast.walk(ast.parse(text)) for line, why in _dangers(node)]


def _dangers(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for name in names:
            if name.partition(".")[0] in MODULES:
                yield node.lineno, f"imports {name}"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in CALLS or alias.name in MODULES:
                    yield node.lineno, f"imports {node.module}.{alias.name}"
    if isinstance(node, ast.Attribute | ast.Name):
        name = _dotted(node)
        if name.startswith("yaml.") and name.removeprefix("yaml.") in LOADERS:
            yield node.lineno, f"{name} builds objects"
    if isinstance(node, ast.Call):
        yield from ((node.lineno, why) for why in _of_call(node))


def _of_call(node: ast.Call) -> Iterator[str]:
    name = _dotted(node.func)
    last = name.rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    if name in NAMES | {f"builtins.{of}" for of in NAMES}:
        yield f"{name} runs text"
    for ending, why in CALLS.items():
        if f".{name}".endswith(f".{ending}"):
            yield f"{name} {why}"
    if last in METHODS and isinstance(node.func, ast.Attribute):
        yield f"{name} {METHODS[last]}"
    if not _is(given.get("shell", ast.Constant(False)), False):
        yield f"{name} with a shell"
    if name in NUMPY_LOADS and not _is(given.get("allow_pickle"), False):
        yield f"{name} without allow_pickle=False"
    if last in MODEL_LOADS and not _is(given.get("safe_mode"), True):
        yield f"{name} without safe_mode=True"
    if not _is(given.get("safe_mode", ast.Constant(True)), True):
        yield f"{name} without safe mode"


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute; what is called or indexed in between is left out."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def _is(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_is_ever_run(path):
    assert dangers(path.read_text(encoding="utf-8")) == []


def test_the_sources_within_the_kernel_run_no_file_either():
    """They are text in there, which the test above does not look into."""
    tree = ast.parse((ROOT / "kaggle_kernel.py").read_text(encoding="utf-8"))
    texts = {
        ast.literal_eval(node.targets[0].slice): node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript)
        and _dotted(node.targets[0].value) == "FILES"
    }  # fmt: skip
    sources = {name: text for name, text in texts.items() if name.endswith(".py")}
    assert len(sources) > 30
    assert {name: found for name, text in sources.items() if (found := dangers(text))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "import pickle as p", "from pickle import loads", "import marshal", "import shelve",
        "from joblib.externals import cloudpickle", "import dill", "from os import popen as p",
        "eval(x)", "exec(x)", "compile(x, '', 'exec')", "builtins.eval(x)", "__import__(x)",
        "yaml.load(x)", "yaml.load(x, Loader=yaml.SafeLoader)", "yaml.unsafe_load(x)", "yaml.full_load(x)",
        "class L(yaml.Loader): pass", "class L(yaml.FullLoader): pass", "from yaml import unsafe_load",
        "subprocess.run(x, shell=True)", "subprocess.run(x, shell=y)", "os.system(x)", "os.popen(x)",
        "from os import system", "subprocess.getoutput(x)",
        "np.load(x)", "np.load(x, allow_pickle=True)", "numpy.load(x, allow_pickle=y)",
        "joblib.load(x)", "joblib.dump(x, y)", "pd.read_pickle(x)", "frame.to_pickle(x)", "torch.load(x)",
        "keras.models.load_model(x)", "load_model(x, safe_mode=False)", "keras.saving.load_model(x, compile=False)",
        "keras.layers.deserialize(x, safe_mode=False)", "keras.config.enable_unsafe_deserialization()",
        "zipfile.ZipFile(x).extractall()", "archive.extractall(y)", "tarfile.open(x).extract(y)",
        "shutil.unpack_archive(x)",
    ],
)  # fmt: skip
def test_what_would_run_a_file_is_found(text):
    assert dangers(text)


def test_what_runs_no_file_is_let_through():
    text = """
re.compile(x)
yaml.safe_load(x)
class L(yaml.SafeLoader): pass
subprocess.run([x], shell=False)
np.load(x, allow_pickle=False)
keras.models.load_model(x, safe_mode=True)
archive.open(x)
model.compile(loss)
"""
    assert dangers(text) == []


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A network of ours in a file."""
    backend.start(threads=1)  # as everywhere: the tests of one process share its TensorFlow
    import keras

    from digits.config import Architecture

    path = tmp_path_factory.mktemp("stored") / "model.keras"
    models.build(Architecture(net="mlp"), (4, 4, 1), 3, "float32", 0).save(path)
    keras.backend.clear_session()
    return path


def edited(path: Path, folder: Path, change: Callable[[str], str]) -> Path:
    """A copy of a model's file whose description of the network went through `change`."""
    made = folder / "crafted.keras"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(made, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            copy.writestr(name, change(content.decode()) if name == "config.json" else content)
    return made


def with_layer(layer: dict[str, object]) -> Callable[[str], str]:
    """A change that puts something else in the place of the layer that scales the pixels."""

    def change(text: str) -> str:
        described = json.loads(text)
        layers = described["config"]["layers"]
        next(found for found in layers if found["class_name"] == "Rescaling").update(layer)
        return json.dumps(described)

    return change


LAMBDA = {
    "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
    "config": {"name": "rescaling", "function": {
        "class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None},
    }},
}  # fmt: skip
CRAFTED = {
    "a Lambda layer": with_layer(LAMBDA),
    "a function of the system": with_layer({"module": "os", "class_name": "system", "config": {}}),
    "a class of any module": with_layer({"module": "subprocess", "class_name": "Popen", "config": {"args": "x"}}),
    "a module to import": with_layer({"module": "crafted_module", "class_name": "X", "config": {}}),
    "another network": lambda text: json.dumps({"module": "keras", "class_name": "Sequential", "config": {}}),
    "no JSON": lambda text: text[:-9],
    "deep nesting": lambda text: "[" * 100_000,
}  # fmt: skip


def test_a_stored_network_is_loaded(stored):
    assert models.load(stored).output_shape == (None, 3)


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_network_is_refused_in_a_line(name, stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "crafted_module.py").write_text("open('pwned', 'w')\nclass X: pass\n")
    made = edited(stored, tmp_path, CRAFTED[name])
    with pytest.raises(UserError, match=r"crafted\.keras: cannot be loaded") as refused:
        models.load(made)
    assert not re.search(r"[\n\x1b]", str(refused.value))
    assert not (tmp_path / "pwned").exists()


def test_a_file_that_is_no_network_is_refused_in_a_line(tmp_path):
    for content in (b"", b"no network", b"PK\x05\x06" + bytes(18), b"\x89HDF\r\n\x1a\n" + bytes(99)):
        (tmp_path / "model.keras").write_bytes(content)
        with pytest.raises(UserError, match="cannot be loaded"):
            models.load(tmp_path / "model.keras")
