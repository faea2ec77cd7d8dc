"""The notebook runs from top to bottom, beside nothing but the script that it calls."""

import json
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


def test_the_tour_makes_its_figures(tmp_path, monkeypatch):
    folder = tmp_path / "experiments"
    folder.mkdir()
    for name in ("tour.ipynb", "learning_rate.py"):
        shutil.copy(EXPERIMENTS / name, folder)
    monkeypatch.chdir(folder)
    plt.close("all")
    cells = [
        "".join(cell["source"])
        for cell in json.loads(Path("tour.ipynb").read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    space = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"cell {number}", "exec"), space)
    drawn = [plt.figure(number).axes[0] for number in plt.get_fignums()]
    assert all(ax.get_title().endswith("?") for ax in drawn)
    dead, who, lives = drawn
    fractions = dead.lines[0].get_ydata()
    assert fractions[-1] == 1
    assert abs(fractions[0] - 0.625) < 4 * np.sqrt(0.625 * 0.375 / 400)
    assert [len(line.get_xdata()) for line in who.lines[:3]] == [
        (space["slow"]["unit"] == unit).sum() for unit in ("born_dead", "died", "alive")
    ]
    assert len(lives.lines) == 5
    plt.close("all")


def test_the_tour_is_stored_with_its_figures():
    text = (EXPERIMENTS / "tour.ipynb").read_text(encoding="utf-8")
    assert text.count('"image/png"') == 3
