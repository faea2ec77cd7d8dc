import re

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit
from test_experiment import CSV, load_script

import relulab as rl
from relulab.reading.frame_columns import name_and_first
from relulab.reading.notation import later
from relulab.theory import breaks
from relulab.theory.breaks import best_break, best_hinge

HINGE = load_script("hinge_regression")
SIDES = {"breaks up": (1, 1), "breaks down": (1, -1), "comes down": (-1, 1), "comes up": (-1, -1)}


def noisy_hinge(w, v, n, noise, seed, place=0.4):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 2, n)
    return x, 3 + 2 * v * np.maximum(w * (x - place), 0) + noise * rng.normal(size=n)


def values(stick):
    return {name: found.value for name, found in stick.estimates.items()}


def errors(stick):
    return {name: found.standard_error for name, found in stick.estimates.items()}


def squares_of(target, *columns):
    """Return the sum of squared residuals of the least-squares fit of some columns and a level."""
    design = np.stack([np.ones(target.size), *columns], axis=1)
    return float(np.sum((target - design @ np.linalg.lstsq(design, target)[0]) ** 2))


@pytest.mark.parametrize(("w", "v"), SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("seed", range(6))
def test_numbers_and_errors_are_those_of_curve_fit(w, v, seed):
    """Which is given the level and a line, by its heights at two x: a hinge is the larger or so."""
    x, target = noisy_hinge(w, v, 40, 0.02, seed)
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    place = stick.estimates["breakpoint"].value
    assert np.abs(x - place).min() > 1e-3  # between two samples, where the loss is smooth
    either = np.maximum if v > 0 else np.minimum

    def hinge(x, level, at_0, at_1):
        return either(level, at_0 + (at_1 - at_0) * x)

    slope = 2 * v * w
    guess = (3, 3 - 0.4 * slope, 3 + 0.6 * slope)
    (level, at_0, at_1), covariance = curve_fit(hinge, x, target, guess, ftol=1e-14, xtol=1e-14)
    slope = at_1 - at_0
    # What breakpoint, slope and level change with level, at_0, at_1.
    at = (level - at_0) / slope
    jacobian = np.array([[1 / slope, (at - 1) / slope, -at / slope], [0, -1, 1], [1, 0, 0]])
    expected = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
    names = ["breakpoint", "slope", "level"]
    found, error = values(stick), errors(stick)
    np.testing.assert_allclose([found[n] for n in names], [at, slope, level], rtol=1e-6)
    np.testing.assert_allclose([error[n] for n in names], expected, rtol=1e-5)
    assert stick.flat == ("left" if w > 0 else "right")
    residuals = hinge(x, level, at_0, at_1) - target
    assert found["loss"] == pytest.approx(np.mean(residuals**2) / 2)
    assert found["R2"] == pytest.approx(1 - np.var(residuals) / np.var(target), rel=1e-4)
    assert found["n_samples"] == 40


def test_at_a_sample_the_errors_are_those_of_the_side_on_which_it_is_flat():
    """From the derivatives of the fit on the other side of the kink, one number at a time."""
    found = 0
    for seed in range(40):
        x, target = noisy_hinge(1, 1, 60, 0.5, seed)
        stick = rl.broken_stick(rl.TrainingSet(x, target))
        if stick.kind != "hinge" or stick.flat != "left":
            continue
        place, slope, level = (values(stick)[n] for n in ("breakpoint", "slope", "level"))
        error = errors(stick)
        if place not in x or not np.isfinite(error["breakpoint"]):
            continue
        found += 1
        h = 1e-7

        def fit(place, slope, level, x=x):
            return level + slope * np.maximum(x - place, 0)

        here = fit(place, slope, level)
        columns = np.stack(
            [
                fit(place + h, slope, level) - here,
                fit(place, slope + h, level) - here,
                fit(place, slope, level + h) - here,
            ]
        )
        noise = np.sum((here - target) ** 2) / (x.size - 3)
        expected = np.sqrt(np.diag(np.linalg.inv(columns @ columns.T / h**2)) * noise)
        both = [error[n] for n in ("breakpoint", "slope", "level")]
        np.testing.assert_allclose(both, expected, rtol=1e-5)
    assert found > 5


def test_a_break_that_sticks_to_a_sample_has_no_error():
    x = [0, 1, 2, 3, 3, 10, 11, 12, 13, 14]
    target = [0, 0.1, 0, -0.1, 0, 7.5, 8, 9.1, 10, 10.9]
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    assert values(stick)["breakpoint"] == 3
    assert np.isnan(errors(stick)["breakpoint"])
    assert errors(stick)["slope"] > 0
    assert errors(stick)["level"] > 0
    [note] = stick.notes
    assert note.startswith("No standard error of the breakpoint: it is at a sample")
    assert note in " ".join(str(stick).split())


def test_a_line_and_a_constant_have_no_breakpoint():
    rng = np.random.default_rng(0)
    x = rng.uniform(5, 9, 8)
    target = 3 - 2 * x
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    assert (stick.kind, stick.flat) == ("linear", None)
    assert list(stick.estimates)[:2] == ["slope", "intercept"]
    assert "breakpoint" not in stick.estimates
    assert values(stick)["slope"] == pytest.approx(-2)
    assert values(stick)["intercept"] == pytest.approx(3)
    assert errors(stick)["slope"] == errors(stick)["intercept"] == 0
    assert str(stick).startswith("target falls by 2 per unit, from 3 at x = 0: a straight line, no")
    assert "nan" not in str(stick)

    stick = rl.broken_stick(rl.TrainingSet([2, 2, 2, 2], [1, 2, 4, 5]), 100)
    assert stick.kind == "constant"
    assert values(stick) == {"level": 3, "loss": 1.25, "R2": 0, "n_samples": 4}
    assert errors(stick)["level"] == pytest.approx(np.std([1, 2, 4, 5], ddof=1) / 2)
    assert "nan" not in str(stick)
    assert "no interval" in str(stick)
    assert str(stick).startswith("target = 3.00, whatever x: a constant\n")
    stick = rl.broken_stick(rl.TrainingSet([1, 2, 5], [3, 3, 3]))
    assert values(stick) == {"level": 3, "loss": 0, "n_samples": 3}


def test_a_lines_errors_are_those_of_polyfit():
    """Of a cubic, which is steepest at both ends, so that no flat side is worth it."""
    x = np.arange(-4.0, 5.0) + 50
    target = (x - 50) ** 3 + 7
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    assert stick.kind == "linear"
    found, covariance = np.polyfit(x, target, 1, cov=True)
    names = ["slope", "intercept"]
    np.testing.assert_allclose([values(stick)[n] for n in names], found)
    error = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose([errors(stick)[n] for n in names], error)
    assert values(stick)["free_R2"] > values(stick)["R2"] + 0.01
    assert "One side of this model is flat by construction. Two free slopes, break" in str(stick)


def test_two_free_slopes_break_elsewhere():
    """And nobody takes the breakpoint of a stick with a flat side for that of one without."""
    x = np.arange(100.0)
    target = 0.2 * np.minimum(x, 65) + 0.1 * x
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    found = values(stick)
    assert stick.flat == "right"
    assert found["breakpoint"] > 69
    assert found["free_breakpoint"] == pytest.approx(65)
    assert found["free_left_slope"] == pytest.approx(0.3)
    assert found["free_right_slope"] == pytest.approx(0.1)
    assert found["free_R2"] == pytest.approx(1)
    said = " ".join(str(stick).split())
    assert f"Two free slopes, breaking at 65: R² 1.0000, not {found['R2']:.4f}; loss " in said
    rng = np.random.default_rng(0)
    target = np.maximum(x - 30, 0) + rng.normal(size=100)
    hardly = " ".join(str(rl.broken_stick(rl.TrainingSet(x, target))).split())
    assert "flat by construction. Two free slopes, breaking at 29." in hardly
    assert "would hardly be better: R² 0.99" in hardly


def test_numbers_are_written_out():
    """Of many samples, and of breakpoints far from 0."""
    x, target = noisy_hinge(1, 1, 100_000, 0.1, seed=0)
    assert "n_samples   100,000\n" in str(rl.broken_stick(rl.TrainingSet(x, target)))
    x, target = noisy_hinge(1, 1, 60, 0.1, seed=0)
    words = str(
        rl.broken_stick(
            rl.TrainingSet.from_frame(
                pd.DataFrame({"x": x + 1e6, "y": target}), x="x", target="y", standardize=True
            )
        )
    )
    assert "breaking at 1000000.411: R²" in words


def test_targets_whose_squares_are_no_float_are_refused():
    x, target = noisy_hinge(1, 1, 60, 0.1, seed=0)
    frame = pd.DataFrame({"x": x, "y": target * 1e200})
    data = rl.TrainingSet.from_frame(frame, x="x", target="y", standardize=True)
    with pytest.raises(rl.InputError, match="within the range of float64"):
        rl.broken_stick(data)


def test_few_samples_and_perfect_fits():
    stick = rl.broken_stick(rl.TrainingSet([0, 1, 2], [2, 1.9, 5]))
    assert stick.kind == "hinge"
    assert all(np.isnan(error) for error in errors(stick).values())
    assert "No standard errors: 3 samples for 3 parameters." in stick.notes
    assert "free_R2" not in stick.estimates
    assert "±" not in str(stick)
    assert "nan" not in str(stick)
    perfect = rl.TrainingSet([0, 1, 2, 3, 4, 5, 6], [2, 2, 2, 2.5, 5.5, 8.5, 11.5])
    stick = rl.broken_stick(perfect)
    assert str(stick).startswith("target = 2 up to x = 2.83333, then rises by 3 per unit\n")
    assert [errors(stick)[n] for n in ("breakpoint", "slope", "level")] == [0, 0, 0]
    assert values(stick)["R2"] == 1
    assert "Two free slopes would be no better." in str(stick)
    lone = rl.broken_stick(rl.TrainingSet([0, 1, 2, 3, 4, 5], [1, -1, -1, 1, 0, 60]))
    assert values(lone)["breakpoint"] == 4
    assert np.isnan([errors(lone)[n] for n in ("breakpoint", "slope")]).all()
    assert errors(lone)["level"] == pytest.approx(np.sqrt(4 / 3) / np.sqrt(5))
    assert "one x: its slope is not determined" in str(lone)


@pytest.mark.parametrize("seed", range(10))
def test_a_line_and_the_other_flat_side_are_told_beside_a_hinge(seed):
    x, target = noisy_hinge(*list(SIDES.values())[seed % 4], 30, 1, seed)
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    total, found = squares_of(target), values(stick)
    assert stick.kind == "hinge"
    assert found["line_R2"] == pytest.approx(1 - squares_of(target, x) / total)
    sign = 1 if stick.flat == "right" else -1  # of the side that slopes in the other model
    places = np.concatenate([x, np.linspace(x.min(), x.max(), 2000)])
    tried = [1 - squares_of(target, np.maximum(sign * (x - p), 0)) / total for p in places]
    if "other_R2" not in found:
        assert max(tried) <= found["line_R2"] + 1e-9
        return
    assert max(tried) <= found["other_R2"] + 1e-9
    assert found["line_R2"] < found["other_R2"] <= found["R2"]
    activation = np.maximum(sign * (x - found["other_breakpoint"]), 0)
    assert found["other_R2"] == pytest.approx(1 - squares_of(target, activation) / total)
    assert f"R² {found['other_R2']:.4f}. A straight line: R² {found['line_R2']:.4f}." in str(stick)


def small_samples(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 20))
    x = [rng.normal(size=n), rng.integers(0, 6, n), 1e3 + rng.integers(0, 9, n) / 8][seed % 3]
    bend = rng.normal(size=2) @ [x - x.mean(), np.maximum(x - np.median(x), 0)]
    target = bend + [0.1, 1, 0][seed // 3 % 3] * rng.normal(size=n)
    order = np.argsort(x, kind="stable")
    return np.asarray(x, float)[order], target[order]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_no_search_finds_better_than_two_free_slopes(seed):
    x, target = small_samples(seed)
    total = squares_of(target)

    def squares(place):
        return squares_of(target, x - x[0], np.maximum(x - place, 0))

    place = best_break(x, target)
    found = squares_of(target, x - x[0]) if np.isnan(place) else squares(place)
    places = np.concatenate([x, np.linspace(x[0], x[-1], 300)])
    tried = [squares(place) for place in places]
    near, step = places[np.argmin(tried)], (x[-1] - x[0]) / 300
    tried += [squares(place) for place in near + step * np.linspace(-1, 1, 200)]
    assert found <= min(tried) + 1e-9 * total
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    if x.size > 4 and x[0] < x[-1]:
        assert values(stick)["free_R2"] == pytest.approx(1 - found / total, abs=1e-9)
        assert values(stick)["free_loss"] == pytest.approx(found / (2 * x.size), abs=1e-9 * total)
        assert values(stick)["free_R2"] >= values(stick)["R2"] - 1e-9
    if "free_breakpoint" in stick.estimates:
        place = values(stick)["free_breakpoint"]  # or another that is as good
        left, right = (values(stick)[f"free_{side}_slope"] for side in ("left", "right"))
        shape = left * (x - place) + (right - left) * np.maximum(x - place, 0)
        rest = target - shape
        assert np.sum((rest - rest.mean()) ** 2) == pytest.approx(found, abs=1e-9 * total)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_the_fast_hinge_is_the_best_fit(seed):
    x, target = small_samples(seed)
    fit = rl.best_fit(rl.TrainingSet(x, target))
    w, place, slope, level = best_hinge(x, target)
    assert np.isnan(w) == (fit.kind != "hinge")
    if fit.kind == "hinge":
        residuals = level + slope * w * np.maximum(w * (x - place), 0) - target
        squares = 2 * x.size * fit.loss
        assert np.sum(residuals**2) == pytest.approx(squares, abs=1e-9 * squares_of(target))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_of_many_samples_no_split_is_left_out_that_is_best(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(9, 400))
    x = [rng.uniform(-1, 1, n), rng.integers(0, 30, n) / 8, rng.standard_cauchy(n)][seed % 3]
    x = np.sort(x)
    bends = [np.maximum(x - 0.2, 0), np.abs(x), x, 0 * x][seed % 4]
    target = bends + [0.01, 0.3][seed // 4 % 2] * rng.normal(size=n)
    sides = [(True, True), (True, False), (False, True)]
    assert n < breaks.MANY
    every = [best_break(x, target, sloping=sloping) for sloping in sides]
    monkeypatch.setattr(breaks, "MANY", 8)
    monkeypatch.setattr(breaks, "STEP", 8)
    some = [best_break(x, target, sloping=sloping) for sloping in sides]
    np.testing.assert_allclose(some, every, rtol=1e-9)
    if seed == 0:
        splits = breaks._Terms.of(x, target)._promising((False, True), np.inf, 0.0)
        assert 8 < splits.size < n / 2


@pytest.mark.slow
def test_the_bootstrap_refits_by_the_best_fit():
    x, target = noisy_hinge(1, 1, 25, 1.5, 4)
    data = rl.TrainingSet(x, target)
    stick = rl.broken_stick(data, 200, seed=7)
    order, rng = np.argsort(x), np.random.default_rng(7)
    places, slopes, levels, alike = [], [], [], []
    for _ in range(200):
        drawn = order[np.sort(rng.integers(0, 25, 25))]
        fit = rl.best_fit(rl.TrainingSet(x[drawn], target[drawn]))
        if fit.kind == "hinge":
            w, b, v, c = fit.network.stack()[:, 0]
            places.append(-b / w)
            alike.append((w > 0) == (stick.flat == "left"))
            slopes.append(v * w)
            levels.append(c)
    assert 0 < np.mean(alike) < 1
    slopes, levels = np.array(slopes)[alike], np.array(levels)[alike]
    for name, expected in (("breakpoint", places), ("slope", slopes), ("level", levels)):
        found = stick.estimates[name]
        ends = np.quantile(expected, [0.025, 0.975])
        np.testing.assert_allclose([found.lower, found.upper], ends, rtol=1e-9)
    [note] = [note for note in stick.notes if "bootstrap" in note]
    assert f"In {len(alike) - sum(alike)} of them the other side is flat" in note
    assert ("no break" in note) == (len(alike) < 200)
    again = rl.broken_stick(data, 200, seed=7)
    assert str(again) == str(stick)
    assert str(rl.broken_stick(data, 200)) != str(stick)


@pytest.mark.slow
def test_the_interval_is_about_as_wide_as_the_error_says():
    """2000 draws, and 1000 samples: the percentiles' own error is 3 % of their distance."""
    x, target = noisy_hinge(1, 1, 1000, 0.1, 0)
    stick = rl.broken_stick(rl.TrainingSet(x, target), 2000)
    for name in ("breakpoint", "slope", "level"):
        found = stick.estimates[name]
        assert found.lower < found.value < found.upper
        width = (found.upper - found.lower) / (2 * 1.96)
        assert width == pytest.approx(found.standard_error, rel=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_units_do_not_matter(seed):
    x, target = noisy_hinge(-1, 1, 30, 0.1, seed)
    frame = pd.DataFrame({"size": 100 + 30 * x, "price": 5e6 * target})
    columns = {"x": "size", "target": "price"}
    plain, standardized = (
        rl.broken_stick(rl.TrainingSet.from_frame(frame, **columns, standardize=how), 100)
        for how in (False, True)
    )
    pd.testing.assert_frame_equal(plain.table, standardized.table, rtol=1e-6)
    units = standardized.table.set_index("quantity")["unit"]
    assert units["breakpoint"] == "size"
    assert units["slope"] == units["free_left_slope"] == "price per size"
    assert units["level"] == "price"
    assert list(plain.table) == [
        "quantity", "value", "standard_error", "lower", "upper", "unit", "remark"
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:x. .*counted in days")
def test_among_dates_the_breakpoint_is_a_date():
    days = pd.date_range("2023-12-01", periods=120)
    use = 20 + 0.5 * np.maximum(np.arange(120) - 60, 0)
    frame = pd.DataFrame({"day": days, "use": use})
    data = rl.TrainingSet.from_frame(frame, x="day", target="use", standardize=True)
    stick = rl.broken_stick(data)
    assert str(stick).startswith("use = 20 up to day = 2024-01-30, then rises by 0.5 per day\n")
    found = stick.estimates["breakpoint"]
    assert (found.unit, found.remark) == ("day (days from 2023-12-01)", "2024-01-30")
    assert found.value == pytest.approx(60)
    assert stick.estimates["slope"].unit == "use per day"
    said = str(rl.broken_stick(data, 100))
    assert "day (days from 2023-12-01)  2024-01-30, from 2024-01-30 to 2024-01-30\n" in said
    line = rl.TrainingSet.from_frame(frame.assign(use=range(120)), x="day", target="use")
    assert "from 0 at day = 2023-12-01: a straight line" in str(rl.broken_stick(line))


@pytest.mark.parametrize(
    ("first", "days", "expected"),
    [
        ("2023-12-31", 60, "2024-02-29"),
        ("2023-12-31", 59.6, "2024-02-29"),
        ("2023-12-31", -0.4, "2023-12-31"),
        ("2024-01-31 12:00:00", 0.25, "2024-01-31 18:00:00"),
        ("2024-01-31 12:00:00.5 UTC", 0.5, "2024-02-01 00:00:00.5 UTC"),
        ("08:00:00", 0.125, "11:00:00"),
        ("9999-12-30", 5, None),
        ("0001-01-01", -1, None),
        ("2024-01-31", np.nan, None),
        ("2024-01-31", 1e300, None),
        ("yesterday", 1, None),
    ],
)
def test_days_later(first, days, expected):
    assert later(first, days) == expected


def test_what_a_label_of_days_says():
    assert name_and_first("when (days from 2024-01-31)") == ("when", "2024-01-31")
    assert name_and_first("a (b) (days from 08:00:00)") == ("a (b)", "08:00:00")
    assert name_and_first("age (days)") is None
    scale = rl.Scale("age (days from birth)")
    stick = rl.broken_stick(rl.TrainingSet([0, 1, 2, 3], [0, 0, 1, 2], x_scale=scale))
    assert str(stick).startswith("target = 0 up to age = 1, then rises by 1 per day\n")


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
def test_numbers_of_any_size(scale):
    x, target = noisy_hinge(1, 1, 12, 0.1, 0)
    plain = values(rl.broken_stick(rl.TrainingSet(x, target), 100))
    large = values(rl.broken_stick(rl.TrainingSet(scale * x, target / scale), 100))
    powers = {"breakpoint": 1, "slope": -2, "level": -1, "loss": -2}
    assert set(plain) == set(large) > {"free_R2", "line_R2"}
    for name, value in plain.items():
        power = next((p for of, p in powers.items() if name.endswith(of)), 0)
        assert large[name] / scale ** float(power) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "target"),
    [
        ([0, 0, 1e-100, 2e-100, 3e-100, 1], [0, 0, 1, 0, 1, 0]),
        ([-1 - 2**-51, -1, 2 - 2**-51, 2 - 2**-51, 2 + 2**-49, 2 + 3 * 2**-50], [0, 1, 0, 0, 1, 0]),
        ([-1, 0, 1, 1 + 2**-51, 1 + 3 * 2**-51], [0.2, 0.3, -1, -0.7, 0.9]),
    ],
)
def test_samples_too_close_for_the_other_models_are_not_compared(x, target):
    """Their best breaks are within clusters that float64 has lost."""
    stick = rl.broken_stick(rl.TrainingSet(x, target))
    assert not [name for name in values(stick) if name.startswith(("free", "line", "other"))]
    assert "No comparison with other models: some x are too close" in str(stick)


def test_near_duplicates_do_not_prevent_a_comparison():
    x, target = noisy_hinge(1, 1, 40, 0.3, 0)
    twice = np.nextafter(x, 2)
    data = rl.TrainingSet(np.append(x, twice), np.append(target, target))
    expected = values(rl.broken_stick(rl.TrainingSet(x, target)))
    for name, value in values(rl.broken_stick(data)).items():
        if name.startswith(("free", "line", "other")):
            assert value == pytest.approx(expected[name], rel=1e-9)


# The best hinge is 0 up to its third place and rises by 1 per place.
PLACES, HEIGHTS = np.arange(7), [0.1, -0.1, 0, 1.1, 1.9, 2.9, 4.1]


def test_samples_too_close_for_standard_errors_get_none():
    x = 1e6 + 2.0**-28 * PLACES
    of_hinge = rl.broken_stick(rl.TrainingSet(x, HEIGHTS))
    assert of_hinge.estimates["breakpoint"].value == x[2]
    assert np.isnan([errors(of_hinge)["slope"], errors(of_hinge)["breakpoint"]]).all()
    assert errors(of_hinge)["level"] > 0
    assert "No standard errors of the slope and the breakpoint: in float64" in str(of_hinge)
    # Too close for their distance to the hinge.
    far = rl.broken_stick(rl.TrainingSet([-5213, 1e-9, -4803, 1e-8], [-1.5, -2.5, 1.8, -0.1]))
    assert np.isnan([errors(far)["slope"], errors(far)["breakpoint"]]).all()
    x, target = noisy_hinge(1, 1, 20, 0.1, 0)
    large = rl.broken_stick(rl.TrainingSet(2e154 * x, target))
    assert np.isnan([errors(large)["slope"], errors(large)["breakpoint"]]).all()
    of_line = rl.broken_stick(rl.TrainingSet(1e6 + 2.0**-28 * np.array([0, 0, 1, 1]), [0, 1, 4, 3]))
    assert of_line.kind == "linear"
    assert np.isnan([errors(of_line)["slope"], errors(of_line)["intercept"]]).all()


def test_samples_too_close_for_refits_get_no_intervals():
    x = np.append([-1000, -1000], 1 + 2.0**-44 * PLACES)
    stick = rl.broken_stick(rl.TrainingSet(x, [0.2, -0.2, *HEIGHTS]), bootstrap=100)
    assert stick.estimates["breakpoint"].value == x[4]
    assert np.isnan(stick.table["lower"]).all()
    assert "No 95 % intervals: some x are too close" in str(stick)


@pytest.mark.parametrize(
    ("x", "target"),
    [
        ([0, 1, 2, 3, 4, 5], [0, 0, 0, 1.2e154, 1.1e154, 1.2e154]),  # R2 was 1
        ([0, 1, 2, 3], [0, 1e-200, 0, 2e-200]),
        ([1e150, 1.0000000000000005e150], [4e299, -2e300]),
    ],
)
def test_answers_beyond_float64_are_refused(x, target):
    with pytest.raises(rl.InputError, match="data: expected samples whose best fit") as caught:
        rl.broken_stick(rl.TrainingSet(x, target))
    assert "\n" not in str(caught.value)


def test_refusals():
    data = rl.TrainingSet([0, 1], [0, 1])
    with pytest.raises(rl.InputError, match=r"^data: expected TrainingSet, got 3"):
        rl.broken_stick(3)
    for wrong in (-1, 2.5, "x", None, True, 10**7):
        with pytest.raises(rl.InputError, match=r"^bootstrap: expected a whole number"):
            rl.broken_stick(data, wrong)
    with pytest.raises(rl.InputError, match=r"^bootstrap: expected 0 or at least 100, got 99"):
        rl.broken_stick(data, 99)
    with pytest.raises(rl.InputError, match=r"^seed: expected a whole number"):
        rl.broken_stick(data, 100, -1)


QUICKLY = ["--quick", "--draws", "3", "--max-steps", "50", "--engine", "numpy"]


def test_the_script_says_the_answer_first(tmp_path, capsys, monkeypatch):
    file = tmp_path / "data.csv"
    file.write_text(CSV.replace("dose,answer", "dose ($ per 5 µg),answer in %"))
    columns = ["--csv", str(file), "--x", "dose ($ per 5 µg)", "--target", "answer in %"]
    folder = tmp_path / "r"
    assert rl.main(HINGE, [*QUICKLY, *columns, "--results", str(folder)]) == 0
    said = capsys.readouterr().out
    sentence = "answer in % = 0.007 up to dose ($ per 5 µg) = 7, then rises by 0.9983 per unit\n"
    assert said.startswith(sentence)
    assert said.index("flat by construction") < said.index("outcome")
    assert (folder / "answer.txt").read_text("utf-8").startswith(sentence)
    table = pd.read_csv(folder / "answer.csv").set_index("quantity")
    assert table.loc["breakpoint", "value"] == pytest.approx(7, abs=0.1)
    assert table["lower"].isna().all()
    # Later, from another folder, without the file.
    file.unlink()
    monkeypatch.chdir(tmp_path)
    again = ["--figures", "--results", "r", "--bootstrap", "100", "--tables", "csv", "md"]
    assert rl.main(HINGE, again) == 0
    assert "100 bootstrap draws" in capsys.readouterr().out
    table = pd.read_csv(folder / "answer.csv").set_index("quantity")
    assert table.loc["breakpoint", "lower"] < 7 < table.loc["breakpoint", "upper"]
    assert "answer in % per dose" in (folder / "answer.md").read_text("utf-8")


@pytest.mark.parametrize("draws", ["-1", "x", "", "99", "2.5", "1e3", "9" * 5000])
def test_the_script_refuses_other_numbers_of_draws(draws, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        rl.main(HINGE, [*QUICKLY, "--bootstrap", draws, "--results", str(tmp_path / "r")])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: argument --bootstrap: expected 0 or a whole number from 100 to")
    assert said.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_what_two_free_slopes_gain_can_be_read_from_the_digits():
    x = np.arange(100.0)
    target = 10 + np.maximum(x - 50, 0) * 50 + np.where(x < 50, 0.03 * (x - 50), 0)
    target += 0.5 * (-1.0) ** np.arange(100)
    words = str(rl.broken_stick(rl.TrainingSet(x, target))).replace("\n", " ")
    free, own = re.search(r"R² ([01][.]\d+), not ([01][.]\d+)", words).groups()
    assert float(free) > float(own)
