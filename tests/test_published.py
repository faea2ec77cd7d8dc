"""The table of what is published: its verdicts, and that it would tell a wrong number."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from published import CLAIMS, EXPERIMENT, agreement

import relulab as rl
from publications import measures
from publications.claims import (
    AGREES,
    DIFFERS,
    UNEXPLAINED,
    Bound,
    Chance,
    Estimate,
    Exact,
    Printed,
    common_digits,
    digits_of,
    half_unit,
    judged,
    judged_numbers,
    linear,
)
from publications.printed import PRINTED
from publications.theorems import THEOREMS
from relulab import figures

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

BY_NAME = {claim.name: claim for claim in CLAIMS}
DIFFERENT = {
    "Butler, label c",
    "Trask 2019, x = 2",
    "Loeber, late losses",
    "Brownlee 2016",
    "TensorFlow 2017, last loss",
    "littlebitai.org",
    "Chen et al. 2023, divergence",
    "Liang & Montufar 2025, (3.0, 0.2)",
    "Liang & Montufar 2025, (0.5, 4.0)",
    "Kingma & Ba 2014, other bound",
}


def changed(number):
    """Return a printed number whose last digit, that is not the exponent's, is another by two.

    By one would not do: 3.61805 may be printed as 3.6180 or as 3.6181.
    """
    mantissa, e, exponent = number.partition("e")
    last = int(mantissa[-1])
    return mantissa[:-1] + str(last - 2 if last > 1 else last + 2) + e + exponent


@pytest.fixture(scope="module")
def ours():
    """Return our numbers of the printed rows."""
    return {claim.name: claim.measure() for claim in PRINTED}


def test_the_verdicts(tmp_path, monkeypatch, capsys):
    options = ["--draws", "5000", "--jobs", "1", "--results", str(tmp_path)]
    assert rl.main(EXPERIMENT, options) == 0
    table = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False).set_index("row")
    assert list(table.index) == list(BY_NAME)
    assert set(table.index[table["verdict"] != AGREES]) == DIFFERENT
    assert set(table["verdict"]) == {AGREES, DIFFERS}
    # Reasons stand where they are needed, and nowhere else.
    assert {claim.name for claim in CLAIMS if claim.why} == DIFFERENT
    assert (table["why"] != "").sum() == len(DIFFERENT)
    numbers = pd.read_csv(tmp_path / "numbers.csv")
    assert len(numbers) == sum(len(claim.items()) for claim in PRINTED) > 470
    # A row that is newer than the folder.
    monkeypatch.setattr("published.CLAIMS", [*CLAIMS, replace(PRINTED[0], name="new")])
    assert rl.main(EXPERIMENT, ["--figures", "--results", str(tmp_path)]) == 2
    assert "our numbers for the row 'new'" in capsys.readouterr().err


@pytest.mark.parametrize("claim", [c for c in PRINTED if not c.why], ids=lambda claim: claim.name)
def test_another_digit_in_a_text_is_found(claim, ours):
    mine = ours[claim.name]
    assert judged(claim, mine)["verdict"] == AGREES
    found = judged_numbers(claim, mine).sort_values("digits")
    # Where the text's own arithmetic has fewer digits than it prints, the last are not told.
    units = found["published"].map(half_unit) * 2 / found["published"].astype(float).abs()
    told = found[(found["digits"] == found["common"]) & (units > 2 * claim.rounding)]
    for name in told["number"]:
        formula, step = name.split(" @ ")
        printed = {k: dict(steps) for k, steps in claim.numbers.items()}
        printed[formula][int(step)] = changed(printed[formula][int(step)])
        wrong = judged(replace(claim, numbers=printed), mine)
        assert wrong["verdict"] == UNEXPLAINED, name
        assert wrong["published"].startswith(name)
    assert len(told) > 0


def test_butler_in_fractions(ours):
    """Ten updates in exact arithmetic are what is printed, and ours to the last bits."""
    w, b, v, c = (Fraction(n, 10) for n in (5, 2, 3, 1))
    rate, mine, printed = Fraction(1, 100), ours["Butler"], BY_NAME["Butler"].items()
    for step in range(1, 11):
        h = w + b
        e = v * h + c - 3
        w, b, v, c = w - rate * e * v, b - rate * e * v, v - rate * e * h, c - rate * e
        for name, exact in (("w", w), ("b", b), ("v", v)):
            assert mine[f"{name} @ {step}"] == pytest.approx(float(exact), rel=1e-15)
            text = printed[f"{name} @ {step}"]
            assert abs(float(exact) - float(text)) <= max(half_unit(text), 2e-16)
        # What the text prints as c is v.
        assert BY_NAME["Butler, label c"].items()[f"c @ {step}"] == printed[f"v @ {step}"]


def test_linear_neurons_are_linear_regression(ours):
    """Ved, Ng, Brownlee and Trask in plain Python, without a ReLU."""

    def regression(samples, w, b, rate, n_updates, one_by_one=False):
        states = [(w, b)]
        for i in range(n_updates):
            batch = [samples[i % len(samples)]] if one_by_one else samples
            errors = [(x, w * x + b - t) for x, t in batch]
            w -= rate * sum(e * x for x, e in errors) / len(batch)
            b -= rate * sum(e for _, e in errors) / len(batch)
            states.append((w, b))
        return states

    five = [(1, 1), (2, 3), (4, 3), (3, 2), (5, 5)]
    for name, bias, step, states in (
        ("Ved 2023", "b", 601, regression([(3, 30), (5, 50)], 1.0, 1.0, 0.01, 601)),
        ("Ng 2022", "b + c", 10_000, regression([(1, 300), (2, 500)], 0.0, 0.0, 0.01, 10_000)),
        ("Ng 2022, rate 0.8", "b + c", 10, regression([(1, 300), (2, 500)], 0.0, 0.0, 0.8, 10)),
        ("Brownlee 2016", "b + c", 20, regression(five, 0.0, 0.0, 0.01, 20, one_by_one=True)),
    ):
        w, b = states[step]
        assert ours[name][f"w @ {step}"] == pytest.approx(w, rel=1e-9)
        assert ours[name][f"{bias} @ {step}"] == pytest.approx(b, rel=1e-9)
    w = 0.5
    for step in range(19):
        error = (0.5 * w - 0.8) ** 2
        assert ours["Trask 2019, x = 0.5"][f"2 * loss @ {step}"] == error
        w = w - 0.5 * (0.5 * w - 0.8)


def test_parabolas_with_velocity_as_the_texts_program_them(ours):
    """In plain Python, of each variable on its own."""

    def momentum(x, curvature, rate, beta, n_updates, look_ahead=False):
        change, path = 0.0, [x]
        for _ in range(n_updates):
            change = beta * change - rate * curvature * (x + look_ahead * beta * change)
            x += change
            path.append(x)
        return path

    def adam(x, curvature, rate, beta1, beta2, epsilon, n_updates):
        m, s, path = 0.0, 0.0, [x]
        for t in range(1, n_updates + 1):
            g = curvature * x
            m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g * g
            x -= rate * (m / (1 - beta1**t)) / (math.sqrt(s / (1 - beta2**t)) + epsilon)
            path.append(x)
        return path

    first, second = 2 * np.random.RandomState(1).rand(2) - 1
    start = 2 * np.random.RandomState(4).rand() - 1
    for name, formula, steps, path in (
        ("d2l, rate 0.6", "b", [20], momentum(-2, 4, 0.6, 0, 20)),
        ("d2l, momentum 0.5", "w", [20], momentum(-5, 0.2, 0.6, 0.5, 20)),
        ("d2l, momentum 0.25", "b", [20], momentum(-2, 4, 0.6, 0.25, 20)),
        ("Saida, momentum", "w", [3, 4], [x + 4 for x in momentum(6, 2, 0.2, 0.9, 4)]),
        ("mrzResearchArena", "w", [11], [x + 3 for x in momentum(7, 2, 0.001, 0.9, 11)]),
        ("Brownlee 2021, momentum", "w", range(1, 31), momentum(start, 2, 0.1, 0.3, 30)),
        ("Brownlee 2021, Adam", "w", [60], adam(first, 2, 0.02, 0.8, 0.999, 1e-8, 60)),
        ("Brownlee 2021, Adam", "b", [60], adam(second, 2, 0.02, 0.8, 0.999, 1e-8, 60)),
        ("tienhyu, Adam", "w", range(1, 31), adam(-5, 0.2, 0.2, 0.9, 0.999, 1e-6, 30)),
        ("tienhyu, Adam", "b", range(1, 31), adam(-2, 4, 0.2, 0.9, 0.999, 1e-6, 30)),
    ):
        for step in steps:
            assert ours[name][f"{formula} @ {step}"] == pytest.approx(path[step], rel=1e-11), name
    path = momentum(second, 2, 0.1, 0.3, 30, look_ahead=True)
    for step in (0, 5, 29):
        number = ours["Brownlee 2021, Nesterov"][f"(1 - 0.2) * b @ {step}"]
        assert number == pytest.approx(path[step + 1], rel=1e-11)


def test_ridge_by_its_normal_equations(ours):
    x, target = np.array([[0, 0], [0, 0], [1, 1]]), np.array([0, 0.1, 1])
    off = x - x.mean(axis=0)
    w = np.linalg.solve(off.T @ off + 0.5 * np.eye(2), off.T @ (target - target.mean()))
    mine = ours["scikit-learn, Ridge"]
    assert mine["w / sqrt(2) @ 1000"] == pytest.approx(w[0], rel=1e-12)
    assert mine["b @ 1000"] == pytest.approx(target.mean() - w @ x.mean(axis=0), rel=1e-12)


def test_a_linear_neuron_fires():
    start = linear(w=-2, b=1, offset=8)
    trace = rl.trace(start, rl.TrainingSet([1, 3], [0, 0]), 0.01, 50, freeze=("v", "c"))
    assert (np.minimum(trace["w"], 3 * trace["w"]) + trace["b"] > 0).all()
    assert trace["loss"].iloc[0] == (1 + 25) / 4


def test_in_float32_the_losses_that_differ_are_those_printed():
    single = np.float32
    x = np.array([1, 2, 3, 4], single)
    target, w, b = 1 - x, single(0.3), single(-0.3)
    for _ in range(1000):
        off = w * x + b - target
        w -= single(0.01) * np.sum(2 * off * x)
        b -= single(0.01) * np.sum(2 * off)
    [printed] = BY_NAME["TensorFlow 2017, last loss"].items().values()
    assert np.sum((w * x + b - target) ** 2) == pytest.approx(float(printed), rel=1e-6)

    slope, losses = 0.0, []
    for _ in range(10):
        off = single(slope) * x - 2 * x
        losses.append(f"{np.mean(off**2):.8f}")
        slope -= 0.01 * float(np.dot(2 * x, off))
    assert losses[3:] == list(BY_NAME["Loeber, late losses"].items().values())


def test_brownlee_rounds_twice(ours):
    mine = judged_numbers(BY_NAME["Brownlee 2016"], ours["Brownlee 2016"])
    off = mine[~mine["same"]]
    assert len(off) == 2
    for row in off.itertuples():
        assert f"{row.ours:.9f}" != row.published
        assert math.floor(float(f"{row.ours:.10f}") * 1e9 + 0.5 + 1e-6) / 1e9 == float(
            row.published
        )


def test_the_theorem_on_critical_rates_is_of_linear_networks():
    """Beyond ours a linear network goes on, up to the published rate and not further."""

    def ends(a, v, rate):
        q, least = math.sqrt(2), a
        for _ in range(20_000):
            e = q * a * v - 3
            a, v = a - rate * q * e * v, v - rate * q * e * a
            least = min(least, a)
            if abs(a) > 1e6:
                return "diverges", least
        return "settles" if abs(e) < 1e-3 else "oscillates", least

    for a, v in ((3.0, 0.2), (0.5, 4.0)):
        published = BY_NAME[f"Liang & Montufar 2025, ({a}, {v})"].value
        mine = measures.converges_up_to(a, v)
        assert mine < 0.9 * published
        # Close to the critical rate the linear network settles late, and after A was negative.
        end, least = ends(a, v, 0.99 * published)
        assert end == "settles"
        assert least < 0
        assert ends(a, v, 1.01 * published)[0] == "diverges"
        assert ends(a, v, 0.99 * mine)[1] > 0
        # With slope 1 our unit is such a network.
        linear = BY_NAME[f"Liang & Montufar 2025, ({a}, {v}), linear"]
        assert linear.measure() == pytest.approx(published, rel=1e-8)
    published = measures.critical_rate(0.9, 0.9)
    assert published == pytest.approx(1 / (math.sqrt(2) * 3), rel=1e-15)
    assert ends(0.9, 0.9, 0.99 * published)[0] == "settles"
    assert ends(0.9, 0.9, 1.01 * published)[0] == "oscillates"


def test_a_two_cycle_by_its_polynomial():
    """With y z = 1/k and y^2 + z^2 = 1 + 1/k the lower y^2 has a closed form."""
    for k in (1.05, 1.2):
        y = (math.sqrt(1 + 3 / k) - math.sqrt(1 - 1 / k)) / 2
        r = y * y
        assert r * (math.sqrt(1 / r - 0.75) + 0.5) == pytest.approx(1 / k, rel=1e-12)
        assert measures.two_cycle(k) == pytest.approx(1 / k, rel=1e-12)
    assert math.isnan(measures.two_cycle(1.25))  # period 4
    assert math.isnan(measures.two_cycle(0.9))  # none


def test_values_that_are_wrong_are_found():
    for claim in THEOREMS:
        if isinstance(claim, Exact):
            right = claim.value or 0.0
            off = 2 * 10.0**-claim.digits * (abs(right) or 1)
            assert judged(claim, {"value": right})["verdict"] == AGREES
            known = DIFFERS if claim.why else UNEXPLAINED
            assert judged(claim, {"value": right + off})["verdict"] == known
            assert judged(claim, {"value": math.nan})["verdict"] == known
        elif isinstance(claim, Bound):
            side = 1 if claim.upper else -1
            assert judged(claim, {"value": claim.value})["verdict"] == AGREES
            known = DIFFERS if claim.why else UNEXPLAINED
            assert judged(claim, {"value": claim.value + side * 1e-3})["verdict"] == known
            assert judged(claim, {"value": math.nan})["verdict"] == known


def test_probabilities_are_judged_by_their_interval():
    claim = BY_NAME["Shin & Karniadakis 2019, r = 1"]
    n = 100_000
    error = math.sqrt(0.25 * 0.75 / n)
    for standard_errors, verdict in ((3.2, AGREES), (3.4, UNEXPLAINED), (-3.4, UNEXPLAINED)):
        count = round(n * (0.25 + standard_errors * error))
        row = judged(claim, {"count": count, "n": n})
        assert row["verdict"] == verdict
        assert row["standard_errors"] == pytest.approx(standard_errors, abs=0.01)
    never = BY_NAME["Cheridito et al. 2022, living"]
    assert isinstance(never, Chance)
    assert judged(never, {"count": 0, "n": 2000})["verdict"] == AGREES
    assert judged(never, {"count": 1, "n": 2000})["verdict"] == UNEXPLAINED


def test_estimates_are_judged_by_their_interval():
    claim = BY_NAME["Liang & Montufar 2025, fractal"]
    for standard_errors, verdict in ((3.2, AGREES), (3.4, UNEXPLAINED), (-3.4, UNEXPLAINED)):
        ours = {"value": 1.249 + standard_errors * 0.016, "standard_error": 0.016}
        row = judged(claim, ours)
        assert row["verdict"] == verdict
        assert row["standard_errors"] == pytest.approx(standard_errors)
    assert judged(claim, {"value": math.nan, "standard_error": 0.016})["verdict"] == UNEXPLAINED
    # A smooth border is told from it.
    dimension, error = measures.boundary_dimension(0.2)
    assert (dimension - 1) / error > 10
    assert 0.01 < error < 0.02


def test_the_cubic_map_is_bounded_up_to_2():
    """u -> u^3 + (k - 2) u^2 + (1 - 2k) u of u = k(r - 1), in plain Python."""

    def end(k, r):
        u = k * (r - 1)
        for _ in range(300):
            u = u**3 + (k - 2) * u * u + (1 - 2 * k) * u
            if abs(u) > 1e3:
                return "diverges"
        return "stays"

    for k, ends in ((1.99, {"stays"}), (2.01, {"diverges"})):
        assert {end(k, (1 + k) / (3 * k))} == ends
    assert measures.bounded_up_to() == pytest.approx(2, rel=1e-12)
    # The largest next prediction is 4(1 + k)^3/(27k); A is 0 after (1 + k)/k.
    assert measures.lives_up_to() == pytest.approx(1.5 * math.sqrt(3) - 1, rel=1e-12)


def test_only_the_smaller_side_is_below_the_edge_at_a_kink():
    edge = measures.edge_at_a_kink()
    assert 1.99 < edge <= 2


def test_units_die_more_with_small_targets_and_momentum_together():
    assert measures.dying_more(0.01, measures.MOMENTUM) < 0  # than with the same
    assert measures.dying_more(1, measures.MOMENTUM) > 0.4
    assert measures.dying_more(0.01, 0) > 0.4


def test_steps_change_the_balance_only_in_the_second_order():
    assert abs(measures.drift_of_the_balance()) < 1e-10


def test_only_runs_among_those_meant_are_counted():
    claim = BY_NAME["Cheridito et al. 2022, living"]
    runs = pd.DataFrame(
        {
            "unit": ["alive", "alive", "died", "alive"],
            "outcome": ["converged", "converged", "converged", "unfinished"],
            "excess_loss": [0, 1, 1, 1],
        }
    )
    assert claim.event(runs[claim.among(runs)]).tolist() == [False, True]


def test_the_bound_on_flow_sharpness_ends_where_it_should():
    """A step of (rate q residual)^2 above 2 makes it rise."""
    start = measures.networks([2.0], [2.5])
    e = (measures.relative(start) - 1) * measures.TARGET
    for kappa, rises in ((1.35, False), (1.45, True)):
        a, v = 2.0, 2.5
        eta = kappa / (measures.Q * float(e[0]))
        step = eta * measures.Q * float(e[0])
        assert (abs((a - step * v) ** 2 - (v - step * a) ** 2) > abs(a * a - v * v)) == rises
    assert measures.flow_sharpness_ratio() <= 1


def test_steps_of_adam_are_longer_where_gradients_grow():
    """Up to the bound of Cauchy and Schwarz for any gradients; the paper's is not for these."""
    beta1, beta2 = 0.9, 0.98

    def last_step(gradients):
        m = s = 0.0
        for g in gradients:
            m, s = beta1 * m + (1 - beta1) * g, beta2 * s + (1 - beta2) * g * g
        t = len(gradients)
        return m / (1 - beta1**t) / math.sqrt(s / (1 - beta2**t))

    any_gradients = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    assert last_step([1.0] * 60) == pytest.approx(1, rel=1e-12)
    assert last_step([1.05**t for t in range(60)]) > 1.2
    assert last_step([(beta2 / beta1) ** t for t in range(200)]) < any_gradients
    assert 1 < measures.longest_adam_step(beta1, beta2) < any_gradients


