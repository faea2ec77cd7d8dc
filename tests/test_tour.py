"""The notebook runs from top to bottom in an empty folder, where it leaves nothing."""

import json
import os
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import relulab
from relulab.__main__ import main

TOUR = Path(relulab.__file__).with_name("tour.ipynb")


def cells():
    notebook = json.loads(TOUR.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def test_the_tour_makes_its_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plt.close("all")
    space = {}
    for number, source in enumerate(cells()):
        exec(compile(source, f"cell {number}", "exec"), space)
    assert not os.listdir()
    drawn = [plt.figure(number).axes[0] for number in plt.get_fignums()]
    fates, who, losses, fits, _ = drawn
    assert all(ax.get_title().endswith("?") for ax in (fates, who, losses, fits))
    dead = fates.figure.legends[0].get_texts()[-2].get_text()
    assert dead == "born dead: 0.500"
    ends = space["runs"].groupby("learning_rate")["unit"].agg(lambda unit: (unit != "alive").mean())
    assert ends.iloc[-1] == 1
    assert abs(ends.iloc[0] - 0.625) < 4 * np.sqrt(0.625 * 0.375 / 400)
    assert [len(line.get_xdata()) for line in who.lines[:3]] == [
        (space["slow"]["unit"] == unit).sum() for unit in ("born_dead", "died", "alive")
    ]
    assert len(losses.lines) == 6
    # The text says which step kills.
    assert list(space["ends"]["death_step"].fillna(-1)) == [-1, 5]
    assert "step 5 (dead)" in [text.get_text() for text in fits.figure.legends[0].get_texts()]
    assert len(space["explorer"].runs) == 120**2
    plt.close("all")


def test_the_tour_is_stored_with_its_figures():
    text = TOUR.read_text(encoding="utf-8")
    assert text.count('"image/png"') == 5
    assert len(text) < 400_000


def test_the_tour_comes_to_where_one_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["tour"]) == 0
    assert "tour.ipynb is here" in capsys.readouterr().out
    assert Path("tour.ipynb").read_bytes() == TOUR.read_bytes()
    Path("tour.ipynb").write_text("mine")
    assert main(["tour"]) == 2
    assert capsys.readouterr().err == "error: tour.ipynb: expected none here, found one; move it\n"
    assert Path("tour.ipynb").read_text() == "mine"
    with pytest.raises(SystemExit):
        main(["tour", "more"])


def test_the_tour_is_part_of_a_wheel():
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert TOUR.name in settings["tool"]["setuptools"]["package-data"]["relulab"]
