"""The pages a reader meets: their code runs, their links lead somewhere, the first is short."""

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import pytest

import relulab as rl

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "GUIDE.md", "experiments/README.md", "results/README.md"]
PAGES += ["ARCHITECTURE.md", "RELIABILITY.md", "CONTRIBUTING.md"]
BLOCK = re.compile(r"^```(python|sql)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "GUIDE.md", "results/README.md"])
def test_what_a_page_says_in_python_and_sql_runs(page, tmp_path, monkeypatch):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB missing")
    monkeypatch.chdir(tmp_path)
    folder = Path("results/learning_rate/runs/rates")
    folder.mkdir(parents=True)
    sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), **rl.standard_normal(), draws=50,
                     learning_rate=[0.1, 0.5], max_steps=1000)  # fmt: skip
    sweep.run().to_parquet(folder / "part.parquet")
    blocks = BLOCK.findall(text_of(page))
    assert blocks
    names = {}
    for language, code in blocks:
        if language == "sql":
            assert duckdb.sql(code).fetchall()
        elif "to_xarray" not in code or find_spec("xarray"):
            exec(compile(code, page, "exec"), names)
    plt.close("all")


def headings(page):
    """Return the anchors of a page as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = unquote(target).partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        if anchor:
            assert anchor in headings(path.resolve().relative_to(ROOT.resolve())), target


def test_every_experiment_has_its_answer_on_the_page():
    helpers = {"peers", "recording"}
    scripts = {path.stem for path in (ROOT / "experiments").glob("*.py")} - helpers
    assert {f"{name}py" for name in scripts} <= headings("experiments/README.md")


def test_the_first_page_is_short():
    assert len(text_of("README.md").split()) <= 700
