"""The explorer, moved by real events on a canvas in memory; and the parts that need no window."""

import os
from threading import Event, Thread
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backend_bases import KeyEvent, NavigationToolbar2
from matplotlib.colors import to_rgba
from PIL import Image

import explorer as script
import relulab as rl
from recording import Hand, between, film, measure
from relulab import theory
from relulab.explorer.closed_forms import EDGE, FLOW, ONE_STEP, closed_forms, numbers_of
from relulab.explorer.coast import near_the_coast
from relulab.explorer.frames import FEW_STEPS, Trainer, Wish
from relulab.explorer.latest import Latest
from relulab.explorer.view import Range, view_of
from relulab.explorer.words import fate_in_words
from relulab.figures import FATE_COLORS

POINT = rl.TrainingSet.point(1, 3)
NINE = rl.TrainingSet.teacher(w=1, b=0.2, v=1, c=0, n_samples=9, noise=0.3, seed=7)
AXES = {"w": np.linspace(-1, 5, 20), "v": np.linspace(-4, 4, 20)}
ISLAND = rl.Sweep(data=POINT, **AXES, learning_rate=0.3)
RATES = np.geomspace(1e-3, 10, 9)
N = 25


@pytest.fixture
def window():
    opened = []

    def opens(sweep=ISLAND, x="w0", y="v0", n=N):
        explorer = rl.explore(sweep, x, y, n=n, show=False)
        opened.append(explorer)
        NavigationToolbar2(explorer.figure.canvas)
        explorer.wait()
        explorer.figure.canvas.draw()
        return SimpleNamespace(
            explorer=explorer, hand=Hand(explorer.figure), toolbar=explorer.figure.canvas.toolbar
        )

    yield opens
    for explorer in opened:
        plt.close(explorer.figure)
        explorer.figure.canvas.callbacks.process("close_event", None)


def on_map(explorer, x, y):
    """Return where a point of the map is, also where Matplotlib's own sum would be rounded away."""
    fractions = []
    for axis, at in ((explorer.axes.xaxis, x), (explorer.axes.yaxis, y)):
        scaled = axis.get_transform().transform
        low, high, at = scaled(np.array([*axis.get_view_interval(), at]))
        fractions.append((at - low) / (high - low))
    return tuple(explorer.axes.transAxes.transform(fractions))


def color_at(explorer, x, y):
    """Return the color of the window's picture at a point of the map."""
    pixels = np.asarray(explorer.figure.canvas.buffer_rgba())
    column, row = on_map(explorer, x, y)
    return tuple(pixels[pixels.shape[0] - 1 - int(row), int(column)] / 255)


def assert_shows(explorer, sweep):
    """Hold the map against training: its runs, and the colors of its cells."""
    runs = sweep.run()
    frame = explorer.wait()
    pd.testing.assert_frame_equal(frame.runs, runs)
    assert explorer.sweep.specification() == sweep.specification()
    explorer.figure.canvas.draw()
    x, y = (
        f"{name}0" if name in "wbvc" else name for name in (frame.wish.view.x, frame.wish.view.y)
    )
    inside = runs[runs[x].between(*explorer.axes.get_xlim(), inclusive="neither")
                  & runs[y].between(*explorer.axes.get_ylim(), inclusive="neither")]  # fmt: skip
    wrong = [
        run.run for run in inside.iloc[::7].itertuples()
        if not np.allclose(color_at(explorer, getattr(run, x), getattr(run, y)),
                           to_rgba(FATE_COLORS[run.outcome, run.unit]), atol=1 / 254)
    ]  # fmt: skip
    # The lines of closed forms hide some.
    assert len(wrong) < len(inside) / 7 / 8


