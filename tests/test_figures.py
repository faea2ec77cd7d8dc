"""Figures show the table's numbers, survive small tables, and keep one color for each fate."""

import functools
import hashlib
import inspect
import itertools
import os
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

import relulab as rl
from relulab import figures, statistics
from relulab.model.outcome import OUTCOMES, UNITS

POINT = rl.TrainingSet.point(1, 3)


@pytest.fixture(scope="module")
def grid():
    return rl.Sweep(
        data=POINT, w=np.linspace(-1, 3, 9), v=np.linspace(-2, 2, 7), learning_rate=0.1
    ).run()  # fmt: skip


@pytest.fixture(scope="module")
def runs():
    normal = rl.Normal(0, 1)
    return rl.Sweep(
        data=POINT, w=normal, b=normal, v=normal, draws=100,
        learning_rate=np.geomspace(0.01, 10, 7), max_steps=500,
    ).run()  # fmt: skip


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def legend(ax):
    return [text.get_text() for text in figures.legend_of(ax).get_texts()]


def colors_of(artists):
    return [to_hex(artist.get_color()) for artist in artists]


def test_every_fate_has_a_color():
    assert set(figures.FATE_COLORS) == set(itertools.product(OUTCOMES.categories, UNITS.categories))
    assert set(figures.FATES) == set(figures.FATE_COLORS)
    assert list(figures.OPTIMUM_COLORS) == list(statistics.OPTIMA.categories)
    assert list(figures.OPTIMUM_LABELS) == list(statistics.OPTIMA.categories)


# Machado, Oliveira & Fernandes 2009: simulation at severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def lab(rgb, vision):
    """Return CIE L*a*b* (D65) of a color as seen."""
    rgb = np.asarray(rgb)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = xyz @ linear / np.array([0.9505, 1.0, 1.089])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("colors", [figures.FATE_COLORS, figures.OPTIMUM_COLORS])
@pytest.mark.parametrize("vision", VISION)
def test_colors_differ_for_every_vision(vision, colors):
    # A difference of 2.3 is just noticeable side by side; areas of a figure need several times it.
    seen = {fate: lab(to_rgb(color), vision) for fate, color in colors.items()}
    distance = {
        pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]])
        for pair in itertools.combinations(seen, 2)
    }
    closest = min(distance, key=distance.get)
    assert distance[closest] > 8, (closest, distance[closest])


def test_outcome_fractions_stack_to_one_with_the_dead_at_the_bottom(runs):
    rates = statistics.outcome_rates(runs, ["learning_rate"])
    ax = figures.outcome_fractions(rates)
    tops = [max(c.get_paths()[0].vertices[:, 1]) for c in ax.collections]
    assert tops[-1] == pytest.approx(1)
    by_fate = rates.groupby(["outcome", "unit"], observed=True)["fraction"].max()
    present = [fate for fate in figures.FATES if by_fate[fate] > 0]
    colors = [c.get_facecolor()[0][:3] for c in ax.collections]
    np.testing.assert_allclose(colors, [to_rgb(figures.FATE_COLORS[f]) for f in present])
    assert present[0] == ("converged", "born_dead")
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "learning rate η"
    assert legend(ax) == [figures.fate_label(*f) for f in present]
    # The lowest layer's upper edge is the table's fraction, around each rate.
    bottom = rates[(rates["outcome"] == "converged") & (rates["unit"] == "born_dead")]
    layer = ax.collections[0].get_paths()[0]
    for row in bottom.iloc[1:-1].itertuples():
        assert not layer.contains_point((row.learning_rate, row.fraction + 1e-3))
        assert row.fraction == 0 or layer.contains_point((row.learning_rate, row.fraction - 1e-3))


def test_outcome_map_has_each_cell_in_its_color(grid):
    ax = figures.outcome_map(grid, "w0", "v0")
    mesh = ax.collections[0]
    mesh.update_scalarmappable()
    colors = mesh.get_facecolors()[:, :3]
    cells = grid.sort_values(["v0", "w0"])
    expected = [
        to_rgb(figures.FATE_COLORS[o, u])
        for o, u in zip(cells["outcome"], cells["unit"], strict=True)
    ]
    np.testing.assert_allclose(colors, expected)


def test_steps_map_shows_steps_and_leaves_out_what_did_not_converge(grid):
    runs = grid.copy()
    runs.loc[3, "outcome"] = "unfinished"
    shown = figures.steps_map(runs, "w0", "v0").collections[0].get_array()
    cells = runs.sort_values(["v0", "w0"]).reset_index(drop=True)
    expected = cells["steps_taken"].clip(lower=1)
    hidden = np.ma.getmaskarray(np.ma.masked_invalid(shown)).ravel()
    unlearned = (cells["outcome"] != "converged") | (cells["unit"] != "alive")
    assert 0 < unlearned.sum() < len(cells)
    assert list(np.flatnonzero(hidden)) == list(np.flatnonzero(unlearned))
    np.testing.assert_array_equal(np.asarray(shown).ravel()[~hidden], expected[~hidden])


def test_curves_and_trajectories_draw_the_trace():
    trace = rl.trace(rl.Networks([0.5, 1], 0.2, 0.3, 0.1), POINT, 0.05, 20)
    ax = figures.loss_curves(trace, ["one", "two"])
    for run, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_ydata(), trace.loc[trace["run"] == run, "loss"])
    assert legend(ax) == ["one", "two"]
    path = figures.trajectories(trace, "w", "v").lines[0]
    np.testing.assert_array_equal(path.get_xdata(), trace.loc[trace["run"] == 0, "w"])
    curves = figures.parameter_curves(trace[trace["run"] == 0])
    assert {t.get_text() for t in curves.texts} == {"$w$", "$b$", "$v$", "$c$", "prediction"}


@functools.cache
def student_runs():
    return rl.Sweep(
        data=rl.TrainingSet.teacher(1, 0.2, 1, 0, n_samples=20), **rl.torch_default(), draws=60,
        learning_rate=[0.1, 0.5, 3.0], max_steps=200,
    ).run()  # fmt: skip


def test_what_was_found_stacks_to_one_with_the_global_optimum_on_top():
    rates = statistics.optimum_rates(student_runs(), ["learning_rate"])
    fraction = rates.set_index(["learning_rate", "optimum"])["fraction"]
    # The same fractions at as many rates as areas are drawn of.
    many = pd.concat([rates, rates.assign(learning_rate=10 + rates["learning_rate"])])
    ax = figures.optimum_fractions(many, "learning_rate")
    top = ax.collections[-1]
    assert to_rgb(top.get_facecolor()[0]) == to_rgb(figures.OPTIMUM_COLORS["global"])
    layer, found = top.get_paths()[0], fraction[0.5, "global"]
    assert found > 0.01
    assert layer.contains_point((0.5, 1 - found + 1e-3))
    assert not layer.contains_point((0.5, 1 - found - 1e-3))
    assert layer.vertices[:, 1].max() == pytest.approx(1)
    dead = figures.OPTIMUM_COLORS["born_dead"], figures.OPTIMUM_COLORS["died"]
    assert [to_hex(c.get_facecolor()[0]) for c in ax.collections[:2]] == list(dead)

    ax = figures.optimum_bars(rates, "learning_rate")
    widths = sum(np.array([bar.get_width() for bar in bars]) for bars in ax.containers)
    np.testing.assert_allclose(widths, 1)
    np.testing.assert_allclose(
        [bar.get_width() for bar in ax.containers[-1]], fraction[:, "global"]
    )


