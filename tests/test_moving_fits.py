"""What moves: fits at several steps, films of them, and curves of runs that stop being finite."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

import relulab as rl
from relulab import figures

X = np.linspace(-2, 2, 9)
DATA = rl.TrainingSet(X, np.maximum(X, 0))
# Learns, dies at step 5, blows up, is born dead: see experiments/dying_relu.py.
START = rl.Networks(w=1, b=[0.6, 0.6, 0.6, -2.4], v=0.8, c=0)
RATES = [0.5, 1.5, 2.0, 0.5]
N_STEPS = 40


@pytest.fixture(scope="module")
def trace():
    return rl.trace(rl.train(START, DATA, RATES).to_frame(), DATA, n_steps=N_STEPS)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def legend(ax):
    return [text.get_text() for text in figures.legend_of(ax).get_texts()]


def of(trace, run):
    return trace[trace["run"] == run]


def states(run):
    """Return the states of a run, by a plain loop, until one is not finite."""
    w, b, v, c = (float(getattr(START, p)[run]) for p in "wbvc")
    samples = [(x, max(x, 0.0)) for x in X.tolist()]
    found = []
    for _ in range(N_STEPS + 1):
        sums = [w * x + b for x, _ in samples]
        errors = [v * max(p, 0) + c - t for p, (_, t) in zip(sums, samples, strict=True)]
        loss = sum(e * e / 2 for e in errors) / 9
        if not np.isfinite([w, b, v, c, loss]).all():
            break
        found.append({"w": w, "b": b, "v": v, "c": c, "n_active": sum(p > 0 for p in sums)})
        terms = [(e, p, x) for e, p, (x, _) in zip(errors, sums, samples, strict=True)]
        gw = sum(e * v * x for e, p, x in terms if p > 0) / 9
        gb = sum(e * v for e, p, _ in terms if p > 0) / 9
        gv = sum(e * p for e, p, _ in terms if p > 0) / 9
        rate = RATES[run]
        w, b, v, c = w - rate * gw, b - rate * gb, v - rate * gv, c - rate * sum(errors) / 9
    return pd.DataFrame(found)


@pytest.mark.parametrize("run", range(4))
def test_fits_are_those_of_the_states_and_bend_at_the_hinge(trace, run):
    expected = states(run)
    steps = [0, 1, 4, 5, 30]
    ax = figures.fit_steps(of(trace, run), DATA, steps)
    shown = [line for line in ax.lines if to_hex(line.get_color()) != "#9a9a9a"]
    fits = [line for line in shown if line.get_marker() == "None"]
    there = expected[expected.index.isin(steps)]
    assert len(fits) == len(there) == (4 if run == 2 else 5)
    for line, (_, state) in zip(fits, there.iterrows(), strict=True):
        x, y = line.get_data()
        hidden = np.maximum(state["w"] * x + state["b"], 0)
        # Sums in another order, and states that have grown to 1e27, differ in the last digits.
        np.testing.assert_allclose(y, state["v"] * hidden + state["c"], rtol=1e-8, atol=1e-9)
        assert (line.get_linestyle() == "--") == (state["n_active"] == 0)
        hinge = -state["b"] / state["w"]
        assert len(x) == (3 if -6 < hinge < 6 else 2)
        np.testing.assert_allclose(x[1:-1], [hinge], rtol=1e-9)
    # Early steps are dark.
    light = [sum(int(to_hex(f.get_color())[i : i + 2], 16) for i in (1, 3, 5)) for f in fits]
    assert light == sorted(light)


def test_the_steps_that_are_shown_are_early_ones_and_those_of_death(trace):
    dead = states(1)["n_active"].eq(0).idxmax()
    assert dead == 5
    words = legend(figures.fit_steps(of(trace, 1), DATA))
    assert {"step 0", "step 1", "step 4", "step 5 (dead)", "step 40 (dead)"} <= {*words}
    assert "hinge" in words
    learns = legend(figures.fit_steps(of(trace, 0), DATA))
    steps = [int(word.split()[1]) for word in learns if word.startswith("step")]
    assert steps[:2] == [0, 1]
    assert steps[-1] == N_STEPS
    assert steps == sorted(steps)
    assert np.diff(steps)[-1] > np.diff(steps)[0]


def test_a_run_that_stops_being_finite_is_shown_until_then_and_it_is_said(trace):
    last = len(states(2)) - 1
    assert 3 < last < N_STEPS
    said = f"last finite state: step {last}"
    history = of(trace, 2)
    assert history["loss"].notna().sum() == last + 1
    for ax in (
        figures.fit_steps(history, DATA),
        figures.loss_curves(history),
        figures.parameter_curves(history),
    ):
        assert said in legend(ax)
        ax.figure.canvas.draw()
    ways = figures.trajectories(trace, "w", "v", by="fate")
    assert "last finite state" in legend(ways)
    # Beside others it does not decide the scale.
    assert np.ptp(ways.get_xlim()) < 10
    assert np.ptp(figures.trajectories(history, "w", "v").get_xlim()) > 1e50
    mark = figures.loss_curves(trace).lines[-1]
    assert list(mark.get_xdata()) == [last]


def test_losses_far_from_the_start_do_not_squeeze_those_near_it(trace):
    ax = figures.loss_curves(trace, by="fate")
    low, high = ax.get_ylim()
    begin = trace.loc[trace["step"] == 0, "loss"].max()
    assert high == pytest.approx(1e6 * begin)
    near = trace.loc[trace["loss"] < 1e6 * begin, "loss"]
    assert 0.1 * near.min() < low < near.min()
    tiny = pd.DataFrame({"run": 0, "step": range(4), "loss": [1.0, 1e-5, 1e-20, 0.0]})
    assert figures.loss_curves(tiny).get_ylim() == pytest.approx((1e-12, 1e-5**-0.05))


def test_curves_have_the_colors_of_fates_and_of_other_columns(trace):
    fates = trace.groupby("run")[["outcome", "unit"]].first()
    expected = [figures.FATE_COLORS[tuple(fate)] for fate in fates.to_numpy()]
    ax = figures.loss_curves(trace, by="fate")
    assert [line.get_color() for line in ax.lines[:4]] == expected
    ways = figures.trajectories(trace, "w", "v", by="fate")
    assert [line.get_color() for line in ways.lines[::3]] == expected
    rates = figures.loss_curves(trace, by="learning_rate")
    first, *_, last = rates.lines[:4]
    assert first.get_color() == last.get_color()
    assert legend(rates)[:3] == ["0.5", "1.5", "2"]
    for message, by, more in (
        ("by: expected a column with one value for each run, got 'step'", "step", {}),
        ("labels: expected None beside by", "fate", {"labels": list("abcd")}),
        ("colors: expected None beside by", "unit", {"colors": ["red"] * 4}),
        ("trace: expected the columns speed", "speed", {}),
    ):
        with pytest.raises(rl.InputError, match=f"^{message}"):
            figures.loss_curves(trace, by=by, **more)


def test_long_paths_lie_below_short_ones():
    trace = pd.DataFrame({"run": [0, 0, 0, 0, 1, 1], "w": [0, 9, 0, 9, 0, 1], "v": 0.0})
    long, _, _, short, *_ = figures.trajectories(trace, "w", "v").lines
    assert long.get_zorder() < short.get_zorder()


def test_where_a_unit_is_dead_is_seen_beside_the_parameters(trace):
    ax = figures.parameter_curves(of(trace, 1))
    assert legend(ax) == ["inactive on every sample from step 5 on"]
    assert figures.legend_of(figures.parameter_curves(of(trace, 0))) is None
    assert ax.patches[0].get_x() == 5


def test_runs_of_several_sweeps_are_kept_apart(trace):
    two = pd.concat([of(trace, 0).assign(sweep=name) for name in "ab"])
    ax = figures.loss_curves(two)
    assert legend(ax) == ["a, run 0", "b, run 0"]
    with pytest.raises(rl.InputError, match=r"^trace: expected a single run, got 2"):
        figures.fit_steps(two, DATA)


def test_a_film_shows_every_early_step_and_ends_with_a_pause(trace, tmp_path):
    film = figures.fit_film(trace, DATA, list("abcd"), title="Why?", seconds=0.1, pause=2)
    titles, words = [], []
    for ax in film.frames:
        titles.append(ax.figure.get_suptitle())
        words.append([panel.texts[0].get_text() for panel in ax.figure.axes[:4]])
    numbers = [int(title.removeprefix("Why? (step ").removesuffix(")")) for title in titles]
    assert list(dict.fromkeys(numbers))[:8] == list(range(8))
    assert numbers[-1] == N_STEPS
    assert numbers.count(3) > numbers.count(N_STEPS)
    assert words[numbers.index(4)] == ["", "", "", "born dead"]
    assert words[numbers.index(5)][1] == "dead from step 5"
    assert words[-1][2] == f"finite until step {len(states(2)) - 1}"
    plt.close("all")
    short = figures.fit_film(trace[trace["step"] < 3], DATA, seconds=0.1, pause=2)
    figures.save_film(short, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as picture:
        assert picture.n_frames == 3
        times = [(picture.seek(k), picture.info["duration"])[1] for k in range(3)]
    assert times == [200, 200, 2200]
    assert not plt.get_fignums()


@pytest.mark.slow
def test_a_film_can_be_of_a_run_that_is_nowhere_finite(tmp_path):
    never = rl.trace(rl.Networks(1e308, 1e308, 1e308, 0), DATA, 1.0, 3)
    assert never["loss"].isna().all()
    film = figures.fit_film(never, DATA)
    figures.save_film(film, tmp_path / "film.gif")
    assert "no finite state" in legend(figures.fit_steps(never, DATA))


def test_what_cannot_be_shown_is_told_in_one_line(trace):
    for message, draw in {
        "steps: expected steps of the trace, 0 to 40, got 41": lambda: figures.fit_steps(
            of(trace, 0), DATA, [0, 41]
        ),
        "steps: expected steps of the trace, 0 to 40, got 0.5": lambda: figures.fit_steps(
            of(trace, 0), DATA, [0.5]
        ),
        "trace: expected a single run, got 4": lambda: figures.fit_steps(trace, DATA),
        "data: expected TrainingSet": lambda: figures.fit_steps(of(trace, 0), [1, 2]),
        "negative_slope: expected a number from 0 to 1, got 2": lambda: figures.fit_steps(
            of(trace, 0), DATA, negative_slope=2
        ),
        "trace: expected the columns run, step, w, b, v, c, n_active": lambda: figures.fit_steps(
            of(trace, 0).drop(columns="n_active"), DATA
        ),
        "trace: expected 1 to 4 runs, got 0": lambda: figures.fit_film(trace[:0], DATA),
        "labels: expected 4, one for each run, got 1": lambda: figures.fit_film(
            trace, DATA, ["one"]
        ),
        "pause: expected a number <= 50": lambda: figures.fit_film(trace, DATA, pause=51),
    }.items():
        with pytest.raises(rl.InputError, match=f"^{message}"):
            draw()


def test_a_leaky_unit_is_inactive_and_not_dead():
    start = rl.Networks(w=1, b=-3, v=1, c=0)
    trace = rl.trace(start, DATA, 0.01, 2, negative_slope=0.1)
    ax = figures.fit_steps(trace, DATA, negative_slope=0.1)
    assert "step 0 (inactive)" in legend(ax)
    x, y = ax.lines[1].get_data()
    np.testing.assert_allclose(y[0], 0.1 * (x[0] - 3))


def test_a_state_too_large_to_draw_is_left_out():
    huge = pd.DataFrame({"run": 0, "step": [0, 1, 2], "w": [1, 1e200, np.nan], "b": 0.0, "v": 1.0,
                         "c": 0.0, "n_active": 4})  # fmt: skip
    ax = figures.fit_steps(huge, DATA, [0, 1, 2])
    assert legend(ax) == ["samples", "step 0", "hinge", "last finite state: step 1"]
    ax = figures.fit_steps(huge[:2], DATA, [0, 1])
    assert legend(ax) == ["samples", "step 0", "hinge"]