def test_the_map_is_what_training_gives(window):
    assert_shows(window().explorer, ISLAND.zoom(w=(-1, 5), v=(-4, 4), n=N))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sweep", "x", "y"),
    [
        (rl.Sweep(data=POINT, **rl.standard_normal(), draws=9, learning_rate=RATES), "learning_rate", "w0"),
        (rl.Sweep(data=POINT, w=0.5, v=0.3, learning_rate=RATES, optimizer=rl.SGD(momentum=[0.0, 0.9])),
         "momentum", "learning_rate"),
        (rl.Sweep(data=NINE, w=0.5, v=0.3, hidden_learning_rate=RATES, output_learning_rate=0.1, max_steps=99),
         "output_learning_rate", "hidden_learning_rate"),
        (rl.Sweep(data=NINE, learning_rate=0.1, optimizer=rl.Adam(), max_steps=99, dtype="float32"), "b0", "c0"),
        (rl.Sweep(data=NINE, learning_rate=0.1, batch_size=2, shuffle_seed=1, max_steps=99), "w", "v"),
        (rl.Sweep(data=POINT, w=0.5, learning_rate=0.1, freeze=["c"], max_steps=0), "w0", "v0"),
        (rl.Sweep(data=POINT, w=rl.LogUniform(0.1, 2), draws=3, learning_rate=rl.LogUniform(0.01, 1),
                  negative_slope=0.1), "negative_slope", "learning_rate"),
        (rl.Sweep(data=POINT, w=0.5, v=1, learning_rate=0.1, max_steps=99,
                  optimizer=rl.SGD(momentum=0.5, nesterov=True, max_norm=1, weight_decay={"w": 0.1})),
         "weight_decay_w", "max_norm"),
        (rl.Sweep(data=rl.TrainingSet(np.linspace(-1, 1, 101), np.zeros(101)), w=1, learning_rate=0.1,
                  max_steps=9), "v0", "momentum"),
    ],
    ids=["rates", "momentum", "two rates", "Adam", "batches", "frozen", "slope", "decay", "many"],
)  # fmt: skip
def test_any_plane_is_what_its_python_says(window, capsys, sweep, x, y):
    at = window(sweep, x, y, n=12)
    at.hand.key("w")
    code = capsys.readouterr().out
    names = {"data": sweep.data}
    exec(code, names)
    assert_shows(at.explorer, names["sweep"])


def test_dragging_a_slider_trains_while_it_moves(window):
    at = window(n=60)
    explorer = at.explorer
    ax = explorer.sliders["learning_rate"].ax
    left, right = (tuple(ax.transAxes.transform((share, 0.5))) for share in (0.3, 0.55))
    seen = []

    def look():
        explorer._latest.wait()  # as long as it takes to train a map
        explorer.tick()
        seen.append(explorer.frame.wish.view.numbers["learning_rate"])

    at.hand.seen = look
    at.hand.drag(between(left, right, 12))
    assert len(set(seen)) > 6
    assert seen[1:] == sorted(seen[1:])  # the first may be from before
    rate = explorer.sliders["learning_rate"].val
    expected = ISLAND.zoom(w=(-1, 5), v=(-4, 4), n=60)
    rate = float(f"{10**rate:.4g}")
    assert_shows(explorer, rl.Sweep(data=POINT, **expected.axes, learning_rate=rate))
    assert explorer.sliders["learning_rate"].valtext.get_text() == f"{rate:g}"


def test_the_samples_and_the_steps_have_sliders(window):
    explorer = window(n=12).explorer
    explorer.sliders["x"].set_val(-0.5)
    explorer.sliders["target"].set_val(1.25)
    explorer.sliders["max_steps"].set_val(2)  # its logarithm
    axes = {"w": np.linspace(-1, 5, 12), "v": np.linspace(-4, 4, 12)}
    data = rl.TrainingSet.point(-0.5, 1.25)
    assert_shows(explorer, rl.Sweep(data=data, **axes, learning_rate=0.3, max_steps=100))


def test_the_toolbar_zooms_and_goes_back(window):
    at = window()
    explorer, toolbar = at.explorer, at.toolbar
    toolbar.zoom()
    at.hand.drag(between(on_map(explorer, 2, 0.5), on_map(explorer, 3, 1.5), 4))
    toolbar.zoom()
    zoomed = explorer.axes.get_xlim(), explorer.axes.get_ylim()
    assert zoomed[0] == pytest.approx((2, 3), abs=0.02)
    assert_shows(explorer, ISLAND.zoom(w=zoomed[0], v=zoomed[1], n=N))
    toolbar.pan()
    at.hand.drag(between(on_map(explorer, 2.5, 1), on_map(explorer, 2.25, 1.25), 4))
    toolbar.pan()
    panned = explorer.axes.get_xlim(), explorer.axes.get_ylim()
    assert panned[0] == pytest.approx((2.25, 3.25), abs=0.02)
    assert_shows(explorer, ISLAND.zoom(w=panned[0], v=panned[1], n=N))
    toolbar.back()
    assert_shows(explorer, ISLAND.zoom(w=zoomed[0], v=zoomed[1], n=N))
    toolbar.forward()
    assert_shows(explorer, ISLAND.zoom(w=panned[0], v=panned[1], n=N))
    for key in ("2", "home", "1"):  # also with a bar of colors that came and went
        at.hand.key(key)
        explorer.wait()
    assert_shows(explorer, ISLAND.zoom(w=(-1, 5), v=(-4, 4), n=N))


def test_a_zoom_to_the_spacing_of_floats(window):
    explorer = window().explorer
    w, v = (2.5, 2.5 + 9 * 2**-51), (1.0, 1.0 + 1e-13)
    explorer.axes.set(xlim=w, ylim=v)
    frame = explorer.wait()
    assert frame.x.size == 10
    assert_shows(explorer, ISLAND.zoom(w=w, v=v, n=N))


