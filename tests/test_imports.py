"""The package keeps its layers. Reads the import statements of every module, and imports none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import digits

PACKAGE = Path(digits.__file__).parent
BACKENDS = {"tensorflow", "keras", "jax", "keras_tuner", "tf2onnx"}
STAGES_MAY_BE_IMPORTED_BY = {"digits.__main__", "digits.pipeline"}
STAGES_OF_A_STAGE = {  # whose measures it uses
    "explore": {"cluster", "predict"},
}
# Modules of a stage's room that read and write files or run networks; all others are measures and figures.
NOT_PURE = {
    "cluster": {"comparison", "features", "study"},
    "predict": {"export", "exported", "networks", "pictures"},
    "report": {"inputs", "model_card", "page", "pictures", "point_map", "sections"},
    "tune": {"oracle", "results", "space", "trial"},
    "explore": None,  # pages
    "kaggle": None,
}
# Modules that import a Keras backend as they are imported.
ON_A_BACKEND = {"digits.training.loop", "digits.training.steps", "digits.stages.tune.oracle"}
ON_A_BACKEND_WITHIN = ("digits.training.on_", "digits.models.")


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in PACKAGE.rglob("*.py")}


def _imports(tree: ast.AST, lazy: bool) -> Iterator[str]:
    """Dotted names that a tree imports, but for type checkers; lazy: within functions too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        else:
            yield from _imports(node, lazy)


@cache
def imported(module: str, lazy: bool = True) -> frozenset[str]:
    return frozenset(_imports(ast.parse(MODULES[module].read_text(encoding="utf-8")), lazy))


def stage_of(module: str) -> str | None:
    """The room, or the single module, of `digits.stages` that a module belongs to."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["digits", "stages"] and len(parts) > 2 else None


def is_pure(module: str) -> bool:
    """Whether a module is one of a stage's measures or figures."""
    stage, name = stage_of(module), module.rpartition(".")[2]
    if stage is None or module.count(".") < 3 or name == "stage":
        return False
    exceptions = NOT_PURE.get(stage, set())
    return exceptions is not None and name not in exceptions


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_what_its_layer_may(module):
    own, offences = stage_of(module), []
    for name in imported(module):
        stage = stage_of(name)
        if stage and not own and module not in STAGES_MAY_BE_IMPORTED_BY:
            offences.append(f"the core imports the stage {name}")
        if stage and own and stage != own and stage not in STAGES_OF_A_STAGE.get(own, ()):
            offences.append(f"the stage {own} imports {name}")
        if is_pure(module) and (name == "digits.runs" or name.split(".")[0] in BACKENDS):
            offences.append(f"a measure or figure imports {name}")
    assert offences == []


def test_no_imports_go_in_a_circle():
    graph = {module: {name for name in imported(module) if name in MODULES} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_a_backend_is_imported_only_where_networks_are_built_and_run():
    """Otherwise help, errors and stages without networks would wait for it."""

    def load(module: str, seen: set[str]) -> None:
        if module in MODULES and module not in seen:
            seen.add(module)
            for name in imported(module, lazy=False):
                load(name, seen)

    offences = []
    for module in MODULES:
        seen: set[str] = set()
        load(module, seen)
        loaded = {name for loaded in seen for name in imported(loaded, lazy=False)}
        allowed = module in ON_A_BACKEND or module.startswith(ON_A_BACKEND_WITHIN)
        if not allowed and any(name.split(".")[0] in BACKENDS for name in loaded):
            offences.append(module)
    assert offences == []


def test_the_package_shows_few_entries():
    entries = [path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]
    assert len(entries) <= 17, sorted(entries)
