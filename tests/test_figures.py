"""Figures show the table's numbers, survive small tables, and keep one color for each fate."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import relulab as rl
from relulab import figures, statistics
from relulab.outcome import OUTCOMES, UNITS

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


def test_every_fate_has_a_color():
    assert set(figures.FATE_COLORS) == set(itertools.product(OUTCOMES.categories, UNITS.categories))
    assert set(figures.FATES) == set(figures.FATE_COLORS)


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


def test_outcome_shares_stack_to_one_with_the_dead_at_the_bottom(runs):
    rates = statistics.outcome_rates(runs, ["learning_rate"])
    ax = figures.outcome_shares(rates)
    tops = [max(c.get_paths()[0].vertices[:, 1]) for c in ax.collections]
    assert tops[-1] == pytest.approx(1)
    by_fate = rates.groupby(["outcome", "unit"], observed=True)["share"].max()
    present = [fate for fate in figures.FATES if by_fate[fate] > 0]
    colors = [c.get_facecolor()[0][:3] for c in ax.collections]
    np.testing.assert_allclose(colors, [to_rgb(figures.FATE_COLORS[f]) for f in present])
    assert present[0] == ("converged", "born_dead")
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "learning rate η"
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == [figures.fate_label(*f) for f in present[::-1]]
    # The lowest layer's upper edge is the table's share.
    bottom = rates[(rates["outcome"] == "converged") & (rates["unit"] == "born_dead")]
    vertices = ax.collections[0].get_paths()[0].vertices
    for row in bottom.itertuples():
        near = vertices[np.isclose(vertices[:, 0], row.learning_rate), 1]
        assert np.isclose(near, row.share).any()


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
    assert list(np.flatnonzero(hidden)) == list(np.flatnonzero(cells["outcome"] != "converged"))
    np.testing.assert_array_equal(np.asarray(shown).ravel()[~hidden], expected[~hidden])


def test_curves_and_trajectories_draw_the_trace():
    trace = rl.trace(rl.Networks([0.5, 1], 0.2, 0.3, 0.1), POINT, 0.05, 20)
    ax = figures.loss_curves(trace, ["one", "two"])
    for run, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_ydata(), trace.loc[trace["run"] == run, "loss"])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one", "two"]
    path = figures.trajectories(trace, "w", "v").lines[0]
    np.testing.assert_array_equal(path.get_xdata(), trace.loc[trace["run"] == 0, "w"])
    curves = figures.parameter_curves(trace[trace["run"] == 0])
    assert {t.get_text() for t in curves.texts} == {"$w$", "$b$", "$v$", "$c$", "prediction"}


@pytest.mark.parametrize("n_rows", [0, 1])
def test_every_figure_survives_tables_of_no_row_and_of_one(n_rows, grid, runs):
    rates = statistics.outcome_rates(runs.iloc[:n_rows], ["learning_rate"])
    trace = rl.trace(rl.Networks(0.5, 0.2, 0.3, 0.1), POINT, 0.05, 5)
    drawn = [
        figures.outcome_shares(rates),
        figures.outcome_map(grid.iloc[:n_rows], "w0", "v0"),
        figures.steps_map(grid.iloc[:n_rows], "w0", "v0"),
        figures.loss_curves(trace.iloc[:n_rows]),
        figures.parameter_curves(trace.iloc[:n_rows]),
        figures.trajectories(trace.iloc[:n_rows], "w", "v"),
    ]
    several = student_runs().iloc[:n_rows]
    found = statistics.optimum_rates(several, ["learning_rate"])
    curve = pd.DataFrame({"label": ["a"], "x": [0.0], "prediction": [1.0]}).iloc[:n_rows]
    drawn += [
        figures.optimum_shares(found, "learning_rate"),
        figures.optimum_bars(found, "learning_rate"),
        figures.cumulative(several, "excess_loss", "learning_rate"),
        figures.fits(pd.DataFrame({"x": [0.0], "target": [1.0]}).iloc[:n_rows], curve),
        figures.fits(pd.DataFrame({"x": [0.0], "target": [1.0]}), curve.iloc[:n_rows], "a"),
        figures.lines(found, "learning_rate", "share", "optimum"),
    ]
    for ax in drawn:
        ax.figure.canvas.draw()


def student_runs():
    return rl.Sweep(
        data=rl.TrainingSet.teacher(1, 0.2, 1, 0, n_samples=20), **rl.torch_default(), draws=60,
        learning_rate=[0.1, 0.5, 3.0], max_steps=200,
    ).run()  # fmt: skip


def test_what_was_found_stacks_to_one_with_the_global_optimum_at_the_bottom():
    rates = statistics.optimum_rates(student_runs(), ["learning_rate"])
    share = rates.set_index(["learning_rate", "optimum"])["share"]
    ax = figures.optimum_shares(rates, "learning_rate")
    bottom = ax.collections[0]
    assert to_rgb(bottom.get_facecolor()[0]) == to_rgb(figures.OPTIMUM_COLORS["global"])
    edge = {x: y for x, y in bottom.get_paths()[0].vertices if y > 0}
    assert edge == {r: share[r, "global"] for r in (0.1, 0.5, 3.0) if share[r, "global"] > 0}
    top = ax.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(1)

    ax = figures.optimum_bars(rates, "learning_rate")
    widths = sum(np.array([bar.get_width() for bar in bars]) for bars in ax.containers)
    np.testing.assert_allclose(widths, 1)
    assert [bar.get_width() for bar in ax.containers[0]] == list(share[:, "global"])


def test_cumulative_counts_from_below():
    table = pd.DataFrame({"loss": [-1e-17, 1e-3, 1.0, np.nan], "of": ["a"] * 4})
    line = figures.cumulative(table, "loss", "of").lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [1e-3, 1e-3, 1.0, np.inf])
    np.testing.assert_array_equal(line.get_ydata(), [0.25, 0.5, 0.75, 1.0])


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


def test_panels_share_their_axes_and_hide_the_rest():
    axes = figures.panels(4)
    assert len(axes) == 4
    axes[0].set_xlim(3, 4)
    assert axes[3].get_xlim() == (3, 4)
    assert [ax.axison for ax in axes[0].figure.axes] == [True] * 4 + [False] * 2


def test_figures_draw_on_a_given_axes(runs):
    _, ax = plt.subplots()
    rates = statistics.outcome_rates(runs, ["learning_rate"])
    assert figures.outcome_shares(rates, ax=ax) is ax


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
        "rates: expected the columns": lambda: figures.outcome_shares(rates, "eta"),
        "rates: expected one row": lambda: figures.outcome_shares(twice),
        "rates: expected numbers": lambda: figures.outcome_shares(
            rates.assign(learning_rate="fast").iloc[:12]
        ),
    }.items():
        with pytest.raises(rl.InputError, match=f"^{start}"):
            draw()


def test_missing_columns_are_named(runs):
    samples = pd.DataFrame({"x": [0.0], "target": [1.0]})
    for call in (
        lambda: figures.optimum_shares(runs, "learning_rate"),
        lambda: figures.optimum_bars(runs, "scheme"),
        lambda: figures.cumulative(runs, "excess_loss", "learning_rate"),
        lambda: figures.fits(samples, samples),
    ):
        with pytest.raises(rl.InputError, match=r"expected the columns .*; no .* among"):
            call()