def test_stability_by_the_roots_of_the_recurrence():
    """Of z^2 - (1 + beta - q)z + beta and its like, by polynomials and not by training."""

    def edge(recurrence):
        def holds(grid):
            return np.array([max(abs(np.roots(recurrence(q)))) < 1 for q in grid])

        return measures.threshold(holds, 0.1, 50, 8)

    b = 0.9
    for name, recurrence in (
        ("Cohen et al. 2021, heavy ball", lambda q: [1, q - 1 - b, b]),
        ("Cohen et al. 2021, Nesterov", lambda q: [1, -(1 + b) * (1 - q), b * (1 - q)]),
        ("Cohen et al. 2022, Adam", lambda q: [1, (1 - b) * q - 1 - b, b]),
    ):
        assert BY_NAME[name].value == pytest.approx(edge(recurrence), rel=1e-8), name
    critical = BY_NAME["Goh 2017, critical"].value
    for momentum, swings in ((critical - 1e-3, False), (critical + 1e-3, True)):
        roots = np.roots([1, measures.GOH_RATE - 1 - momentum, momentum])
        assert np.iscomplexobj(roots) == swings


def test_a_unit_without_slope_does_not_learn_what_a_leaky_one_does():
    """Born dead is half of them, and arctan(1)/(2 pi) = 1/8 dies at a small rate."""
    claim = BY_NAME["Maas et al. 2013"]

    def unlearned(**changes):
        runs = replace(claim.sweep, **changes).run()
        return claim.event(runs.assign(excess_loss=runs["loss"])).mean()

    n = 2000
    assert unlearned(draws=200) == 0
    without = unlearned(draws=n, negative_slope=0, learning_rate=0.01)
    assert without == pytest.approx(5 / 8, abs=4 * math.sqrt(15 / 64 / n))