def test_panning_out_of_what_a_setting_can_be(window):
    explorer = window(ISLAND, "momentum", "negative_slope").explorer
    explorer.axes.set(xlim=(-0.5, 1.5), ylim=(-1, 2))
    frame = explorer.wait()
    assert (frame.x[0], frame.y[0], frame.y[-1]) == (0, 0, 1)
    assert frame.x[-1] == np.nextafter(1, 0)
    names = {}
    exec(explorer.code(), names)
    assert_shows(explorer, names["sweep"])
    explorer.figure.canvas.draw()
    assert color_at(explorer, -0.25, 0.5) == (1, 1, 1, 1)
    assert color_at(explorer, 0.5, 1.5) == (1, 1, 1, 1)


def test_a_map_moves_with_its_axes_until_the_next_one_is_there(window):
    explorer = window().explorer
    before = color_at(explorer, -0.5, 0)
    explorer._trainer.__call__ = None
    explorer.axes.set_xlim(-1, 1)
    explorer.figure.canvas.draw()
    assert color_at(explorer, -0.5, 0) == before == to_rgba(FATE_COLORS["converged", "born_dead"])


def test_logarithmic_axes_by_matplotlibs_keys(window):
    explorer, hand = (at := window(ISLAND, "learning_rate", "w0")).explorer, at.hand
    hand.event("motion_notify_event", on_map(explorer, 0.1, 1), pressed=False)
    assert explorer.axes.get_xscale() == "log"
    explorer.axes.set_xscale("linear")
    hand.key("f12")  # any key
    axes = {"w": np.linspace(-1, 5, N), "learning_rate": np.linspace(0.001, 10, N)}
    assert_shows(explorer, rl.Sweep(data=POINT, v=AXES["v"][10], **axes))


def test_a_click_traces_the_run_under_it(window):
    at = window()
    explorer = at.explorer
    at.hand.click(on_map(explorer, 2.02, 0.31))
    frame = explorer.wait()
    [(w, v)] = frame.wish.chosen
    assert w in frame.x
    assert abs(w - 2.02) <= 6 / (N - 1) / 2 + 1e-9
    start = rl.Networks(w, 0, v, 0)
    expected = rl.trace(start, POINT, 0.3, n_steps=int(frame.chosen_runs["steps_taken"].iloc[0]))
    pd.testing.assert_frame_equal(frame.chosen_trace[[*expected]], expected)
    loss, fit = explorer._panels._loss, explorer._panels._fit
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), expected["loss"])
    end = rl.Networks(*(expected[p].iloc[-1] for p in "wbvc"))
    x = fit.lines[1].get_xdata()
    np.testing.assert_array_equal(fit.lines[1].get_ydata(), end.predict(x)[0])
    np.testing.assert_array_equal(fit.lines[2].get_ydata(), start.predict(x)[0])
    hinge = fit.lines[3].get_xydata()[0]
    np.testing.assert_allclose(hinge, [-end.b[0] / end.w[0], end.c[0]])
    path = explorer.axes.lines[0]
    np.testing.assert_array_equal(path.get_xdata(), expected["w"])
    np.testing.assert_array_equal(path.get_ydata(), expected["v"])
    assert "alive, converged after" in explorer._panels._words.get_text()
    at.hand.key("escape")
    explorer.wait()
    assert not explorer.axes.lines
    assert not loss.get_visible()


def test_traced_runs_follow_the_sliders(window):
    at = window()
    explorer = at.explorer
    at.hand.click(on_map(explorer, 2, 0.3))
    explorer.wait()
    explorer.set_numbers(learning_rate=0.05)
    wish = Wish(explorer._view, 300, explorer.frame.wish.chosen)
    frame = next(frame for frame in Trainer()(wish) if frame is not None)
    assert not frame.whole
    explorer._show(frame)
    [(w, v)] = frame.wish.chosen
    moved = rl.trace(rl.Networks(w, 0, v, 0), POINT, 0.05, n_steps=frame.chosen_trace["step"].max())
    assert len(moved) <= FEW_STEPS + 1
    np.testing.assert_array_equal(explorer.axes.lines[0].get_xdata(), moved["w"])
    panels = explorer._panels
    np.testing.assert_array_equal(panels._loss.lines[0].get_ydata(), moved["loss"])
    assert fate_in_words(frame.chosen_runs.iloc[0]) in panels._words.get_text().replace("\n", " ")