def test_a_few_fractions_are_points_with_intervals():
    rates = statistics.optimum_rates(student_runs(), ["learning_rate"])
    ax = figures.optimum_fractions(rates, "learning_rate")
    assert not any(isinstance(c, PolyCollection) for c in ax.collections)
    found = rates[rates["optimum"] == "global"].sort_values("learning_rate")
    drawn = ax.containers[-1]
    assert to_hex(drawn.lines[0].get_color()) == figures.OPTIMUM_COLORS["global"]
    np.testing.assert_array_equal(
        drawn.lines[0].get_xydata(), found[["learning_rate", "fraction"]].to_numpy(float)
    )
    ends = [segment[:, 1] for segment in drawn.lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, found[["low", "high"]])
    figures.optimum_fractions(rates.drop(columns=["low", "high"]), "learning_rate")


def test_cumulative_begins_at_the_smallest_above_0():
    table = pd.DataFrame(
        {"loss": [1.0, -1e-17, 1e-3], "fraction": [0.75, 0.25, 0.5], "of": ["a"] * 3}
    )
    line = figures.cumulative(table, "loss", "of").lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [1e-3, 1e-3, 1.0])
    np.testing.assert_array_equal(line.get_ydata(), [0.25, 0.5, 0.75])


def test_fits_draw_the_samples_the_curves_and_the_best_one():
    samples = pd.DataFrame({"x": [0.0, 1.0], "target": [2.0, 3.0]})
    curves = pd.DataFrame(
        {"label": ["a", "a", "best", "best"], "x": [0, 1, 0, 1], "prediction": [5, 6, 7, 8]}
    )
    points, learned, best = figures.fits(samples, curves, "best").lines
    np.testing.assert_array_equal(points.get_ydata(), [2, 3])
    np.testing.assert_array_equal(learned.get_ydata(), [5, 6])
    np.testing.assert_array_equal(best.get_ydata(), [7, 8])
    assert (learned.get_linestyle(), best.get_linestyle()) == ("-", "--")


def test_fits_that_coincide_are_all_seen():
    """Each is narrower than those beneath it."""
    labels = np.repeat(["a", "b", "c", "best"], 2)
    same = pd.DataFrame({"label": labels, "x": [0, 1] * 4, "prediction": [5, 6] * 4})
    samples = pd.DataFrame({"x": [0.0, 1.0], "target": [2.0, 3.0]})
    _, *lines = figures.fits(samples, same, "best").lines
    assert [line.get_label() for line in lines] == ["a", "b", "c", "best"]
    assert (np.diff([line.get_linewidth() for line in lines]) <= -1).all()


def test_beside_each_bar_is_the_fraction_that_found_the_optimum():
    rates = pd.DataFrame(
        {
            "scheme": ["a", "a", "b", "b"],
            "optimum": ["global", "died", "global", "died"],
            "fraction": [0.0015, 0.9985, 0.0, 1.0],
        }
    )

    def beside(rates):
        return [(text.get_text(), text.xy) for text in figures.optimum_bars(rates, "scheme").texts]

    assert ("0.15% global", (1, 0)) in beside(rates)
    assert ("0% global", (1, 1)) in beside(rates)
    assert ("0% global", (1, 1)) in beside(rates[rates["optimum"] == "died"])


def test_one_bar_for_each_value_holds_the_fates_side_by_side(runs):
    rates = statistics.outcome_rates(runs, ["learning_rate"])
    fraction = rates.set_index(["outcome", "unit", "learning_rate"])["fraction"].sort_index()
    ax = figures.fate_bars(rates, "learning_rate")
    present = [f for f in figures.FATES if fraction[f].max() > 0]
    assert [to_hex(bars[0].get_facecolor()) for bars in ax.containers] == [
        figures.FATE_COLORS[f] for f in present
    ]
    left = np.zeros(7)
    for bars, fate in zip(ax.containers, present, strict=True):
        np.testing.assert_allclose([bar.get_x() for bar in bars], left)
        np.testing.assert_allclose([bar.get_width() for bar in bars], fraction[fate])
        left += fraction[fate]
    np.testing.assert_allclose(left, 1)
    assert legend(ax) == [figures.fate_label(*f) for f in present]
    rows = [f"{rate:g}" for rate in np.geomspace(0.01, 10, 7)]
    assert [t.get_text() for t in ax.get_yticklabels()] == rows
    assert ax.get_ylabel() == "learning rate η"
    # The number stands where there is room for it.
    expected = [f"{s:.0%}" if s >= 0.09 else "" for fate in present for s in fraction[fate]]
    assert [t.get_text() for t in ax.texts] == expected
    assert "" in expected


def test_bars_begin_at_0_and_have_their_values_at_their_ends():
    table = pd.DataFrame({"program": ["a", "b", "c"], "times": [1.0, 1234.5, -2.0]})
    ax = figures.bars(table, "program", "times")
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 1), (0, 1234.5), (0, -2)]
    assert [t.get_text() for t in ax.texts] == ["1", "1,234", "-2"]
    assert ax.get_xscale() == "linear"


def test_dots_share_the_row_of_their_name():
    table = pd.DataFrame(
        {
            "of": ["a", "b", "a", "b"],
            "rate": ["own", "own", "common", "common"],
            "steps": [10.0, 100.0, 0.0, 1000.0],
            "low": [5.0, 90.0, 0.0, 1100.0],
            "high": [20.0, 110.0, 1.0, 1200.0],
        }
    )
    ax = figures.dots(table, "of", "steps", "rate", log=True)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    own, common = ax.containers
    assert list(own.lines[0].get_xdata()) == [10, 100]
    assert list(common.lines[0].get_xdata()) == [1000]  # 0 has no place
    np.testing.assert_allclose(own.lines[0].get_ydata().astype(float), [-0.175, 0.825])
    np.testing.assert_allclose(common.lines[0].get_ydata().astype(float), [1.175])
    reach = [segment[:, 0] for d in (own, common) for segment in d.lines[2][0].get_segments()]
    np.testing.assert_allclose(reach, [[5, 20], [90, 110], [1000, 1200]])
    assert ax.get_xscale() == "log"
    assert legend(ax) == ["own", "common"]
    assert figures.legend_of(figures.dots(table, "of", "steps")) is None


def test_dots_of_names_that_no_two_share_stand_on_their_row_with_their_values():
    table = pd.DataFrame(
        {"of": ["a", "b", "c"], "by": ["ours", "ours", "theirs"], "times": [1234.5, 30.0, 0.0]}
    )
    how = {"log": True, "low": "times", "high": "times"}
    ax = figures.dots(table, "of", "times", "by", amounts=True, **how)
    [both, none] = (c.lines[0].get_xydata().tolist() for c in ax.containers)
    assert both == [[1234.5, 0], [30, 1]]
    assert none == []
    assert [(t.get_text(), t.xy) for t in ax.texts] == [("1,234", (1234.5, 0)), ("30", (30, 1))]
    right = ax.get_window_extent().x1
    assert all(t.get_window_extent().x1 < right for t in ax.texts)
    assert not figures.dots(table, "of", "times", "by", **how).texts


