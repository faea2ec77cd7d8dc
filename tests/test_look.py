"""What all figures have in common: width, colors, legend, order, the number of runs, log axes."""

import inspect
import itertools
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backend_bases import ResizeEvent
from matplotlib.colors import to_hex, to_rgb

import relulab as rl
from relulab import figures, statistics

RUNS = rl.Sweep(
    data=rl.TrainingSet.point(1, 3), **rl.standard_normal(), draws=40,
    learning_rate=np.geomspace(0.01, 10, 8), max_steps=300,
).run()  # fmt: skip
RATES = statistics.outcome_rates(RUNS, ["learning_rate"])
NAMES = pd.DataFrame(
    {"x": [1.0, 2, 1, 2, 1, 2], "y": [1.0, 2, 2, 3, 3, 4], "of": list("aabbcc")}
).assign(low=lambda t: t["y"] - 0.5, high=lambda t: t["y"] + 0.5)


def grid(x, y, **columns):
    """Return a row for each point of a grid."""
    x, y = np.meshgrid(x, y)
    table = pd.DataFrame({"x": x.ravel(), "y": y.ravel()}).assign(outcome="converged", unit="alive")
    return table.assign(
        steps_taken=np.arange(1, x.size + 1), value=1.0 + np.arange(x.size), **columns
    )


SQUARE = grid(np.linspace(0, 1, 5), np.linspace(0, 2, 4))
COUNTS = pd.DataFrame({"before": list("aabc"), "after": list("abca"), "count": [900, 3, 100, 5]})

POINT = rl.TrainingSet.point(1, 3)
TRACE = rl.trace(rl.Networks([0.5, 1], 0.2, 0.3, 0.1), POINT, 0.05, 5)