def test_all_of_a_traced_run_follows_the_sliders(window):
    """Also the sample, the fit at the start, and the color and the words of its fate."""
    at = window()
    explorer, panels = at.explorer, at.explorer._panels
    at.hand.click(on_map(explorer, 2, 0.3))
    explorer.wait()
    explorer.set_numbers(target=-2, b=-4, c=0.5)
    wish = Wish(explorer._view, 300, explorer.frame.wish.chosen)
    frame = next(frame for frame in Trainer()(wish) if frame is not None)
    explorer._show(frame)
    run = frame.chosen_runs.iloc[0]
    assert run["unit"] == "born_dead"
    assert "born dead" in panels._words.get_text()
    assert panels._loss.lines[0].get_color() == FATE_COLORS["converged", "born_dead"]
    samples, end, start, hinge = panels._fit.lines
    assert samples.get_xydata().tolist() == [[1, -2]]
    x = start.get_xdata()
    first = rl.Networks(*(run[f"{p}0"] for p in "wbvc"))
    np.testing.assert_array_equal(start.get_ydata(), first.predict(x)[0])
    assert hinge.get_ydata() == end.get_ydata()[0]
    assert {samples, end, start, hinge, panels._words} <= set(explorer._moving())


def test_ten_runs_where_fates_meet(window):
    at = window()
    at.hand.key("t")
    frame = at.explorer.wait()
    fates = list(zip(frame.chosen_runs["outcome"], frame.chosen_runs["unit"], strict=True))
    assert len(fates) == 10
    assert all(a != b for a, b in zip(fates[::2], fates[1::2], strict=True))
    colors = [line.get_color() for line in at.explorer._panels._loss.lines]
    assert colors == [FATE_COLORS[fate] for fate in fates]


def test_the_toolbar_says_the_fate_under_the_pointer(window):
    explorer = window().explorer
    runs = explorer.runs
    for run in runs.iloc[[0, 100, 300, 312, 620]].to_dict("records"):
        said = explorer.axes.format_coord(run["w0"] + 0.01, run["v0"] - 0.01)
        assert said.startswith(f"w0 = {run['w0']:.6g}, v0 = {run['v0']:.6g}: ")
        assert said.endswith(fate_in_words(run))
    explorer.set_numbers(b=1.0)  # the map is not of this yet
    assert explorer.axes.format_coord(1, 2) == "w0 = 1, v0 = 2"


@pytest.mark.parametrize(
    ("outcome", "unit", "death", "period", "words"),
    [
        ("converged", "alive", pd.NA, pd.NA, "alive, converged after 1,200 steps, loss 0.5"),
        ("diverged", "died", 3, pd.NA, "died in step 3, diverged in step 1,200, loss 0.5"),
        ("oscillating", "born_dead", 0, 2,
         "born dead, oscillating with period 2 after 1,200 steps, loss 0.5"),
        ("unfinished", "alive", pd.NA, pd.NA, "alive, unfinished after 1,200 steps, loss 0.5"),
        ("unstable", "alive", pd.NA, pd.NA,
         "alive, standing still on an unstable point after 1,200 steps, loss 0.5"),
    ],
)  # fmt: skip
def test_fates_in_words(outcome, unit, death, period, words):
    run = {"outcome": outcome, "unit": unit, "death_step": death, "period": period}
    assert fate_in_words(run | {"steps_taken": 1200, "loss": 0.5}) == words