RATED = pd.DataFrame(
    {
        "scheme": ["he", "he", "torch"],
        "learning_rate": [0.1, 1.0, 0.1],
        "fraction": [0.5, 0.0, 0.2],
        "low": [0.4, 0.0, 0.1],
        "high": [0.7, 0.05, 0.35],
    }
)


def test_lines_draw_one_line_for_each_value():
    ax = figures.lines(RATED, "learning_rate", "fraction", "scheme", log="x")
    assert [list(line.get_xdata()) for line in ax.lines] == [[0.1, 1.0], [0.1]]
    assert [list(line.get_ydata()) for line in ax.lines] == [[0.5, 0.0], [0.2]]
    assert legend(ax) == ["he", "torch"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate η", "fraction of runs")
    assert len(set(colors_of(ax.lines))) == len({line.get_marker() for line in ax.lines}) == 2


def test_intervals_reach_from_low_to_high():
    ax = figures.intervals(RATED, "learning_rate", by="scheme", log="x")
    drawn = ax.containers
    assert [list(c.lines[0].get_xdata()) for c in drawn] == [[0.1, 1.0], [0.1]]
    assert [list(c.lines[0].get_ydata()) for c in drawn] == [[0.5, 0.0], [0.2]]
    reach = [segment[:, 1] for c in drawn for segment in c.lines[2][0].get_segments()]
    np.testing.assert_allclose(reach, [[0.4, 0.7], [0, 0.05], [0.1, 0.35]])
    assert legend(ax) == ["he", "torch"]
    assert ax.get_xscale() == "log"
    assert figures.legend_of(figures.intervals(RATED, "learning_rate")) is None
    # An end on the wrong side of the point, by rounding, is no error.
    figures.intervals(RATED.assign(low=RATED["fraction"] + 1e-16), "learning_rate", log="xy")


def test_points_have_the_colors_of_their_fates():
    table = pd.DataFrame(
        {
            "w": [1.0, 2.0, np.inf, 4.0],
            "b": [5.0, 6.0, 7.0, 8.0],
            "outcome": ["diverged", "converged", "diverged", "diverged"],
            "unit": ["died", "alive", "alive", "died"],
        },
        index=[0, 0, 1, 1],  # as the parts of a folder come
    )
    ax = figures.points(table, "w", "b", "fate")
    (dots,) = ax.collections
    np.testing.assert_array_equal(dots.get_offsets(), [[1, 5], [2, 6], [4, 8]])
    fates = [("diverged", "died"), ("converged", "alive"), ("diverged", "died")]
    assert [to_hex(c) for c in dots.get_facecolors()] == [figures.FATE_COLORS[f] for f in fates]
    assert legend(ax) == ["diverged, died", "converged, alive"]
    assert dots.get_rasterized()


def test_points_of_many_numbers_have_a_color_bar():
    table = pd.DataFrame({"w": np.arange(20.0), "b": np.arange(20.0), "v": np.arange(20.0)})
    ax = figures.points(table, "w", "b", "v")
    np.testing.assert_array_equal(ax.collections[0].get_array(), table["v"])
    assert ax.figure.axes[1].get_ylabel() == "$v$"
    few = figures.points(table.assign(v=table["v"] % 3), "w", "b", "v")
    assert legend(few) == ["0", "1", "2"]
    assert figures.legend_of(few).get_title().get_text() == "$v$"


LIVES = pd.DataFrame(
    {
        "scheme": ["he", "he", "torch"],
        "step": [0, 7, 0],
        "survival": [0.9, 0.5, 0.8],
        "low": [0.8, 0.4, 0.7],
        "high": [0.95, 0.6, 0.9],
    }
)


def test_survival_steps_down_in_the_band_of_its_intervals():
    ax = figures.survival(LIVES, "scheme")
    he, torch = ax.lines
    assert [list(line.get_xdata()) for line in (he, torch)] == [[0, 7], [0, 7]]
    assert [list(line.get_ydata()) for line in (he, torch)] == [[0.9, 0.5], [0.8, 0.8]]
    assert he.get_drawstyle() == "steps-post"
    corners = {tuple(v) for v in ax.collections[0].get_paths()[0].vertices}
    assert {(0, 0.8), (7, 0.8), (7, 0.4), (0, 0.95), (7, 0.95), (7, 0.6)} <= corners
    assert ax.get_xscale() == "symlog"
    assert ax.get_xlim() == (0, 7)
    assert legend(ax) == ["he", "torch"]


def test_survival_draws_what_statistics_counts(runs):
    curve = statistics.survival(runs, ["learning_rate"])
    ax = figures.survival(curve, "learning_rate")
    first = curve[curve["learning_rate"] == curve["learning_rate"].iloc[0]]
    shown = dict(zip(ax.lines[0].get_xdata(), ax.lines[0].get_ydata(), strict=True))
    assert {step: shown[step] for step in first["step"]} == dict(
        zip(first["step"], first["survival"], strict=True)
    )


def test_transitions_tell_every_count_and_leave_what_stays_gray():
    counts = pd.DataFrame(
        {"before": ["a_b", "a_b", "c"], "after": ["a_b", "c", "d"], "count": [50_000, 7, 1]}
    )
    ax = figures.transitions(counts)
    words = {t.get_position(): t.get_text() for t in ax.texts}
    assert words == {
        (0, 0): "50,000", (1, 0): "7", (1, 1): "0", (2, 1): "1", (2, 2): "0",
    }  # fmt: skip
    changed, same = (mesh.get_array() for mesh in ax.collections)
    assert list(np.argwhere(~np.ma.getmaskarray(changed)).ravel()) == [0, 1, 1, 2]
    assert np.array_equal(~np.ma.getmaskarray(same), np.eye(3, dtype=bool))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a b", "c", "d"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a b", "c", "d"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("after", "before")
    ordered = counts.astype(
        dict.fromkeys(["before", "after"], pd.CategoricalDtype(["d", "c", "a_b"]))
    )
    ax = figures.transitions(ordered)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["d", "c", "a b"]


def test_marks_say_where_theory_is_and_how_it_is_called():
    ax = figures.lines(RATED, "learning_rate", "fraction", "scheme")
    limits = ax.get_xlim(), ax.get_ylim()
    figures.mark_curve(ax, [1e-3, 1e3], [0.1, 0.3], "one")
    figures.mark_curve(ax, [1e-3, 1e3], [0.2, 0.4], "two")
    figures.mark_position(ax, 0.5, "three")
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    one, two, three = ax.lines[-3:]
    np.testing.assert_array_equal(one.get_ydata(), [0.1, 0.3])
    np.testing.assert_array_equal(three.get_xdata(), [0.5, 0.5])
    assert set(colors_of([one, two, three])) == {"#000000"}
    assert (
        len({str(line.get_linestyle()) + str(line._dash_pattern) for line in (one, two, three)})
        == 3
    )
    assert legend(ax) == ["he", "torch", "one", "two", "three"]


def test_a_region_is_marked_by_its_boundary():
    x, y = np.linspace(0, 1, 101), np.linspace(0, 2, 201)
    ax = figures.lines(RATED, "learning_rate", "fraction", "scheme")
    figures.mark_region(ax, x, y, y[:, np.newaxis] > 2 * x, "above")
    figures.mark_region(ax, x, y, x < np.full((201, 1), 0.5), "left")
    lines, areas = ax.collections[::2], ax.collections[1::2]
    diagonal, vertical = (c.get_paths()[0].vertices for c in lines)
    np.testing.assert_allclose(diagonal[:, 1], 2 * diagonal[:, 0], atol=0.011)
    np.testing.assert_allclose(vertical[:, 0], 0.5, atol=0.006)
    assert legend(ax) == ["he", "torch", "above", "left"]
    dashes = {str(line._dash_pattern) for line in ax.lines[-2:]}
    assert len(dashes) == 2
    # Its inside is hatched, in the legend as in the picture.
    above, left = (area.get_paths()[0] for area in areas)
    assert above.contains_point((0.2, 1.5))
    assert not above.contains_point((0.8, 0.5))
    assert left.contains_point((0.3, 1))
    assert not left.contains_point((0.7, 1))
    hatches = [area.hatches for area in areas]
    assert hatches == [[h.get_hatch()] for h in figures.legend_of(ax).legend_handles[-2:]]
    assert hatches[0] != hatches[1]
    figures.mark_region(ax, x, y, np.zeros((201, 101)), "nowhere")
    assert len(ax.collections) == 4
    assert legend(ax)[-1] == "nowhere"


def test_units_have_their_colors_and_names(runs):
    steps = statistics.steps_to_converge(runs, ["learning_rate", "unit"])
    ax = figures.lines(steps.dropna().astype({"q50": float}), "learning_rate", "q50", by="unit")
    handles = figures.legend_of(ax).legend_handles
    found = dict(zip(legend(ax), colors_of(handles), strict=True))
    assert set(found.values()) == set(colors_of(ax.lines))
    assert found["born dead"] == figures.FATE_COLORS["converged", "born_dead"]
    assert found["alive"] == figures.FATE_COLORS["converged", "alive"]


def test_levels_are_named_in_the_legend():
    ax = figures.outcome_fractions(
        pd.DataFrame(columns=["learning_rate", "outcome", "unit", "fraction"])
    )
    for level in (0.5, 0.9, 0.52):
        figures.mark_level(ax, level, f"level {level}")
    assert [line.get_ydata()[0] for line in ax.lines] == [0.5, 0.9, 0.52]
    assert legend(ax) == ["level 0.5", "level 0.9", "level 0.52"]


def test_a_fraction_is_marked_on_its_bar(runs):
    rates = statistics.outcome_rates(runs, ["learning_rate"])
    long = "a name that is so long that it needs two lines"
    rates["name"] = rates["learning_rate"].map(lambda rate: long if rate > 9 else f"{rate:.3f}")
    ax = figures.fate_bars(rates, "name")
    figures.mark_fraction(ax, "0.010", 0.25)
    figures.mark_fraction(ax, long, 0.5)
    assert [tuple(line.get_xydata()[0]) for line in ax.lines] == [(0.25, 0), (0.5, 6)]
    assert legend(ax)[-1] == "closed form"
    with pytest.raises(rl.InputError, match=r"^row: expected one of 0\.010, .*, got 3$"):
        figures.mark_fraction(ax, 3, 0.5)
    ax = figures.fate_bars(rates, "learning_rate")
    figures.mark_fraction(ax, rates["learning_rate"].iloc[-1], 0.5, "theory")
    assert ax.lines[0].get_ydata()[0] == 6
    assert legend(ax)[-1] == "theory"


def test_speed_map_is_darker_the_longer_it_took():
    fates = ["converged", "alive"], ["diverged", "died"]
    runs = pd.DataFrame(
        [(0, 0, 5, *fates[0]), (1, 0, 9, *fates[0]), (0, 1, 7, *fates[0]), (1, 1, 2, *fates[1])],
        columns=["w0", "v0", "steps_taken", "outcome", "unit"],
    )
    ax = figures.speed_map(runs, "w0", "v0")
    [mesh] = ax.collections
    shown = np.asarray(mesh.get_array()).reshape(2, 2, 3)
    full, other = (np.array(to_rgb(figures.FATE_COLORS[tuple(fate)])) for fate in fates)
    # The slowest of each fate has its color; the others are the whiter the faster.
    np.testing.assert_allclose(shown[0, 1], full)
    np.testing.assert_allclose(shown[1, 1], other)
    whiteness = [shown[0, 0].sum(), shown[1, 0].sum(), shown[0, 1].sum()]
    assert whiteness == sorted(whiteness, reverse=True)
    assert len(set(whiteness)) == 3
    darkness = 0.15 + 0.85 * 1 / 3
    np.testing.assert_allclose(shown[0, 0], 1 - darkness * (1 - full))
    plt.close("all")


def test_value_map_has_gaps_where_there_is_no_number(grid):
    table = grid.assign(distance=grid["w0"] - grid["w0"].min())
    ax = figures.value_map(table, "w0", "v0", "distance", log=True)
    values = ax.collections[0].get_array()
    assert values.mask.sum() == (table["distance"] == 0).sum() > 0
    assert sorted(values.compressed()) == sorted(table["distance"][table["distance"] > 0])
    plt.close("all")


def frames_of_growing_lines(n=3):
    for i in range(n):
        [ax] = figures.panels(1)
        ax.plot([0, 1], [0, i])
        ax.set(title="Does it grow?", ylim=(0, n))
        yield ax


def test_a_film_is_a_gif_of_its_frames_with_the_same_bytes_each_time(tmp_path):
    for name in ("a.gif", "b.gif"):
        figures.save_film(figures.Film(frames_of_growing_lines(), 0.25), tmp_path / name)
        assert not plt.get_fignums()
    content = (tmp_path / "a.gif").read_bytes()
    assert content == (tmp_path / "b.gif").read_bytes()
    assert content.startswith(b"GIF89a")
    width, height = (int.from_bytes(content[i : i + 2], "little") for i in (6, 8))
    # 5.6 x 2.8 + 0.8 inches at 160 dots, as in all files.
    assert (width, height) == (896, 576)
    # Before each picture is a block that has its time in hundredths of a second.
    times = [
        int.from_bytes(content[i + 4 : i + 6], "little")
        for i in range(len(content) - 8)
        if content[i : i + 3] == b"\x21\xf9\x04" and content[i + 7] == 0
    ]
    assert times == [25, 25, 25]


def test_a_film_may_be_of_one_figure_drawn_anew(tmp_path):
    def frames():
        [ax] = figures.panels(1)
        for i in range(2):
            ax.clear()
            ax.plot([0, 1], [0, i])
            ax.set(title=f"Is it {i}?")
            yield ax

    figures.save_film(figures.Film(frames()), tmp_path / "film.gif")
    assert len((tmp_path / "film.gif").read_bytes()) > 1000


def test_what_is_no_film_is_refused(tmp_path):
    def of_sizes():
        yield figures.panels(1)[0]
        yield figures.panels(9)[0]

    for message, film, name in (
        ("frames: expected at least one Axes", figures.Film([]), "a.gif"),
        ("frames: expected figures of one size", figures.Film(of_sizes()), "a.gif"),
        ("file: expected a name that ends with .gif, got a.png", figures.Film([]), "a.png"),
        ("ax: expected Axes", figures.Film([1]), "a.gif"),
    ):
        with pytest.raises(rl.InputError, match=f"^{message}"):
            figures.save_film(film, tmp_path / name)
    with pytest.raises(rl.InputError, match=r"^seconds: expected a number >= 0"):
        figures.Film([], 0)
    plt.close("all")


def test_maps_are_made_from_runs_in_any_order():
    x, y = np.meshgrid(np.geomspace(0.01, 1, 30), np.arange(20.0))
    table = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "of": np.arange(600.0)})
    expected = table.pivot(index="y", columns="x", values="of").to_numpy()
    shuffled = table.sample(frac=1, random_state=0)[1:]
    ax = figures.value_map(shuffled, "x", "y", "of")
    values = ax.collections[0].get_array()
    assert values.mask.sum() == 1
    np.testing.assert_array_equal(values[~values.mask], expected[~values.mask])
    plt.close("all")