DRAW = {
    "bars": lambda **how: figures.bars(NAMES[:2], "y", "x", **how),
    "cumulative": lambda **how: figures.cumulative(
        statistics.cumulative(RUNS, "loss", "learning_rate"), "loss", "learning_rate", **how
    ),
    "dots": lambda **how: figures.dots(NAMES, "x", "y", "of", **how),
    "fate_bars": lambda **how: figures.fate_bars(RATES, "learning_rate", **how),
    "fits": lambda **how: figures.fits(
        NAMES.rename(columns={"y": "target"}),
        NAMES.rename(columns={"y": "prediction", "of": "label"}), "c", **how
    ),
    "fit_steps": lambda **how: figures.fit_steps(TRACE[TRACE["run"] == 0], POINT, **how),
    "intervals": lambda **how: figures.intervals(NAMES, "x", "y", "of", **how),
    "lines": lambda **how: figures.lines(NAMES, "x", "y", "of", **how),
    "loss_curves": lambda **how: figures.loss_curves(TRACE, **how),
    "trajectories": lambda **how: figures.trajectories(TRACE, "w", "v", **how),
    "optimum_bars": lambda **how: figures.optimum_bars(
        pd.DataFrame({"optimum": ["global"], "fraction": 1.0, "of": "a"}), "of", **how
    ),
    "optimum_fractions": lambda **how: figures.optimum_fractions(
        pd.DataFrame({"optimum": "global", "fraction": 1.0, "x": np.arange(9.0)}), "x", **how
    ),
    "outcome_fractions": lambda **how: figures.outcome_fractions(RATES, **how),
    "outcome_map": lambda **how: figures.outcome_map(SQUARE, "x", "y", **how),
    "parameter_curves": lambda **how: figures.parameter_curves(TRACE[TRACE["run"] == 0], **how),
    "points": lambda **how: figures.points(NAMES, "x", "y", "of", **how),
    "speed_map": lambda **how: figures.speed_map(SQUARE, "x", "y", **how),
    "steps_map": lambda **how: figures.steps_map(SQUARE, "x", "y", **how),
    "survival": lambda **how: figures.survival(
        statistics.survival(RUNS, ["learning_rate"]), "learning_rate", **how
    ),
    "transitions": lambda **how: figures.transitions(COUNTS, **how),
    "value_map": lambda **how: figures.value_map(SQUARE, "x", "y", "value", **how),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def legend(ax):
    found = figures.legend_of(ax)
    return [text.get_text() for text in found.get_texts()] if found else []


def test_every_figure_that_takes_the_common_arguments_is_tried_here():
    taking = {
        name
        for name in figures.__all__
        if inspect.isfunction(function := getattr(figures, name))
        and {"ax", "width", "colors", "legend"} <= set(inspect.signature(function).parameters)
    }
    assert set(DRAW) == taking


@pytest.mark.parametrize("name", DRAW)
def test_help_describes_each_argument_once(name):
    function = getattr(figures, name)
    doc = inspect.getdoc(function)
    for argument in ("width", "colors", "legend"):
        assert len(re.findall(rf"(?m)^(?:labels, )?{argument}( : |, by$)", doc)) == 1
        assert inspect.signature(function).parameters[argument].kind.name == "KEYWORD_ONLY"
    assert doc.count("Parameters\n----------") == 1
    # Sections begin after an empty line.
    assert not re.search(r"\S\n[A-Z]\w+\n---", doc)


def size_of(file):
    """Return width and height of a picture in inches, as its file says."""
    content = file.read_bytes()
    if file.suffix == ".png":
        dots = [int.from_bytes(content[i : i + 4], "big") for i in (16, 20)]
        at = content.index(b"pHYs") + 4
        return [n / (int.from_bytes(content[at : at + 4], "big") * 0.0254) for n in dots]
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
    return [float(points) / 72 for points in box.groups()]


@pytest.mark.parametrize(("width", "inches"), [("single", 3.5), ("double", 7.2), (4.4, 4.4)])
def test_a_file_is_as_wide_as_was_asked_for(width, inches, tmp_path):
    for draw in DRAW.values():
        figure = draw(width=width).figure
        assert figure.get_size_inches()[0] == inches
        plt.close(figure)
    for ax in (DRAW["outcome_map"](width=width), figures.panels(2, width=width)[0]):
        files = [tmp_path / "a.png", tmp_path / "a.pdf"]
        figures.save(ax, *files)
        for file in files:
            assert size_of(file)[0] == pytest.approx(inches, abs=0.005)


def test_letters_of_a_paper_have_8_points_also_those_that_come_later(tmp_path):
    ax = figures.intervals(NAMES, "x", "y", "of", width="single")
    figures.mark_level(ax, 2, "theory")
    ax.set_title("Is it small?")
    figures.save(ax, tmp_path / "a.png")
    texts = [*figures.legend_of(ax).get_texts(), ax.xaxis.label, *ax.get_xticklabels()]
    texts.append(ax.figure._suptitle)
    assert {text.get_fontsize() for text in texts} == {8}
    assert legend(ax) == ["a", "b", "c", "theory"]
    other = figures.intervals(NAMES, "x", "y", "of")
    assert other.xaxis.label.get_fontsize() == 11


def test_a_width_beside_axes_is_refused():
    _, ax = plt.subplots()
    with pytest.raises(rl.InputError, match=r"^width: expected none beside ax"):
        figures.lines(NAMES, "x", "y", "of", ax=ax, width=3)
    for wrong in (0.5, 41, "triple"):
        with pytest.raises(rl.InputError, match=r"^width: expected"):
            figures.panels(1, width=wrong)


@pytest.mark.parametrize("name", DRAW)
def test_without_a_legend_there_is_nothing_but_the_axes(name):
    ax = DRAW[name](legend=False)
    assert figures.legend_of(ax) is None
    assert ax.figure.axes == [ax]  # no color bar
    figures.mark_position(ax, 1, "theory", legend=False)
    assert figures.legend_of(ax) is None
    figures.mark_position(ax, 1, "more theory")
    assert legend(ax) == ["more theory"]


def colors_of(ax):
    return [to_hex(handle.get_color()) for handle in figures.legend_of(ax).legend_handles]


def test_names_have_the_colors_of_okabe_and_ito_and_numbers_those_of_viridis():
    assert colors_of(figures.lines(NAMES, "x", "y", "of")) == list(figures.OKABE_ITO[:3])
    assert "#000000" not in figures.OKABE_ITO  # which is that of theory
    numbers = NAMES.assign(of=[3.0, 3, 1, 1, 2, 2])
    drawn = dict(
        zip(("3", "1", "2"), colors_of(figures.lines(numbers, "x", "y", "of")), strict=True)
    )
    dark, middle, light = (mpl.colormaps["viridis"](p) for p in (0, 0.425, 0.85))
    assert [drawn[n] for n in "123"] == [to_hex(c) for c in (dark, middle, light)]
    many = pd.DataFrame({"x": 1.0, "y": 1.0, "of": [f"name {i}" for i in range(21)]})
    assert len(set(colors_of(figures.lines(many, "x", "y", "of")))) == 21


def test_colors_may_be_chosen():
    def drawn(colors, by="of"):
        ax = figures.lines(NAMES.assign(number=[1, 1, 2, 2, 3, 3]), "x", "y", by, colors=colors)
        assert [to_hex(line.get_color()) for line in ax.lines] == colors_of(ax)
        return colors_of(ax)

    assert drawn(["red", "lime", "blue", "black"]) == ["#ff0000", "#00ff00", "#0000ff"]
    assert drawn({"b": "red"}) == [figures.OKABE_ITO[0], "#ff0000", figures.OKABE_ITO[2]]
    assert drawn({2: "red"}, "number")[1] == "#ff0000"
    assert drawn("tab10") == ["#1f77b4", "#ff7f0e", "#2ca02c"]
    assert drawn("gray") == ["#000000", "#808080", "#ffffff"]
    for wrong in (["red"], ["red", "no color", "red"], {"a": 3}, "no map", 3):
        with pytest.raises(rl.InputError, match=r"^colors: expected"):
            drawn(wrong)


def test_colors_of_fates_and_of_maps_may_be_chosen():
    ours = figures.FATE_COLORS | {("converged", "alive"): "#123456"}
    for colors in (ours, {"converged, alive": "#123456"}, ["#123456"]):
        ax = figures.outcome_map(SQUARE, "x", "y", colors=colors)
        ax.collections[0].update_scalarmappable()
        assert {to_hex(c) for c in ax.collections[0].get_facecolors()} == {"#123456"}
        assert to_hex(figures.legend_of(ax).legend_handles[0].get_facecolor()) == "#123456"
    for draw in (DRAW["value_map"], DRAW["steps_map"], DRAW["transitions"]):
        assert draw(colors="magma").collections[0].get_cmap().name == "magma"
        with pytest.raises(rl.InputError, match=r"^colors: expected a color map"):
            draw(colors=["red"])
    # What one figure was given, another does not have.
    assert figures.value_map(SQUARE, "x", "y", "value").collections[0].get_cmap().name == "viridis"


def test_colors_of_fits_steps_and_parameters_may_be_chosen():
    fits = [line.get_color() for line in DRAW["fits"]().lines[1:]]
    assert [to_hex(c) for c in fits] == [*figures.OKABE_ITO[:2], "#000000"]
    for name in ("fits", "fit_steps", "parameter_curves"):
        colors = [line.get_color() for line in DRAW[name](colors="gray").lines]
        assert {"#000000", "#ffffff"} <= {to_hex(c) for c in colors}


@pytest.mark.parametrize("units", [["alive", "died", "born_dead"], ["died", "born_dead", "alive"]])
def test_a_legend_has_one_order_whichever_panel_is_first_and_theory_last(units):
    steps = pd.DataFrame({"x": 1.0, "y": 1.0, "low": 0.5, "high": 2.0, "unit": units})
    axes = figures.panels(3)
    for ax, unit in zip(axes, units, strict=True):
        figures.intervals(steps[steps["unit"] == unit], "x", "y", "unit", ax=ax)
        figures.mark_level(ax, 1, "closed form")
    assert legend(axes[0]) == ["born dead", "died", "alive", "closed form"]
    # Also where the names are of no known order.
    first, second = figures.panels(2)
    figures.lines(NAMES[:2], "x", "y", "of", ax=first)
    figures.mark_level(first, 1, "closed form")
    figures.lines(NAMES[2:], "x", "y", "of", ax=second)
    assert legend(first) == ["a", "b", "c", "closed form"]
    rates = pd.DataFrame({"unit": units, "outcome": "converged", "fraction": 1 / 3, "of": "a"})
    ax = figures.fate_bars(rates, "of")
    handles = figures.legend_of(ax).legend_handles
    drawn = [to_hex(bars[0].get_facecolor()) for bars in ax.containers]  # from left to right
    assert [to_hex(handle.get_facecolor()) for handle in handles] == drawn


def test_theory_is_drawn_above_the_data():
    ax = figures.intervals(NAMES, "x", "y", "of")
    figures.mark_curve(ax, [1, 2], [1, 4], "curve")
    figures.mark_level(ax, 2, "level")
    data = max(drawn.lines[0].get_zorder() for drawn in ax.containers)
    assert [line.get_zorder() > data for line in ax.lines[-2:]] == [True, True]


def test_a_legend_lists_only_what_can_be_seen():
    rates = pd.DataFrame(
        {"outcome": ["converged", "unfinished"], "unit": "alive", "fraction": [0.9995, 0.0005],
         "of": "a", "x": 1.0}
    )  # fmt: skip
    assert legend(figures.fate_bars(rates, "of")) == ["converged, alive"]
    many = pd.concat([rates.assign(x=float(i)) for i in range(9)])
    assert legend(figures.outcome_fractions(many, "x")) == ["converged, alive"]
    seen = many.assign(fraction=[0.9, 0.1] * 9)
    assert legend(figures.outcome_fractions(seen, "x")) == ["converged, alive", "unfinished, alive"]
    large = grid(np.linspace(0, 1, 300), np.linspace(0, 1, 300))
    large.loc[7, "outcome"] = "unfinished"
    assert legend(figures.outcome_map(large, "x", "y")) == ["converged, alive"]
    large.loc[:3000, "outcome"] = "unfinished"
    assert len(legend(figures.outcome_map(large, "x", "y"))) == 2
    missing = NAMES.assign(y=NAMES["y"].where(NAMES["of"] != "b"), low=np.nan)
    for ax in (
        figures.lines(missing, "x", "y", "of"),
        figures.intervals(missing, "x", "y", "of"),
        figures.dots(missing, "x", "y", "of"),
    ):
        assert legend(ax) == ["a", "c"]


def test_a_range_without_a_number_is_a_bar_without_a_marker():
    table = NAMES.assign(y=NAMES["y"].where(NAMES["of"] != "b"))
    ax = figures.intervals(table, "x", "y", "of")
    bars = ax.collections[1]  # after those of a
    assert [s.tolist() for s in bars.get_segments()] == [[[1, 1.5], [1, 2.5]], [[2, 2.5], [2, 3.5]]]
    assert legend(ax) == ["a", "b", "c"]
    assert figures.legend_of(ax).legend_handles[1].get_marker() == "|"
    assert len(ax.containers[1].lines[0].get_xdata()) == 0


@pytest.mark.parametrize("name", ["outcome_map", "speed_map", "steps_map", "value_map"])
def test_an_axis_of_geometric_values_is_logarithmic(name):
    how = ("value",) if name == "value_map" else ()
    table = grid(np.geomspace(0.01, 10, 7), np.linspace(1, 7, 4))
    ax = getattr(figures, name)(table, "x", "y", *how)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    across, up = (
        ax.collections[0].get_coordinates()[0, :, 0],
        ax.collections[0].get_coordinates()[:, 0, 1],
    )
    np.testing.assert_allclose(
        across, np.geomspace(0.01, 10, 7)[0] * 10 ** (np.arange(8) / 2 - 0.25)
    )
    np.testing.assert_allclose(up, [0, 2, 4, 6, 8])


@pytest.mark.parametrize(
    "values",
    [
        [1, 2], [0, 1, 10], [-1, -10, -100], [1, 2, 3], [1.0, 10, 101], 2 + np.arange(5) * 2**-51,
        np.linspace(1e6, 1e6 + 1, 9),
    ],
)  # fmt: skip
def test_an_axis_of_other_values_is_linear(values):
    ax = figures.outcome_map(grid(values, [1.0, 2, 3]), "x", "y")
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")


@pytest.mark.parametrize(
    ("name", "label"),
    [("outcome_map", "no run"), ("speed_map", "no run"), ("value_map", "no value"),
     ("steps_map", "dead, or did not converge")],
)  # fmt: skip
def test_what_is_empty_in_a_map_is_hatched(name, label):
    how = ("value",) if name == "value_map" else ()
    whole = getattr(figures, name)(SQUARE, "x", "y", *how)
    assert whole.patch.get_hatch() is None
    assert label not in legend(whole)
    ax = getattr(figures, name)(SQUARE.drop(index=6), "x", "y", *how)
    assert ax.patch.get_hatch()
    assert legend(ax)[-1] == label
    handle = figures.legend_of(ax).legend_handles[-1]
    assert (handle.get_hatch(), handle.get_facecolor()) == (
        ax.patch.get_hatch(), ax.patch.get_facecolor(),
    )  # fmt: skip
    # Nothing is drawn over the hatches there.
    mesh = ax.collections[0]
    mesh.update_scalarmappable()
    assert list(np.flatnonzero(mesh.get_facecolors()[:, 3] == 0)) == [6]


def contrast(color, other):
    """Return the contrast of two colors, from 1 to 21 (WCAG 2.1)."""

    def luminance(rgb):
        rgb = np.asarray(to_rgb(rgb))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    dark, light = sorted([luminance(color), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("most", [1, 10, 1000, 10**9])
def test_digits_can_be_read_and_have_one_color_on_one_purple(most):
    table = pd.DataFrame({"before": list("aaab"), "after": list("abcd"), "count": 1})
    table["count"] = [50, most, max(most // 2, 1), max(most // 3, 1)]
    ax = figures.transitions(table)
    changed = ax.collections[0]
    for text in ax.texts:
        x, y = text.get_position()
        if x != y:
            count = int(text.get_text().replace(",", ""))
            assert contrast(text.get_color(), changed.cmap(changed.norm(count))) > 4.5
    assert {text.get_color() for text in ax.texts} == {"black"}


def test_numbers_in_bars_can_be_read():
    ax = figures.fate_bars(
        pd.DataFrame(
            [(o, u, 0.1, f"{o} {u}") for o, u in figures.FATES],
            columns=["outcome", "unit", "fraction", "of"],
        ),
        "of",
    )
    pairs = [(bar, t) for bars in ax.containers for bar, t in zip(bars, ax.texts, strict=False)]
    assert pairs
    for bars, start in zip(ax.containers, range(0, len(ax.texts), 15), strict=True):
        for bar, text in zip(bars, ax.texts[start : start + 15], strict=True):
            assert contrast(text.get_color(), bar.get_facecolor()[:3]) > 4.5


@pytest.mark.parametrize("layout", ["none", "constrained"])
@pytest.mark.parametrize("name", DRAW)
def test_axes_beside_the_given_ones_stay_as_they_are(name, layout):
    figure, (other, ax) = plt.subplots(1, 2, figsize=(6, 3), layout=layout)
    other.plot([0, 1], [2, 3], label="user's")
    own = figure.legend(loc="upper center")

    def state():
        return (other.get_xlim(), other.get_ylim(), other.get_children(), other.get_legend(),
                other.get_xscale(), other.get_title(), other.get_facecolor())  # fmt: skip

    before, place = state(), other.get_position().bounds
    DRAW[name](ax=ax)
    assert state() == before
    assert figure.legends == [own]
    figure.draw_without_rendering()
    if layout == "none":
        assert other.get_position().bounds == place
    if found := ax.get_legend():
        box, within = found.get_window_extent(), ax.get_window_extent()
        assert within.x0 - 1 <= box.x0
        assert box.x1 <= within.x1 + 1
        assert within.y0 - 1 <= box.y0
        assert box.y1 <= within.y1 + 1


def test_a_legend_in_small_axes_says_how_many_it_leaves_out():
    table = pd.DataFrame({"x": 1.0, "y": 1.0, "of": [f"name {i}" for i in range(12)]})
    with plt.style.context("default"):
        figure, axes = plt.subplots(3, 2, figsize=(5, 4))
        figures.lines(table, "x", "y", "of", ax=axes[1, 1])
        shown = legend(axes[1, 1])
        figure.draw_without_rendering()
    assert shown[-1] == f"and {12 - len(shown) + 1} more"
    box, within = axes[1, 1].get_legend().get_window_extent(), axes[1, 1].get_window_extent()
    assert box.height < within.height + 1


@pytest.mark.parametrize("how", ["file", "window"])
def test_a_legend_flows_anew_when_the_figure_is_resized(how, tmp_path):
    table = pd.DataFrame({"x": 1.0, "y": 1.0, "of": [f"a rather long name {i}" for i in range(6)]})
    ax = figures.lines(table, "x", "y", "of")
    figure = ax.figure
    columns = figures.legend_of(ax)._ncols
    for width in (2.2, 12.0):
        figure.set_size_inches(width, 4)
        if how == "file":
            figures.save(ax, tmp_path / "a.png")
        else:
            figure.canvas.callbacks.process(
                "resize_event", ResizeEvent("resize_event", figure.canvas)
            )
            figure.draw_without_rendering()
        found = figures.legend_of(ax)
        assert len(figure.legends) == 1
        assert found.get_window_extent().width <= figure.bbox.width
        assert (found._ncols < columns) if width < 5 else (found._ncols > columns)
        assert legend(ax) == list(table["of"]) if width > 5 else len(legend(ax)) == 6


def test_a_legend_of_few_entries_stands_in_the_place_without_a_panel(tmp_path):
    axes = figures.panels(5)
    for ax in axes:
        figures.lines(NAMES, "x", "y", "of", ax=ax)
    figures.save(axes[0], tmp_path / "a.png")
    axes[0].figure.draw_without_rendering()
    box = figures.legend_of(axes[0]).get_window_extent()
    [gap] = [ax for ax in axes[0].figure.axes if not ax.axison]
    assert gap.bbox.x0 < (box.x0 + box.x1) / 2 < gap.bbox.x1
    assert gap.bbox.y0 < box.y0 < box.y1 < gap.bbox.y1
    assert not any(box.overlaps(ax.get_window_extent()) for ax in axes)
    # Where it has no room there, it is below.
    axes = figures.panels(5)
    table = NAMES.assign(of=NAMES["of"] + " with a name that is as long as a panel is wide")
    for ax in axes:
        figures.lines(table, "x", "y", "of", ax=ax)
    axes[0].figure.draw_without_rendering()
    box = figures.legend_of(axes[0]).get_window_extent()
    assert box.y1 <= min(ax.get_tightbbox().y0 for ax in axes) + 1


def title_of(ax, tmp_path):
    figures.save(ax, tmp_path / "a.png")
    return ax.figure.get_suptitle()


@pytest.mark.parametrize(
    ("name", "n"),
    [("outcome_map", 20), ("speed_map", 20), ("steps_map", 20), ("outcome_fractions", 320),
     ("fate_bars", 320), ("cumulative", 320), ("survival", 320), ("transitions", 1008)],
)  # fmt: skip
def test_the_number_of_runs_stands_behind_the_title(name, n, tmp_path):
    ax = DRAW[name]()
    ax.set_title("How many?")
    assert title_of(ax, tmp_path) == f"How many? · {n:,} runs"


def test_several_panels_show_the_sum_of_their_runs_or_what_was_said(tmp_path):
    def drawn():
        axes = figures.panels(2)
        for ax in axes:
            figures.outcome_map(SQUARE, "x", "y", ax)
        axes[0].figure.suptitle("How many?")
        return axes[0]

    assert title_of(drawn(), tmp_path) == "How many? · 40 runs"
    ax = drawn()
    figures.show_runs(ax, 1)
    assert title_of(ax, tmp_path) == "How many? · 1 run"
    assert title_of(ax, tmp_path) == "How many? · 1 run"  # once, though it is laid out twice
    ax = drawn()
    figures.show_runs(ax, 0)
    assert title_of(ax, tmp_path) == "How many?"
    ax = drawn()
    ax.figure.suptitle("a question that is as long as the figure is wide, or nearly so, is it not?")
    assert title_of(ax, tmp_path).endswith("not?\n40 runs")
    _, ax = plt.subplots()
    figures.outcome_map(SQUARE, "x", "y", ax)
    ax.set_title("a figure of the user's")
    assert title_of(ax, tmp_path) == "a figure of the user's"


def test_numbers_at_the_ticks_of_neighbours_do_not_touch(tmp_path):
    axes = figures.panels(5, n_columns=5)
    for ax in axes:
        ax.set(xlim=(-1000, 1000), xticks=[-1000, 0, 1000])
    figures.save(axes[0], tmp_path / "a.png")
    axes[0].figure.set_dpi(160)
    axes[0].figure.draw_without_rendering()
    boxes = [
        tick.label1.get_window_extent()
        for ax in axes
        for tick in ax.xaxis.get_major_ticks()
        if tick.label1.get_visible()
    ]
    assert 5 <= len(boxes) < 15
    boxes.sort(key=lambda box: box.x0)
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