def test_chaos_is_told_from_order():
    assert measures.lyapunov(1.5) > 0.3
    assert measures.lyapunov(1.1) < 0


@pytest.mark.parametrize(
    ("number", "digits", "half"),
    [
        ("0.50807", 5, 5e-6),
        ("-4.00000e+00", 6, 5e-6),
        ("7.93e+04", 3, 50),
        ("5.69997e-11", 6, 5e-17),
        ("0.000025", 2, 5e-7),
        ("0.0", 1, 0.05),
        ("120.00", 5, 0.005),
    ],
)
def test_digits_of_a_printed_number(number, digits, half):
    assert digits_of(number) == digits
    assert half_unit(number) == pytest.approx(half, rel=1e-12)


def test_digits_in_common():
    assert common_digits(1.0, 1.0) == 15
    assert common_digits(1.001, 1.0) == pytest.approx(3)
    assert common_digits(-1.0, 1.0) == 0
    assert common_digits(1e-4, 0.0) == pytest.approx(4)
    assert common_digits(math.nan, 1.0) == 0


def test_the_figure_shows_what_is_unexplained(tmp_path):
    rows = [
        ("a", "printed", 5.0, 5.0, np.nan, "5 of 5 digits", AGREES),
        ("b", "printed", 5.0, 1.0, np.nan, "1 of 5 digits", UNEXPLAINED),
        ("c", "bound", np.nan, np.nan, np.nan, "is broken", DIFFERS),
        ("d", "chance", np.nan, np.nan, 40.0, "+40 standard errors", UNEXPLAINED),
    ]
    columns = ["row", "kind", "digits", "common", "standard_errors", "agreement", "verdict"]
    with figures.style():
        ax = agreement(pd.DataFrame(rows, columns=columns))
        assert "(1 of 4 rows agree)" in ax.figure.get_suptitle()
        words = [text.get_text() for text in figures.legend_of(ax).get_texts()]
        assert "ours differs, unexplained" in words
        assert [text.get_text() for text in ax.texts] == ["bound is broken"]
        figures.save(ax, tmp_path / "figure.png")


def test_every_claim_names_its_source_and_setting():
    assert len(BY_NAME) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.source
        assert claim.setting
        # "The same" as which row is said.
        if "the same" in claim.setting:
            assert any(f"the same as {name}" in claim.setting for name in BY_NAME)
        assert isinstance(claim, Printed | Exact | Estimate | Chance | Bound)