def curve(n_labels=2):
    return pd.DataFrame({"label": list("aab")[: n_labels + 1], "x": 0.0, "prediction": 1.0})


def tables(name, runs, grid):
    """Return the tables and the options that a figure is drawn from."""
    rates = statistics.outcome_rates(runs, ["learning_rate"])
    found = statistics.optimum_rates(student_runs(), ["learning_rate"])
    trace = rl.trace(rl.Networks([0.5, 1], 0.2, 0.3, 0.1), POINT, 0.05, 5)
    samples = pd.DataFrame({"x": [0.0, 1.0], "target": 1.0})
    counts = pd.DataFrame({"before": ["a", "a"], "after": ["a", "b"], "count": [5, 2]})
    return {
        "bars": ([rates.head(3)], {"label": "outcome", "value": "fraction"}),
        "cumulative": (
            [statistics.cumulative(student_runs(), "excess_loss", ["learning_rate"])],
            {"value": "excess_loss", "by": "learning_rate"},
        ),
        "dots": ([rates], {"label": "learning_rate", "value": "fraction", "by": "fate"}),
        "fate_bars": ([rates], {"label": "learning_rate"}),
        "fit_steps": ([trace[trace["run"] == 0]], {"data": POINT}),
        "fits": ([samples, curve()], {"best": "a"}),
        "intervals": ([rates], {"x": "learning_rate", "by": "fate", "log": "x"}),
        "lines": ([found], {"x": "learning_rate", "y": "fraction", "by": "optimum"}),
        "loss_curves": ([trace], {}),
        "optimum_bars": ([found], {"label": "learning_rate"}),
        "optimum_fractions": ([found], {"x": "learning_rate"}),
        "outcome_map": ([grid], {"x": "w0", "y": "v0"}),
        "outcome_fractions": ([rates], {}),
        "parameter_curves": ([trace[trace["run"] == 0]], {}),
        "points": ([runs], {"x": "w0", "y": "b0", "by": "fate"}),
        "speed_map": ([grid], {"x": "w0", "y": "v0"}),
        "steps_map": ([grid], {"x": "w0", "y": "v0"}),
        "survival": ([LIVES], {"by": "scheme"}),
        "trajectories": ([trace], {"x": "w", "y": "v"}),
        "transitions": ([counts], {}),
        "value_map": ([grid], {"x": "w0", "y": "v0", "value": "loss", "log": True}),
    }[name]