@pytest.mark.slow
def test_keys_store_the_picture_and_the_runs(window, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    at = window(n=12)
    for key in ("s", "d", "d"):
        at.hand.key(key)
    assert sorted(os.listdir()) == [
        "explorer-1.parquet", "explorer-1.pdf", "explorer-1.png", "explorer-2.parquet"
    ]  # fmt: skip
    assert capsys.readouterr().out.splitlines() == [
        "saved explorer-1.png, explorer-1.pdf",
        "saved explorer-1.parquet: 144 runs",
        "saved explorer-2.parquet: 144 runs",
    ]
    pd.testing.assert_frame_equal(pd.read_parquet("explorer-1.parquet"), at.explorer.runs)
    picture = plt.imread("explorer-1.png")[..., :3]
    shown = {tuple(color) for color in (picture.reshape(-1, 3) * 255).round().astype(int).tolist()}
    present = set(zip(at.explorer.runs["outcome"], at.explorer.runs["unit"], strict=True))
    colors = np.array([to_rgba(FATE_COLORS[fate])[:3] for fate in present])
    assert {tuple(color) for color in (colors * 255).round().astype(int).tolist()} <= shown


def test_keys_that_need_the_whole_map_do_not_block_the_window(window, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    at = window(n=12)
    go_on = Event()
    train = rl.Sweep.train
    monkeypatch.setattr(rl.Sweep, "train", lambda *args: (go_on.wait(), train(*args))[1])
    at.explorer.set_numbers(b=1.0)
    for key in ("d", "t"):
        at.hand.key(key)  # returns
    assert not os.listdir()
    go_on.set()
    at.explorer.wait()
    assert len(at.explorer.wait().chosen_runs) == 10
    pd.testing.assert_frame_equal(pd.read_parquet("explorer-1.parquet"), at.explorer.sweep.run())


def test_layers(window):
    at = window()
    explorer, image = at.explorer, at.explorer.axes.images[0]
    runs = explorer.runs
    for key, column, of in (
        ("2", "steps_taken", (runs["outcome"] == "converged") & (runs["unit"] == "alive")),
        ("3", "loss", runs["loss"] > 0),
        ("4", "death_step", runs["death_step"] > 0),
    ):
        at.hand.key(key)
        expected = runs[column].where(of.fillna(False)).to_numpy(float, na_value=np.nan)
        shown = explorer.frame.cells(np.arange(len(runs)))
        np.testing.assert_array_equal(image.get_array().filled(np.nan), expected[shown])
        assert image.norm.vmin == np.nanmin(expected)
    at.hand.key("1")
    assert_shows(explorer, ISLAND.zoom(w=(-1, 5), v=(-4, 4), n=N))


def test_other_axes(window):
    at = window(n=12)
    at.hand.key("x")
    explorer = at.explorer
    view = explorer.wait().wish.view
    assert (view.x, view.y) == ("c", "v") or (view.x, view.y) == ("b", "v")
    assert view.numbers["w"] == 2  # where it was in the middle
    names = {}
    exec(explorer.code(), names)
    assert_shows(explorer, names["sweep"])
    explorer.set_axes(x="learning_rate", y="w")
    assert explorer.axes.get_xscale() == "log"
    assert explorer.axes.get_ylim() == (-1, 5)
    assert set(explorer.sliders) == {"b", "v", "c", "max_steps", "x", "target"}
    exec(explorer.code(), names)
    assert_shows(explorer, names["sweep"])


def test_numbers_that_are_set_are_said_by_the_sliders(window):
    explorer = window(n=5).explorer
    for rate, text in ((0.1234567, "0.1235"), (0.0, "0"), (1e6, "1e+06")):
        explorer.set_numbers(learning_rate=rate)
        assert explorer.sliders["learning_rate"].valtext.get_text() == text
        assert explorer.wait().sweep.learning_rate == rate
    explorer.set_numbers(learning_rate=0)
    explorer.set_axes("b0", "c0")  # the slider is made anew, with what it cannot reach
    assert explorer.wait().sweep.learning_rate == 0


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda e: e.set_numbers(max_steps="a"), "max_steps: expected a number, got 'a'"),
        (lambda e: e.set_numbers(learning_rate=[1, 2]), "learning_rate: expected a number"),
        (lambda e: e.set_numbers(w=1), "set_numbers: expected one of b, c, learning_rate"),
        (lambda e: e.set_axes("v0"), "y: expected another axis than x, got 'v0' for both"),
        (lambda e: e.set_axes("max_steps"), "x: expected one of w0, b0"),
        (lambda e: e.trace([(1,)]), r"starts: expected points \(x, y\), got"),
        (lambda e: e.trace([(np.nan, 1)]), r"starts: expected points \(x, y\), got"),
    ],
)
def test_what_cannot_be_is_refused_at_once(window, act, message):
    explorer = window(n=5).explorer
    before = explorer.frame
    with pytest.raises(rl.InputError, match=message):
        act(explorer)
    assert explorer.wait() is before


def test_the_same_axes_again_are_trained_again(window):
    explorer = window(n=5).explorer
    explorer.set_axes("w0", "v0")
    explorer.tick()
    assert explorer._latest.busy or explorer._latest._news
    assert_shows(explorer, ISLAND.zoom(w=(-1, 5), v=(-4, 4), n=5))


def test_an_axis_that_becomes_logarithmic_begins_above_0(window):
    explorer = window(ISLAND, "w0", "momentum", n=5).explorer
    x, y = map(round, on_map(explorer, 3, 0.5))
    for name in ("k", "l"):  # Matplotlib's keys
        key = KeyEvent("key_press_event", explorer.figure.canvas, name, x, y)
        explorer.figure.canvas.callbacks.process(key.name, key)
    frame = explorer.wait()
    assert (explorer.axes.get_xscale(), explorer.axes.get_yscale()) == ("log", "log")
    assert frame.x[[0, -1]].tolist() == pytest.approx([0.005, 5])
    assert frame.y[[0, -1]].tolist() == pytest.approx([0.00099, 0.99])
    explorer.axes.set_ylim(2, 5)
    with pytest.raises(rl.InputError, match="view: expected a part of the plane with valid"):
        explorer.wait()


