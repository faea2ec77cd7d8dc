"""The house: wings import downwards, the way to the figures needs no engine, the door is light."""

import inspect
import pydoc
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import relulab as rl

ROOT = Path(__file__).parents[1]
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_wings_import_downwards():
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linted.returncode == 0, linted.stdout


def test_the_page_shows_the_layers_of_the_contract():
    [contract] = LAYERS
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"(?m)^\| (`[^|]+`) \|", page[: page.index("## How one run flows")])
    shown = [re.findall(r"\w+", row) for row in rows]
    assert shown == [re.findall(r"\w+", layer) for layer in contract["layers"]]


def loaded_after(code):
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


ENGINES = {f"relulab.training.{name}" for name in ("trainer", "numpy_engine", "numba_engine")}


@pytest.mark.parametrize("name", ["figures", "statistics", "tables", "Results"])
def test_figures_and_tables_load_no_engine(name):
    loaded = loaded_after(f"import relulab as rl; rl.{name}")
    assert "relulab.validation" in loaded
    assert not loaded & ENGINES


def test_import_is_light():
    assert not {"numpy", "pandas", "matplotlib", "numba"} & loaded_after("import relulab")


def test_describing_a_sweep_loads_no_engine():
    loaded = loaded_after("import relulab as rl; rl.Sweep(data=rl.TrainingSet.point(1, 3), "
                          "learning_rate=0.1)")  # fmt: skip
    assert "relulab.sweeps.sweep" in loaded
    assert not loaded & (ENGINES | {"matplotlib"})


def test_every_public_name_is_found_and_described():
    assert sorted(rl.__all__) == sorted(dir(rl))
    for name in rl.__all__:
        assert getattr(rl, name) is not None
        assert f"``{name}``" in rl.__doc__, name
    with pytest.raises(AttributeError, match="nonsense"):
        rl.nonsense  # noqa: B018
    first_page = pydoc.plain(pydoc.render_doc(rl))
    assert "``best_fit``: the network with the smallest loss" in first_page


@pytest.mark.parametrize("module", [rl.boundary, rl.figures, rl.statistics, rl.tables, rl.theory])
def test_a_public_module_shows_what_is_public(module):
    assert set(dir(module)) == set(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        assert not inspect.isfunction(value) or inspect.getdoc(value), name


def test_options_are_written_once():
    """What ``train`` and ``trace`` take by keyword are the fields of the options, no more."""
    from dataclasses import fields

    from relulab.training.options import TrainingOptions

    options = {f.name: f.default for f in fields(TrainingOptions)}
    for function, others in (
        (rl.train, {"networks", "data", "engine"}),
        (rl.Sweep, {"data", "w", "b", "v", "c", "draws", "seed"}),
        (rl.trace, {"networks", "data", "n_steps"}),
    ):
        parameters = inspect.signature(function).parameters
        given = {name: p.default for name, p in parameters.items() if name not in others}
        assert given.items() <= options.items()
        stopping = {"max_steps", "gradient_tolerance", "divergence_loss"}
        assert set(options) - set(given) == (stopping if function is rl.trace else set())
        for name in given:
            assert re.search(rf"(?m)^    .*\b{name}\b", function.__doc__), name


@pytest.mark.parametrize("function", [rl.train, rl.trace])
def test_an_unknown_option_is_refused_by_the_function_that_was_called(function):
    start, data = rl.Networks(1, 0, 1, 0), rl.TrainingSet.point(1, 3)
    expected = rf"{function.__name__}\(\) got an unexpected keyword argument 'momentum'"
    with pytest.raises(TypeError, match=expected):
        function(start, data, 0.1, momentum=0.9)
