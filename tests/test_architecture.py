"""The house: imports point down, the way to the figures needs no engine, import is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import relulab as rl

SOURCE = Path(rl.__file__).parent

# From the ground up: a module may import those of lower layers only.
LAYERS = [
    {"validation", "double_double", "streams"},
    {"csv_files", "notation", "tallies", "tasks", "compiler", "names", "files", "environment"},
    {"columns"},
    {"csv_columns"},
    {
        "outcome",
        "network",
        "data",
        "initialization",
        "cluster",
        "locking",
        "parquet",
        "progress",
        "splits",
        "batches",
    },
    {
        "settings",
        "least_squares",
        "engines.sorted_sums",
        "theory.born_dead",
        "theory.dead_unit",
        "theory.dying",
        "theory.frozen_c",
        "theory.settling",
    },
    {"engines.contract", "engines.kernel_cache", "curvature", "parallel", "theory", "schema"},
    {"manifest"},
    {"engines.lockstep", "engines.compiled"},
    {"engines.orbits"},
    {"training"},
    {"sweep"},
    {"figures.words"},
    {"figures.style"},
    {"figures.legends"},
    {"figures.curves", "figures.maps", "figures.marks", "figures.shares", "figures.traces"},
    {"results", "statistics", "tables", "relabeling", "figures"},
    {"writing"},
    {"planning"},
    {"execution"},
    {"experiment"},
]
LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer}


def module_name(file):
    """Return the name of a module; the file ``__init__.py`` is the package itself."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def file_of(name):
    path = SOURCE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(file):
    """Return the relulab modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "relulab":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relulab."):
            module = node.module.removeprefix("relulab.")
            inside = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if file_of(name).exists() else module for name in inside}
    return found


# Without what only has a docstring, and without the package's door, which imports when asked.
FILES = [f for f in SOURCE.rglob("*.py") if imports(f) or f.name != "__init__.py"]
FILES.remove(SOURCE / "__init__.py")


def test_every_module_has_a_layer():
    assert {module_name(f) for f in FILES} == set(LEVEL)


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_imports_point_down(file):
    name = module_name(file)
    assert all(LEVEL[other] < LEVEL[name] for other in imports(file)), imports(file)


@pytest.mark.parametrize("name", ["figures", "statistics", "results"])
def test_figures_see_tables_only(name):
    reached, todo = set(), {name}
    while todo:
        module = todo.pop()
        reached.add(module)
        todo |= imports(file_of(module)) - reached
    assert name == "figures" or "figures" not in reached
    assert not reached & {"training", "sweep"}
    assert not any(module.startswith("engines") for module in reached)


def loaded_after(code):
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_is_light():
    assert not {"numpy", "pandas", "matplotlib", "numba"} & loaded_after("import relulab")


def test_describing_a_sweep_loads_no_engine():
    loaded = loaded_after("import relulab as rl; rl.Sweep(data=rl.TrainingSet.point(1, 3), "
                          "learning_rate=0.1)")  # fmt: skip
    assert "relulab.sweep" in loaded
    assert not {"relulab.training", "relulab.engines.lockstep", "matplotlib"} & loaded


def test_every_public_name_is_there():
    for name in rl.__all__:
        assert getattr(rl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        rl.nonsense  # noqa: B018