def test_what_was_panned_out_of_is_a_number_that_can_be(window):
    explorer = window(ISLAND, "learning_rate", "momentum", n=5).explorer
    explorer.axes.set(xscale="linear", xlim=(-3, -1), ylim=(1.2, 1.5))
    explorer.set_axes("w0", "v0")
    numbers = explorer.wait().wish.view.numbers
    assert (numbers["learning_rate"], numbers["momentum"]) == (1e-3, 0.99)


def test_a_run_from_far_away_is_traced(window):
    explorer = window(n=5).explorer
    explorer.trace([(1e300, 1e300)])
    explorer.wait()
    explorer.figure.canvas.draw()
    assert "diverged" in explorer._panels._words.get_text()


def test_what_training_refuses_is_said_above_the_map(window):
    sweep = rl.Sweep(
        data=POINT, w=1, learning_rate=0.1, optimizer=rl.SGD(momentum=0.5, nesterov=True)
    )
    at = window(sweep, "w0", "v0", n=12)
    at.explorer.sliders["momentum"].set_val(0)
    with pytest.raises(rl.InputError, match="nesterov: expected False without momentum"):
        at.explorer.wait()
    assert at.explorer._picture._title.get_text().startswith("nesterov: expected False")
    at.explorer.sliders["momentum"].set_val(0.25)
    assert at.explorer.wait().whole


def test_a_map_that_is_old_for_too_long_is_pale(window, monkeypatch):
    explorer = window().explorer
    go_on = Event()
    train = rl.Sweep.train
    monkeypatch.setattr(rl.Sweep, "train", lambda *args: (go_on.wait(), train(*args))[1])
    explorer.set_numbers(b=1.0)
    explorer.tick()
    assert explorer.axes.images[0].get_alpha() is None
    explorer._asked_at -= 10
    explorer.tick()
    assert explorer.axes.images[0].get_alpha() < 1
    go_on.set()
    explorer.wait()
    assert explorer.axes.images[0].get_alpha() is None