# Public functions that take an Axes or make one.
FUNCTIONS = [
    name
    for name in figures.__all__
    if inspect.isfunction(function := getattr(figures, name))
    and "ax" in (parameters := inspect.signature(function).parameters)
    and parameters["ax"].default is None
]


def first_label(table):
    """Return the rows of one outcome, label or run."""
    label = next(n for n in (*LABELS, table.columns[0]) if n in table)
    return table[table[label] == table[label].iloc[0]]


LABELS = ("outcome", "optimum", "run", "scheme", "label", "before")
CUTS = {
    "every row": lambda table: table,
    "one outcome": first_label,
    "one row": lambda table: table.iloc[:1],
    "no row": lambda table: table.iloc[:0],
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_figure_survives_small_tables(name, cut, grid, runs):
    given, how = tables(name, runs, grid)
    ax = getattr(figures, name)(*map(CUTS[cut], given), **how)
    assert ax.get_xlabel()
    assert ax.figure.get_size_inches()[0] == 5.6
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_figure_leaves_its_table_alone_and_names_what_is_missing(name, grid, runs):
    given, how = tables(name, runs, grid)
    function = getattr(figures, name)
    before = [table.copy() for table in given]
    function(*given, **how)
    for table, old in zip(given, before, strict=True):
        pd.testing.assert_frame_equal(table, old)
    for i, table in enumerate(given):
        without = [*given[:i], table[["x"]] if name == "fits" else table[[]], *given[i + 1 :]]
        with pytest.raises(
            rl.InputError, match=r"^\w+: expected the columns .*; no \w+ among"
        ) as told:
            function(*without, **how)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_figure_draws_on_a_given_axes_and_keeps_the_users_style(name, grid, runs):
    given, how = tables(name, runs, grid)
    with mpl.rc_context({"font.size": 7.0}):
        _, ax = plt.subplots()
        assert getattr(figures, name)(*given, **how, ax=ax) is ax
        texts = [*ax.texts, *(figures.legend_of(ax).get_texts() if figures.legend_of(ax) else ())]
    assert not ax.figure.legends  # nothing would make room for it
    assert all(text.get_fontsize() <= 7 for text in texts)


def test_the_style_sheet_is_one_of_matplotlibs():
    with plt.style.context("relulab.figures.relulab"):
        assert mpl.rcParams["svg.hashsalt"] == "relulab"
        assert mpl.rcParams["figure.figsize"] == [5.6, 4.2]


def test_panels_share_one_legend_below_them():
    rates = statistics.optimum_rates(student_runs(), ["learning_rate"])
    axes = figures.panels(2)
    figures.optimum_fractions(rates[rates["optimum"] == "diverged"], "learning_rate", axes[0])
    figures.optimum_fractions(rates[rates["optimum"] != "diverged"], "learning_rate", axes[1])
    present = rates.groupby("optimum", observed=True)["fraction"].max() > 0
    order = "born_dead", "died", "diverged", "moving", "oscillating", "local", "global"
    expected = [figures.OPTIMUM_LABELS[name] for name in order if present.get(name)]
    assert legend(axes[0]) == legend(axes[1]) == expected
    assert len(axes[0].figure.legends) == 1


def test_labels_of_panels_are_at_the_left_and_at_the_foot():
    axes = figures.panels(5)
    for ax in axes:
        ax.set(xlabel="x", ylabel="y")
    figures.outer_labels(axes)
    assert [bool(ax.get_xlabel()) for ax in axes] == [False, False, True, True, True]
    assert [bool(ax.get_ylabel()) for ax in axes] == [True, False, True, False, False]
    axes[0].figure.canvas.draw()
    shown = [any(t.label1.get_visible() for t in ax.xaxis.get_major_ticks()) for ax in axes]
    assert shown == [False, False, True, True, True]


@pytest.mark.parametrize("n_entries", [1, 3, 12])
def test_a_legend_is_no_wider_than_its_figure(n_entries):
    table = pd.DataFrame(
        {"x": 1.0, "y": 1.0, "of": [f"a rather long name {i}" for i in range(n_entries)]}
    )
    ax = figures.lines(table, "x", "y", "of")
    figures.mark_position(ax, 1, "the name of what a theory says")
    ax.figure.canvas.draw()
    box = figures.legend_of(ax).get_window_extent()
    assert box.width <= ax.figure.bbox.width
    assert box.y1 < ax.get_tightbbox().y0


def test_a_long_title_is_wrapped_at_the_edge_of_the_figure(tmp_path):
    ax = figures.lines(RATED, "learning_rate", "fraction", "scheme")
    ax.set_title("Does " + 10 * "a long title " + "stay inside?")
    figure = ax.figure
    figures.save(ax, tmp_path / "a.png")
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert box.y0 > ax.get_tightbbox().y1 - 1
    assert box.height > 20


DRAW_ALL = """
import sys
from pathlib import Path
import pandas as pd
from relulab import figures

def draw():
    table = pd.DataFrame({"x": [1.0, 2, 3], "y": [3.0, 1, 2], "of": list("aba")})
    table = table.assign(low=0.5, high=4.0)
    counts = pd.DataFrame({"before": ["a", "b"], "after": ["b", "b"], "count": [1, 2]})
    ax = figures.intervals(table, "x", "y", "of")
    figures.mark_curve(ax, [1, 3], [1, 3], "theory of $w_0$, η")
    ax.set_title("Is it the same?")
    return {"a": ax, "b": figures.points(table, "x", "y", "of"), "c": figures.transitions(counts)}

if __name__ == "__main__":
    for name, ax in draw().items():
        figures.save(ax, *(Path(sys.argv[1]) / f"{name}.{kind}" for kind in figures.FORMATS))
"""


@pytest.mark.slow
def test_the_same_table_gives_the_same_bytes_in_every_format(tmp_path):
    hashes = []
    for seed in ("1", "2", "2"):
        folder = tmp_path / str(len(hashes))
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-c", DRAW_ALL, str(folder)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        files = sorted(folder.iterdir())
        hashes.append({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files})
    assert len(hashes[0]) == 9
    assert hashes[0] == hashes[1] == hashes[2]


def test_the_bytes_do_not_depend_on_what_else_is_written(tmp_path):
    orders = [figures.FORMATS, figures.FORMATS[::-1], *((kind,) for kind in figures.FORMATS)]
    for i, kinds in enumerate(orders):
        ax = figures.intervals(RATED, "learning_rate", by="scheme")
        ax.set_title("Does " + 10 * "a long title " + "stay the same?")
        figures.save(ax, *(tmp_path / f"{i}.{kind}" for kind in kinds))
    for kind in figures.FORMATS:
        assert len({file.read_bytes() for file in tmp_path.glob(f"*.{kind}")}) == 1


@pytest.mark.parametrize("kind", figures.FORMATS)
def test_saving_twice_in_one_process_gives_the_same_bytes(kind, tmp_path):
    for name in "ab":
        figures.save(
            figures.points(RATED, "learning_rate", "fraction", "scheme"),
            tmp_path / f"{name}.{kind}",
        )
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_an_unknown_format_is_told_before_anything_is_written(tmp_path):
    ax = figures.points(RATED, "learning_rate", "fraction")
    with pytest.raises(rl.InputError, match=r"ends with one of png, svg, pdf, got a\.gif"):
        figures.save(ax, tmp_path / "a.png", tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("n", "rows"), [(4, "2 2"), (5, "2 3"), (7, "1 3 3"), (8, "2 3 3")])
def test_panels_share_their_axes_and_fill_all_rows_but_the_first(n, rows):
    axes = figures.panels(n)
    assert len(axes) == n
    axes[0].set_xlim(3, 4)
    assert axes[3].get_xlim() == (3, 4)
    filled = pd.Series([ax.get_subplotspec().rowspan.start for ax in axes]).value_counts(sort=False)
    assert list(filled) == [int(word) for word in rows.split()]
    shown = [ax for ax in axes[0].figure.axes if ax.axison]
    assert shown == axes


def test_what_a_figure_cannot_show_is_told_in_one_line(grid, runs):
    trace = rl.trace(rl.Networks([0.5, 1], 0.2, 0.3, 0.1), POINT, 0.05, 5)
    rates = statistics.outcome_rates(runs, ["learning_rate"])
    twice = statistics.outcome_rates(runs, ["learning_rate", "draw"])
    for start, draw in {
        "runs: expected one run": lambda: figures.outcome_map(runs, "learning_rate", "c0"),
        "runs: expected one": lambda: figures.steps_map(pd.concat([grid, grid]), "w0", "v0"),
        "labels: expected 2": lambda: figures.loss_curves(trace, ["a"]),
        "labels: expected 2, one": lambda: figures.trajectories(trace, "w", "v", ["a"]),
        "trace: expected a single run": lambda: figures.parameter_curves(trace),
        "rates: expected the columns": lambda: figures.outcome_fractions(rates, "eta"),
        "rates: expected one row": lambda: figures.outcome_fractions(twice),
        "rates: expected numbers": lambda: figures.outcome_fractions(
            rates.assign(learning_rate="fast").iloc[:12]
        ),
        "log: expected letters among x, y, got z": lambda: figures.lines(
            RATED, "learning_rate", "fraction", "scheme", log="xz"
        ),
        "table: expected numbers in the column fraction": lambda: figures.intervals(
            RATED.astype({"fraction": str}), "learning_rate"
        ),
        "counts: expected one row": lambda: figures.transitions(
            pd.DataFrame({"before": ["a", "a"], "after": "b", "count": 1})
        ),
    }.items():
        with pytest.raises(rl.InputError, match=f"^{start}"):
            draw()


# --- any table: no warning, no error, every text inside the picture

NUMBERS = st.floats() | st.sampled_from([0.0, -1.0, 1.0, 0.5, 3e-7, 1e9, 5e-324, 1.7e308, np.nan])
PLACED = st.floats(-9e149, 9e149) | st.sampled_from([0.0, -1.0, 1.0, 0.5, 3e-7, 1e9, 5e-324])
STEP = st.integers(0, 10**6)
LABEL = st.text(st.characters(codec="latin-1"), max_size=20) | st.sampled_from(
    ["W" * 300, "a word " * 50, "$", "$x", r"$\frac$", "$5 or $6", r"\$", "_hidden", "", " ",
     "two\nlines", "bell \a", "None", "a" * 299 + "b", "%s", "{0}"]
)  # fmt: skip
NAME = st.sampled_from(["a", "W" * 300, "$", "$x", "_b", "a word " * 50, "two\nlines"])
FRACTION = st.floats(0, 1)


def rows(max_size=6, one_each=(), **columns):
    """Return tables of so many rows, of which one for each combination of some columns."""

    def table(found):
        frame = pd.DataFrame(found, columns=list(columns))
        return frame.drop_duplicates(list(one_each), ignore_index=True) if one_each else frame

    return st.lists(st.fixed_dictionaries(columns), max_size=max_size).map(table)


LOGS = st.sampled_from(["", "x", "y", "xy"])
FATE = {"outcome": st.sampled_from(list(OUTCOMES.categories)),
        "unit": st.sampled_from(list(UNITS.categories))}  # fmt: skip
OPTIMUM = {"optimum": st.sampled_from(list(statistics.OPTIMA.categories))}
NUMBERED = dict.fromkeys("xy", NUMBERS)
ANY = {
    "bars": (rows(label=LABEL, value=PLACED), {"label": "label", "value": "value"}),
    "cumulative": (
        rows(value=NUMBERS, fraction=FRACTION, of=LABEL), {"value": "value", "by": "of"},
    ),
    "dots": (
        rows(label=LABEL, value=NUMBERS, low=NUMBERS, high=NUMBERS, of=LABEL),
        {"label": "label", "value": "value", "by": "of", "log": st.booleans()},
    ),
    "fate_bars": (
        rows(label=LABEL, fraction=FRACTION, **FATE, one_each=("label", "outcome", "unit")),
        {"label": "label"},
    ),
    "fit_steps": (
        rows(run=st.just(0), step=STEP, n_active=STEP, **dict.fromkeys("wbvc", NUMBERS)),
        {"data": st.sampled_from([POINT, rl.TrainingSet([-1, 0.5, 1e9], [0, 1e-9, 2])])},
    ),
    "intervals": (rows(**NUMBERED, low=NUMBERS, high=NUMBERS, of=LABEL),
                  {"x": "x", "y": "y", "by": "of", "log": LOGS}),
    "lines": (rows(**NUMBERED, of=LABEL), {"x": "x", "y": "y", "by": "of", "log": LOGS}),
    "loss_curves": (rows(run=STEP, step=NUMBERS, loss=NUMBERS), {}),
    "optimum_bars": (
        rows(label=LABEL, fraction=FRACTION, **OPTIMUM, one_each=("label", "optimum")),
        {"label": "label"},
    ),
    "optimum_fractions": (
        rows(x=PLACED, fraction=FRACTION, **OPTIMUM, one_each=("x", "optimum")), {"x": "x"},
    ),
    "outcome_map": (rows(**dict.fromkeys("xy", PLACED), **FATE, one_each=("x", "y")),
                    {"x": "x", "y": "y"}),
    "outcome_fractions": (
        rows(x=PLACED, fraction=FRACTION, **FATE, one_each=("x", "outcome", "unit")), {"x": "x"},
    ),
    "parameter_curves": (
        rows(
            run=st.just(0), step=NUMBERS, prediction=NUMBERS, n_active=STEP,
            **dict.fromkeys("wbvc", NUMBERS),
        ),
        {},
    ),
    "points": (rows(20, **NUMBERED, of=NUMBERS), {"x": "x", "y": "y", "by": "of", "log": LOGS}),
    "speed_map": (
        rows(**dict.fromkeys("xy", PLACED), steps_taken=NUMBERS, **FATE, one_each=("x", "y")),
        {"x": "x", "y": "y"},
    ),
    "steps_map": (
        rows(**dict.fromkeys("xy", PLACED), steps_taken=NUMBERS, **FATE, one_each=("x", "y")),
        {"x": "x", "y": "y"},
    ),
    "survival": (rows(step=STEP, survival=NUMBERS, low=NUMBERS, high=NUMBERS, of=LABEL),
                 {"by": "of"}),
    "trajectories": (rows(run=STEP, **NUMBERED), {"x": "x", "y": "y"}),
    "transitions": (
        rows(before=NAME, after=NAME, count=st.integers(0, 10**15), one_each=("before", "after")),
        {},
    ),
    "value_map": (rows(**dict.fromkeys("xy", PLACED), of=NUMBERS, one_each=("x", "y")),
                  {"x": "x", "y": "y", "value": "of", "log": st.booleans()}),
}  # fmt: skip


def test_any_table_is_tried_with_every_figure_of_one_table():
    assert set(ANY) == set(FUNCTIONS) - {"fits"}  # which takes two


def texts_of(figure):
    """Return every text that is drawn."""
    for ax in figure.axes:
        yield from (t for t in ax.get_children() if isinstance(t, Text))
        yield from (ax.xaxis.label, ax.yaxis.label)
        for axis, lim in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            yield from (
                tick.label1
                for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
                if min(lim) <= tick.get_loc() <= max(lim)
            )
    yield from figure.texts
    for legend in figure.legends:
        yield from (*legend.get_texts(), legend.get_title())


def look_at(ax, *files):
    """Save a figure and hold that its texts are inside."""
    figures.save(ax, *files)
    figure = ax.figure
    with figures.style(), np.errstate(over="ignore"):
        figure.set_dpi(mpl.rcParams["savefig.dpi"])
        figure.draw_without_rendering()
        for text in texts_of(figure):
            if text.get_visible() and text.get_text():
                box = text.get_window_extent()
                if not np.isfinite(box.extents).all():
                    continue  # of what is beyond the limits of the axes, and not drawn
                inside = (box.x0 >= -1, box.y0 >= -1, box.x1 <= figure.bbox.x1 + 1,
                          box.y1 <= figure.bbox.y1 + 1)  # fmt: skip
                assert all(inside), (text, box, figure.bbox)


NO_GLYPH = pytest.mark.filterwarnings("ignore:Glyph .* missing from")


@pytest.mark.slow
@NO_GLYPH
@pytest.mark.parametrize("name", sorted(ANY))
def test_every_figure_takes_any_table(name):
    tables, how = ANY[name]

    @settings(max_examples=8)
    @given(tables, st.fixed_dictionaries({k: v for k, v in how.items() if not isinstance(v, str)}))
    def holds(table, drawn):
        plt.close("all")  # of an example that failed
        look_at(getattr(figures, name)(table, **how | drawn))

    holds()


LONG = ["W" * 300, "i" * 300, "a word " * 60, "$" * 301, "_" * 300, "\n" * 300, "$x$ " * 100]


@pytest.mark.slow
@pytest.mark.parametrize("label", LONG)
def test_names_of_any_length_stay_inside_the_picture(label):
    two = [label + "1", label + "2"]
    table = pd.DataFrame({label: [1.0, 2.0], "y": [0.1, 0.9], "of": two, "fraction": [0.5, 0.25]})
    table = table.assign(outcome="converged", unit=["died", "alive"], low=0.1, high=0.9)
    drawn = {
        "lines": figures.lines(table, label, "y", "of"),
        "high": figures.lines(table, "y", label, "of"),
        "points": figures.points(table, label, "y", "of"),
        "scale": figures.points(
            pd.DataFrame({"x": np.arange(9.0), label: np.arange(9.0)}), "x", "x", label
        ),
        "title": figures.lines(table, "y", "fraction", label),
        "bars": figures.fate_bars(table, "of"),
        "values": figures.bars(table, "of", "y"),
        "dots": figures.dots(table, "of", label, "of"),
        "maps": figures.outcome_map(table, label, "y"),
        "transitions": figures.transitions(
            pd.DataFrame({"before": two, "after": two[::-1], "count": 1})
        ),
        "losses": figures.loss_curves(
            pd.DataFrame({"run": [0, 1], "step": 0, "loss": [1.0, 2.0]}), two
        ),
    }  # fmt: skip
    figures.mark_level(drawn["lines"], 0.5, label)
    figures.mark_fraction(drawn["bars"], two[1], 0.5, label)
    assert drawn["bars"].lines[-1].get_ydata()[0] == 1  # the second of two that look alike
    assert len(legend(drawn["lines"])) == 3
    for ax in drawn.values():
        ax.set_title(label)
        look_at(ax)


def test_a_name_is_shown_as_it_is():
    table = pd.DataFrame({"x": 1.0, "y": 1.0, "of": ["_hidden", "$5 or $6", "one\ntwo", "\a"]})
    ax = figures.lines(table, "x", "y", "of")
    assert legend(ax) == ["_hidden", r"\$5 or \$6", "one two", "\ufffd"]
    figures.mark_level(ax, 1, "$x_0$")
    figures.mark_level(ax, 1, "$x")
    assert legend(ax)[-2:] == ["$x_0$", "$x"]
    figures.mark_level(ax, 1, r"$\nonsense$")
    assert legend(ax)[-1] == r"\$\nonsense\$"


@pytest.mark.slow
def test_a_legend_of_very_many_says_how_many_it_leaves_out():
    table = pd.DataFrame({"x": 1.0, "y": 1.0, "of": [f"name {i:03}" for i in range(500)]})
    ax = figures.lines(table, "x", "y", "of")
    shown = legend(ax)
    assert shown[-1] == f"and {500 - len(shown) + 1} more"
    ax.figure.draw_without_rendering()
    assert figures.legend_of(ax).get_window_extent().height < ax.figure.bbox.height * 0.6


LOG_TABLE = pd.DataFrame(
    {"x": [0.1, 1.0, 10.0, 0.0, -1.0], "y": [1.0, 0.0, 2.0, 3.0, -1.0], "of": "a"}
).assign(low=lambda t: t["y"] - 0.5, high=lambda t: t["y"] + 0.5)


def at_the_ends(ax):
    """Return where hollow markers are, in the coordinates that they are in."""
    return {
        tuple(point): line.get_transform()
        for line in ax.lines
        if line.get_markerfacecolor() == "none"
        for point in line.get_xydata()
    }


@pytest.mark.parametrize("name", ["lines", "intervals"])
def test_what_has_no_place_on_a_log_axis_stands_at_its_end(name):
    ax = getattr(figures, name)(LOG_TABLE, "x", "y", by="of", log="xy")
    places = {(1.0, 0.0): ax.get_xaxis_transform(), (0.0, 3.0): ax.get_yaxis_transform(),
              (0.0, 0.0): ax.transAxes}  # fmt: skip
    assert at_the_ends(ax) == places
    (solid,) = [line for line in ax.lines if line.get_markerfacecolor() != "none"]
    drawn = solid.get_xydata()
    np.testing.assert_array_equal(drawn[np.isfinite(drawn).all(axis=1)], [[0.1, 1.0], [10.0, 2.0]])
    if name == "lines":  # no stroke across what is missing
        assert np.isnan(drawn[1]).all()
    assert ax.get_xlim()[0] > 0.01
    assert ax.get_ylim()[0] > 0.1


def test_points_without_a_place_are_left_out():
    (dots,) = figures.points(LOG_TABLE, "x", "y", log="xy").collections
    np.testing.assert_array_equal(dots.get_offsets(), [[0.1, 1.0], [10.0, 2.0]])


def test_cumulative_of_zeros_needs_no_log_axis(tmp_path):
    ax = figures.cumulative(
        pd.DataFrame({"loss": [0.0], "fraction": [1.0], "of": "a"}), "loss", "of"
    )
    assert ax.get_xscale() == "linear"
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), np.zeros(8))
    figures.save(ax, tmp_path / "a.png")