def test_coarse_maps_come_first_and_are_of_the_same_plane():
    view, _ = view_of(ISLAND, "w0", "v0")
    trainer = Trainer()
    trainer._seconds = 1e-4
    frames = [frame for frame in trainer(Wish(view, 150)) if frame is not None]
    assert [frame.whole for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert len(frames) > 1
    for frame in frames:
        assert (frame.x[0], frame.x[-1], frame.y[0], frame.y[-1]) == (-1, 5, -4, 4)
    pd.testing.assert_frame_equal(frames[-1].runs, view.at(150).run())


def test_the_latest_wish_wins():
    begun, go_on = Event(), Event()
    fulfilled = []

    def work(wish):
        fulfilled.append((wish, "coarse"))
        yield wish, "coarse"
        begun.set()
        go_on.wait()
        yield None  # it may be dropped here
        fulfilled.append((wish, "full"))
        yield wish, "full"

    latest = Latest(work)
    latest.ask(1)
    assert begun.wait(10)
    for wish in (2, 3, 4):
        latest.ask(wish)
    go_on.set()
    while latest.busy:
        latest.wait()
        latest.take()
    assert fulfilled == [(1, "coarse"), (4, "coarse"), (4, "full")]
    latest.close()
    latest._thread.join(10)
    assert not latest._thread.is_alive()


def test_what_a_wish_raises_is_raised_where_it_is_taken():
    def work(wish):
        if wish == "bad":
            raise rl.InputError("b: expected another")
        yield wish

    latest = Latest(work)
    latest.ask("bad")
    latest.wait()
    with pytest.raises(rl.InputError, match="expected another"):
        latest.take()
    latest.ask("good")
    latest.wait()
    assert latest.take() == "good"
    latest.close()


def test_closing_the_window_ends_the_thread(window):
    explorer = window(n=12).explorer
    thread = explorer._latest._thread
    assert isinstance(thread, Thread)
    plt.close(explorer.figure)
    explorer.figure.canvas.callbacks.process("close_event", None)
    thread.join(10)
    assert not thread.is_alive()
    explorer.set_numbers(b=1)
    with pytest.raises(rl.InputError, match="wait: expected an open window"):
        explorer.wait()


def test_cells_near_the_coast():
    fates = np.zeros((30, 40), int)
    fates[:, 20:] = 1
    cells = near_the_coast(fates, 10)
    assert len(cells) == 10
    assert {column for _, column in cells} == {19, 20}
    assert len({row for row, _ in cells}) == 5
    assert near_the_coast(np.zeros((5, 5), int), 10) == []
    assert sorted(near_the_coast(np.array([[0], [1]]), 10)) == [(0, 0), (1, 0)]


@pytest.mark.parametrize(
    ("changes", "x", "y", "words"),
    [
        ({}, "w0", "v0", [FLOW, ONE_STEP]),
        ({"freeze": ["c"]}, "w0", "v0", [FLOW, ONE_STEP]),
        ({"freeze": ["v"]}, "w0", "v0", [ONE_STEP]),
        ({"freeze": ["w"]}, "w0", "v0", []),
        ({}, "learning_rate", "v0", [FLOW, ONE_STEP, EDGE]),
        ({"freeze": ["c"]}, "learning_rate", "v0", [FLOW, ONE_STEP]),
        ({"negative_slope": 0.1}, "learning_rate", "v0", [ONE_STEP, EDGE]),
        ({}, "learning_rate", "momentum", [ONE_STEP, EDGE]),
        ({"optimizer": rl.SGD(momentum=0.5, nesterov=True)}, "learning_rate", "w0", []),
        ({"optimizer": rl.SGD(weight_decay=0.1)}, "learning_rate", "w0", []),
        ({"optimizer": rl.Adam()}, "learning_rate", "w0", []),
        ({"data": NINE}, "w0", "v0", []),
        ({"data": NINE}, "w0", "learning_rate", [EDGE]),
        ({"data": NINE, "batch_size": 1}, "w0", "learning_rate", []),
        ({"learning_rate": None, "hidden_learning_rate": 0.1, "output_learning_rate": 0.2},
         "w0", "v0", [ONE_STEP]),
    ],
)  # fmt: skip
def test_closed_forms_where_they_hold(changes, x, y, words):
    sweep = rl.Sweep(**{"data": POINT, "w": 1, "v": 0.5, "learning_rate": 0.1} | changes)
    view, _ = view_of(sweep, x, y)
    assert [form.words for form in closed_forms(view)] == words


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_the_closed_form_of_one_step_is_what_training_shows(rate):
    hidden = {"learning_rate": None, "hidden_learning_rate": rate, "output_learning_rate": 0.01}
    sweep = rl.Sweep(data=POINT, **AXES, **hidden, max_steps=1)
    view, _ = view_of(sweep, "w0", "v0")
    [form] = closed_forms(view)
    x, y = view.axis("w", 40), view.axis("v", 40)
    runs = view.at(40).run().pivot(index="v0", columns="w0", values="death_step")
    died = runs.astype("Int64").fillna(-1).to_numpy() == 1
    np.testing.assert_array_equal(form.inside(numbers_of(view, x, y)), died)


def test_the_closed_form_of_the_edge_is_what_training_shows():
    sweep = rl.Sweep(data=POINT, w=-1, learning_rate=1, optimizer=rl.SGD(momentum=0.5))
    view, _ = view_of(sweep, "learning_rate", "momentum")
    form = closed_forms(view)[-1]
    x, y = view.axis("learning_rate", 30), view.axis("momentum", 9)
    beyond = form.inside(numbers_of(view, x, y))
    axes = {"learning_rate": x, "optimizer": rl.SGD(momentum=y)}
    runs = rl.Sweep(data=POINT, w=-1, **axes).run()
    diverged = runs.pivot(index="momentum", columns="learning_rate", values="outcome") == "diverged"
    np.testing.assert_array_equal(beyond, diverged.to_numpy())
    assert theory.stability_limit(x[beyond[0]], 0).max() < 1


def test_what_is_drawn_at_random_begins_at_its_middle():
    sweep = rl.Sweep(data=POINT, **rl.standard_normal(), draws=5, learning_rate=RATES)
    view, ranges = view_of(sweep, "w0", "learning_rate")
    assert view.numbers["v"] == 0
    assert ranges["v"].low == pytest.approx(-2.33, abs=0.1)
    assert view.y_range == Range(1e-3, 10, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "w1"}, "x: expected one of w0, b0, v0, c0, learning_rate, negative_slope"),
        ({"y": "w0"}, "y: expected another axis than x, got 'w0' for both"),
        ({"x": "beta1"}, "x: expected one of"),
        ({"n": 1}, "n: expected a whole number >= 2"),
        ({"n": 10**6}, "n: expected a whole number <= 4000, got 1000000"),
        ({"sweep": 3}, "sweep: expected"),
        ({"show": 1}, "show: expected"),
        ({}, "show: expected a Matplotlib backend with windows, got (?i:agg); in Jupyter"),
    ],
)
def test_mistakes_are_told(arguments, message):
    before = plt.get_fignums()
    with pytest.raises(rl.InputError, match=message):
        rl.explore(**{"sweep": ISLAND, "show": not arguments, **arguments})
    assert plt.get_fignums() == before


def test_its_speed_is_measured(window, capsys):
    measure(window(n=40).explorer, n_drags=1, seconds=0.2)
    said = capsys.readouterr().out
    assert "while learning_rate is dragged: " in said
    assert "when it stops: 40 x 40 runs after" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--browser: expected here, because Matplotlib has no windows (its backend is agg)"),
        (["--axes", "w0", "q"], "--axes: expected one of w0, b0, v0, c0, learning_rate"),
        (["--axes", "w0", "w0"], "--axes: expected another axis than x, got 'w0' for both"),
        (["--cells", "1"], "--cells: expected a whole number >= 2, got 1"),
        (["--set", "b0"], "--set: expected NAME=NUMBER, got 'b0'"),
        (["--set", "beta1=0.5"], "--set: expected one of w, b, v, c, learning_rate"),
        (["--set", "learning_rate=-1"], "--set: expected values >= 0, got -1.0"),
        (["--sweep", "nothing"], "--sweep: expected one of boundary, data_order"),
        (["--sweep", "seed_trace"], "--sweep: expected an experiment with sweeps, got seed_trace"),
        (["--sweep", "momentum/x"], "--sweep: expected momentum/ and one of map of one sample; map"),
        (["--csv", "nothing", "--x", "a", "--target", "b"], "nothing: expected a CSV file"),
        (["--port", "0"], "--port: expected a number from 1 to 65535, got 0"),
        (["--film", "walk.mp4"], "--film: expected a file *.gif, got 'walk.mp4'"),
        (["--film", "a.gif", "--cells", "5", "--axes", "learning_rate", "w0"],
         "--film: expected a slider of learning_rate, got none"),
        (["--x", "a"], "--x: expected with --csv FILE, got no --csv"),
    ],
)  # fmt: skip
def test_mistakes_on_the_command_line(capsys, arguments, message):
    measured = ["--measure"] if arguments else []
    assert script.main([*arguments, *measured]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {message}")
    assert said.count("\n") == 1


def test_the_command_line_names_sweep_axes_and_data(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(script, "measure", opened.append)
    csv = tmp_path / "data.csv"
    csv.write_text("size,price\n1,2\n3,4\n5,1\n")
    rates = ["--sweep", "momentum", "--axes", "learning_rate", "momentum", "--set", "b0=0.25"]
    mine = ["--csv", str(csv), "--x", "size", "--target", "price"]
    for arguments in (rates, [*mine, "--set", "learning_rate=0.05"]):
        assert script.main([*arguments, "--measure", "--cells", "9"]) == 0
    first, second = (explorer.sweep for explorer in opened)
    assert list(first.axes) == ["learning_rate", "momentum"]
    assert first.b == 0.25
    assert first.axes["learning_rate"][[0, -1]].tolist() == pytest.approx([0.05, 5])
    assert second.data.n_samples == 3
    assert second.learning_rate == 0.05
    for explorer in opened:
        plt.close(explorer.figure)
        explorer.figure.canvas.callbacks.process("close_event", None)


@pytest.mark.slow
def test_the_film_is_a_film(tmp_path, window, monkeypatch):
    file = tmp_path / "walk.gif"
    film(window(n=12).explorer, str(file))
    with Image.open(file) as picture:
        assert picture.n_frames > 20
        assert picture.size == (804, 482)
    assert file.stat().st_size < 3_000_000


def test_traced_runs_that_stop_being_finite_are_shown_until_then(window):
    x = np.linspace(-2, 2, 9)
    plane = {"w": np.linspace(0, 2, 9), "b": np.linspace(-3, 1, 9)}
    sweep = rl.Sweep(
        data=rl.TrainingSet(x, np.maximum(x, 0)), **plane, v=0.8, learning_rate=1.8, max_steps=200
    )
    explorer = window(sweep, "w0", "b0", 30).explorer
    explorer.trace([(1, 0.6), (1, -2.4)])  # blows up; is born dead, so that only c moves
    frame = explorer.wait()
    finite = frame.chosen_trace.groupby("run")["loss"].count()
    assert finite[0] < finite[1] == frame.chosen_runs["steps_taken"].max() + 1
    panels = explorer._panels
    [mark] = panels._lines["last finite"]
    assert list(mark.get_xdata()) == [finite[0] - 1]
    low, high = panels._loss.get_ylim()
    assert low <= mark.get_ydata()[0] <= high
    explorer.set_numbers(learning_rate=0.3)
    explorer.wait()
    # Moved, or drawn anew: that depends on how long it took.
    assert not any(len(line.get_xdata()) for line in panels._lines["last finite"])