def test_bars_of_nothing_are_told_where_they_would_begin(tmp_path):
    table = pd.DataFrame({"program": list("abcd"), "times": [0.0, 10.0, -2.0, np.nan]})
    ax = figures.bars(table, "program", "times")
    assert [t.get_text() for t in ax.texts] == ["0", "10", "-2", ""]
    look_at(ax, tmp_path / "a.png")


def test_marks_without_a_place_on_a_log_axis_are_not_drawn():
    ax = figures.lines(LOG_TABLE[:1], "x", "y", "of", log="xy")
    limits, n_lines = (ax.get_xlim(), ax.get_ylim()), len(ax.lines)
    figures.mark_level(ax, 0, "level")
    figures.mark_position(ax, -1, "position")
    assert (len(ax.lines), legend(ax)) == (n_lines, ["a"])
    figures.mark_curve(ax, [0.05, 0.1, 0.2, 0.0], [1.0, 0.0, 2.0, 3.0], "curve")
    np.testing.assert_array_equal(ax.lines[-1].get_ydata(), [1, np.nan, 2, np.nan])
    grid = np.linspace(-1, 1, 9)
    figures.mark_region(ax, grid, grid, grid > np.full((9, 1), 0.3), "region")
    assert ax.collections[-1].get_paths()[0].vertices.min() > 0
    assert (ax.get_xlim(), ax.get_ylim()) == limits
    with pytest.raises(rl.InputError, match=r"^fraction: expected a number from 0 to 1, got 2"):
        figures.mark_fraction(ax, "a", 2)


def test_too_many_bars_are_refused_and_not_drawn_beyond_what_a_picture_holds():
    table = pd.DataFrame({"program": range(1001), "times": 1.0})
    with pytest.raises(rl.InputError, match="at most 1,000 bars, got 1,001"):
        figures.bars(table, "program", "times")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_index_of_a_table_is_not_looked_at(name, grid, runs, tmp_path):
    given, how = tables(name, runs, grid)
    strange = []
    for table in given:
        columns = list(table.columns[:2])
        table = table.set_index(columns, drop=False)
        table.columns.name = columns[0]
        strange.append(table)
    pictures = []
    for tables_of_it in (given, strange):
        figures.save(getattr(figures, name)(*tables_of_it, **how), tmp_path / "a.png")
        pictures.append((tmp_path / "a.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_lines_of_the_user_are_not_told_in_the_legend():
    _, ax = plt.subplots()
    ax.plot([1, 2], [3, 4])
    trace = pd.DataFrame({"run": [0, 0], "step": [0, 1], "loss": [1.0, 2.0]})
    figures.loss_curves(trace, ax=ax)
    figures.fits(pd.DataFrame({"x": [1.0], "target": 1.0}), curve(), ax=ax)
    assert legend(ax) == ["run 0", "a", "b"]
