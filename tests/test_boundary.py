"""How ragged borders are: on sets of known dimension, against closed forms, to the last bit."""

import doctest
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import relulab as rl
from relulab import boundary, theory
from relulab.boundary import pairs as pairs_module

# Starts are labelled by where they are, so nothing need be trained, nor followed any further.
PLANE = rl.Sweep(
    data=rl.TrainingSet.point(1, 3), learning_rate=0.3, max_steps=0, divergence_loss=1e-300
)
TRAINED = rl.Sweep(data=rl.TrainingSet.point(1, 3), learning_rate=0.3)
SQUARE = {"w": (0.0, 1.0), "v": (0.0, 1.0)}
Z = 4.5  # standard errors


def label(function):
    """Return a fate that is a function of w0 and v0."""
    return lambda runs: function(runs["w0"].to_numpy(), runs["v0"].to_numpy())


def circle(w, v):
    return w**2 + v**2 < 0.5


def cantor(w, v):
    """Return whether the gap of Cantor's set that has w, repeated, was cut at an even level.

    Its border is Cantor's set times a line.
    """
    level, w = np.zeros(w.size, int), w % 1
    for depth in range(1, 30):
        digit, w = np.floor(3 * w), 3 * w % 1
        level = np.where((level == 0) & (digit == 1), depth, level)
    return level % 2 == 0


HEIGHT = math.sqrt(3) / 6
TURN = np.array([[0.5, HEIGHT * 3], [-HEIGHT * 3, 0.5]])  # by -60 degrees


def koch(w, v):
    """Return what is above Koch's curve over [0, 1]; a level at a time, in the frame of a part."""
    above, open_ = v > 0, np.ones(w.size, bool)
    p = np.stack([w, v])
    for _ in range(25):
        p[0] = np.minimum(p[0], 1 - p[0])  # the curve is its own mirror image
        x, y = p
        # The curve is inside a triangle of this height.
        open_ &= (y > 0) & (y < 2 * HEIGHT * x)
        under = open_ & (y < 6 * HEIGHT * (x - 1 / 3))
        above, open_ = np.where(under, False, above), open_ & ~under
        flat = 3 * p
        steep = TURN @ (3 * (p - [[1 / 3], [0]]))
        in_flat = flat[1] < 2 * HEIGHT * np.minimum(flat[0], 1 - flat[0])
        p = np.where(in_flat, flat, steep)
    return above


def newton(w, v):
    """Return which root of z**3 = 1 Newton's method finds: basins with one common border."""
    z = w + 1j * v
    with np.errstate(all="ignore"):
        for _ in range(40):
            z = z - (z**3 - 1) / (3 * z**2)
    return np.rint(np.angle(z) * 3 / (2 * np.pi)).astype(int)


def grid(function, low, high, n):
    """Return a map of labels, in random order."""
    w, v = np.meshgrid(np.linspace(low, high, n), np.linspace(low, high, n))
    table = pd.DataFrame({"w0": w.ravel(), "v0": v.ravel()})
    return table.assign(label=label(function)(table)).sample(frac=1, random_state=0)


def by_label(runs):
    return runs["label"]


# Uncertain pairs and the dimension

# At these scales the sets look the same, so that slopes agree; but for the ends of Cantor's set,
# which are a smaller part of smaller scales.
THIRDS = 3.0 ** -np.arange(3, 9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "expected", "scales", "n_pairs"),
    [
        (lambda w, v: w > 0.4, 1, THIRDS, 100_000),
        (circle, 1, THIRDS, 100_000),
        (cantor, 1 + math.log(2) / math.log(3), THIRDS / 3**5, 60_000),
        (koch, math.log(4) / math.log(3), THIRDS, 80_000),
    ],
    ids=["line", "circle", "Cantor times line", "Koch"],
)
def test_sets_of_known_dimension(function, expected, scales, n_pairs):
    table = boundary.uncertain_pairs(PLANE, SQUARE, scales, n_pairs, fate=label(function))
    found = boundary.dimension(table)
    error = (found.high - found.low) / (2 * 1.96)
    assert 0 < error < 0.02
    assert abs(found.dimension - expected) < Z * error
    assert found.slopes_agree
    slopes = table[table["local_slope"].notna()]
    assert len(slopes) == len(THIRDS) - 1
    reach = (slopes["slope_high"] - slopes["slope_low"]) / (2 * 1.96)
    assert (abs(slopes["local_slope"] - (2 - expected)) < Z * reach).all()


def test_a_border_of_one_axis_is_points_and_of_three_a_surface():
    one = boundary.uncertain_pairs(
        PLANE, {"w": (0, 1)}, [0.1, 0.03, 0.01], 40_000, fate=lambda runs: runs["w0"] > 0.3
    )
    # On a line a pair is different exactly if the border is between its ends.
    assert (abs(one["fraction"] - one["scale"]) < Z * np.sqrt(one["scale"] / 40_000)).all()
    assert (one["n_axes"] == 1).all()
    ball = boundary.uncertain_pairs(
        PLANE, {"w": (-1, 1), "v": (-1, 1), "b": (-1, 1)}, [0.1, 0.05, 0.02], 40_000,
        fate=lambda runs: runs["w0"] ** 2 + runs["v0"] ** 2 + runs["b0"] ** 2 < 0.5,
    )  # fmt: skip
    found = boundary.dimension(ball)
    assert found.low - 0.1 < 2 < found.high + 0.1
    assert abs(found.dimension - 2) < Z * (found.high - found.low) / 3.92


def test_settings_can_be_axes_too():
    """A closed form: at w = v = 1, b = c = 0 the unit dies in a step exactly where η > 1/6."""
    sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=1, v=-1, learning_rate=0.1, max_steps=1)
    table = boundary.uncertain_pairs(
        sweep, {"learning_rate": (0.1, 0.3)}, [0.05], 20_000, fate=lambda runs: runs["unit"]
    )
    # e = v*w - 3 = -4, so the first step kills where rate * 2 * v * e >= 1: rate >= 1/8.
    edge = boundary.bisect(sweep, {"learning_rate": 0.1}, {"learning_rate": 0.3})
    assert abs(edge["learning_rate_a"][0] - 1 / 8) < 1e-15
    # Of pairs on [.1, .3] that straddle .125: those to its left within reach are cut short at .1.
    fraction = table["fraction"][0]
    expected = (0.05 / 2 + 0.025 / 2) / 0.2
    assert abs(fraction - expected) < Z * math.sqrt(expected / 20_000)


NULL = {"w": (-1, 5), "v": (-4, 4)}


def test_the_smooth_border_of_death_in_one_step_has_dimension_1():
    def closed_form(runs):
        return theory.dies_in_one_step(runs["w0"], 0.0, runs["v0"], 0.0, 1.0, 3.0, 0.3)

    how = {"box": NULL, "scales": [0.1, 0.03, 0.01, 0.003], "n_pairs": 60_000, "seed": 2}
    expected = boundary.uncertain_pairs(PLANE, **how, fate=closed_form)
    one_step = rl.Sweep(data=rl.TrainingSet.point(1, 3), learning_rate=0.3, max_steps=1)
    found = boundary.uncertain_pairs(one_step, **how, fate=lambda runs: runs["unit"] == "died")
    pd.testing.assert_frame_equal(found, expected)
    null = boundary.dimension(expected)
    assert abs(null.dimension - 1) < Z * (null.high - null.low) / 3.92
    assert null.slopes_agree
    assert "do not agree" not in repr(null)


def test_the_coast_of_the_island_is_more_than_smooth():
    table = boundary.uncertain_pairs(TRAINED, NULL, [0.1, 0.01, 0.001], 100_000)
    assert boundary.dimension(table).low > 1.05


def seen_pairs(monkeypatch, n_pairs, scales=(0.1, 0.01), seed=0):
    """Return the table, and the pairs of each scale, shape (n_pairs, 2, n_axes)."""
    monkeypatch.setattr(pairs_module, "PAIRS_PER_BLOCK", 1000)
    seen: list = []

    def look(runs):
        seen.append(runs[["w0", "v0"]].to_numpy().reshape(2, -1, 2).swapaxes(0, 1))
        return circle(runs["w0"], runs["v0"])

    table = boundary.uncertain_pairs(PLANE, SQUARE, scales, n_pairs, seed, fate=look)
    return table, np.concatenate(seen).reshape(len(scales), n_pairs, 2, 2)


def test_pairs_are_counted_and_uniform_at_their_distance(monkeypatch):
    table, found = seen_pairs(monkeypatch, 5_500)
    for scale, pairs, row in zip((0.1, 0.01), found, table.itertuples(), strict=True):
        ends = circle(pairs[..., 0], pairs[..., 1])
        assert row.n_different == np.count_nonzero(ends[:, 0] != ends[:, 1]) > 0
        apart = pairs[:, 1] - pairs[:, 0]
        np.testing.assert_allclose(np.hypot(*apart.T), scale, rtol=1e-10)
        # Means of first points, of directions and of their squares.
        error = 1 / math.sqrt(5_500)
        np.testing.assert_allclose(pairs[:, 0].mean(0), 0.5, atol=Z * math.sqrt(1 / 12) * error)
        np.testing.assert_allclose(apart.mean(0) / scale, 0, atol=Z * math.sqrt(1 / 2) * error)
        squares = (apart / scale) ** 2
        np.testing.assert_allclose(squares.mean(0), 0.5, atol=Z * math.sqrt(1 / 8) * error)
    low, high = rl.statistics.wilson_interval(table["n_different"], 5_500)
    np.testing.assert_array_equal(table[["low", "high"]], np.transpose([low, high]))


def test_more_pairs_are_added_and_scales_and_seeds_are_independent(monkeypatch):
    _, few = seen_pairs(monkeypatch, 1_500)
    _, more = seen_pairs(monkeypatch, 3_500)
    np.testing.assert_array_equal(few, more[:, :1_500])
    _, again = seen_pairs(monkeypatch, 1_500)
    np.testing.assert_array_equal(few, again)
    _, other = seen_pairs(monkeypatch, 1_500, seed=1)
    firsts = [few[0, :, 0], few[1, :, 0], other[0, :, 0], other[1, :, 0]]
    assert np.unique(np.concatenate(firsts), axis=0).shape == (6_000, 2)


def test_a_local_slope_goes_to_the_next_larger_scale_in_any_order():
    scales = [0.01, 0.1, 0.03]
    table = boundary.uncertain_pairs(PLANE, SQUARE, scales, 5_000, fate=label(circle))
    assert table["scale"].tolist() == scales
    f = dict(zip(scales, table["fraction"], strict=True))
    expected = [math.log(f[0.03] / f[0.01]) / math.log(3), np.nan,
                math.log(f[0.1] / f[0.03]) / math.log(10 / 3)]  # fmt: skip
    np.testing.assert_allclose(table["local_slope"], expected)
    none = boundary.uncertain_pairs(PLANE, SQUARE, scales, 10, fate=lambda runs: runs["c0"])
    assert none["local_slope"].isna().all()
    assert (none["fraction"] == 0).all()


def counts(alpha, bend, n_pairs, random):
    """Draw a table of pairs whose fractions follow 0.5*scale^alpha, bent or not."""
    scale = np.geomspace(1e-3, 0.1, 7)
    log = np.log(scale)
    fraction = 0.5 * np.exp(alpha * log + bend * (log - log.mean()) ** 2)
    return pd.DataFrame({"scale": scale, "n_axes": 2, "n_pairs": n_pairs,
                         "n_different": random.binomial(n_pairs, fraction)})  # fmt: skip


def test_intervals_cover_as_often_as_they_say():
    random = np.random.default_rng(5)
    n = 250
    found = [
        boundary.dimension(counts(0.8, 0, 20_000, random), n_bootstrap=200, seed=i)
        for i in range(n)
    ]
    covered = np.mean([d.low <= 1.2 <= d.high for d in found])
    # 200 draws leave the ends of an interval an error of their own: a percent.
    assert abs(covered - 0.95) < Z * math.sqrt(0.05 * 0.95 / n) + 0.01
    # As do p-values: below 0.01 in one of a hundred.
    alarms = np.mean([not d.slopes_agree for d in found])
    assert alarms < 0.01 + Z * math.sqrt(0.01 / n)
    small = np.mean([d.p_value < 0.5 for d in found])
    assert abs(small - 0.5) < Z * math.sqrt(0.25 / n) + 0.01


def test_slopes_that_do_not_agree_are_told():
    bent = boundary.dimension(counts(0.8, 0.03, 100_000, np.random.default_rng(0)))
    assert not bent.slopes_agree
    assert repr(bent).endswith("; local slopes do not agree: no single power law)")


def test_the_fit_is_the_likeliest_line():
    """Of few counts, where least squares of logarithms would be another one; by brute force."""
    table = pd.DataFrame(
        {"scale": [0.1, 0.03, 0.01, 0.003], "n_axes": 2, "n_pairs": 1000,
         "n_different": [60, 25, 4, 0]}
    )  # fmt: skip
    found = boundary.dimension(table, n_bootstrap=10)
    a, alpha = np.meshgrid(np.linspace(-2, 2, 801), np.linspace(0.5, 2, 601))
    likelihood = np.zeros(a.shape)
    for row in table.itertuples():
        p = np.minimum(np.exp(a + alpha * math.log(row.scale)), 1 - 1e-12)
        likelihood += row.n_different * np.log(p) + (1000 - row.n_different) * np.log(1 - p)
    best = alpha.ravel()[likelihood.argmax()]
    assert abs(found.dimension - (2 - best)) < 0.005


def test_dimensions_depend_on_the_seed_alone_and_few_counts_are_no_matter():
    table = counts(0.8, 0, 2_000, np.random.default_rng(1))
    assert boundary.dimension(table) == boundary.dimension(table)
    assert boundary.dimension(table, seed=1) != boundary.dimension(table)
    few = table.assign(n_different=[0, 0, 0, 0, 0, 1, 2])
    assert np.isfinite(boundary.dimension(few).low)
    whole = table.assign(n_different=[1, 2, 3, 4, 1998, 1999, 2000])
    assert np.isfinite(boundary.dimension(whole).high)


# Edges


def test_thousands_of_edges_between_adjacent_floats():
    random = np.random.default_rng(0)
    inside, outside = 0.4 * random.random((2, 2, 3_000)) + [[[0]], [[0.6]]]
    a, b = ({"w": p[0], "v": p[1]} for p in (inside, outside))
    edges = boundary.bisect(PLANE, a, b, label(circle))
    assert edges["edge"].all()
    ends = [edges[[f"w_{i}", f"v_{i}"]].to_numpy() for i in "ab"]
    assert circle(*ends[0].T).all()
    assert not circle(*ends[1].T).any()
    # Neither coordinate can be halved further, and the ends lie on the segment.
    assert (abs(ends[1] - ends[0]) <= 2 * np.spacing(np.maximum(*ends))).all()
    middle = ends[0] + (ends[1] - ends[0]) / 2
    assert ((middle == ends[0]).all(1) | (middle == ends[1]).all(1)).all()
    whole, part = (outside - inside).T, ends[0] - inside.T
    assert (abs(whole[:, 0] * part[:, 1] - whole[:, 1] * part[:, 0]) < 1e-14).all()
    assert edges["steps"].between(45, 70).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_edge_is_found_to_the_bit(dtype):
    """A unit with b = -1 at x = 1 is born alive at every w > 1."""
    sweep = replace(PLANE, b=-1.0, dtype=dtype)
    above = float(np.nextafter(np.dtype(dtype).type(1), np.dtype(dtype).type(2)))
    edges = boundary.bisect(sweep, {"w": [2, -1e30, 3]}, {"w": [-3, 2.5, 1]})
    assert sorted({*edges["w_a"], *edges["w_b"]}) == [1, above]
    third = float(np.dtype(dtype).type(1 / 3))
    [edge] = boundary.bisect(
        sweep, {"w": 0.1}, {"w": 5}, lambda runs: runs["w0"] > third
    ).itertuples()
    assert (edge.w_a, edge.fate_a, edge.fate_b) == (third, False, True)
    assert edge.w_b == np.nextafter(np.dtype(dtype).type(third), np.dtype(dtype).type(1))


def test_zero_has_the_smallest_number_beside_it():
    sweep = replace(PLANE, dtype="float32")  # of which there are 150 halvings from 1
    [edge] = boundary.bisect(sweep, {"w": 1}, {"w": -3}).itertuples()
    assert (edge.w_a, edge.w_b) == (np.finfo("float32").smallest_subnormal, 0)


def test_the_largest_numbers_have_edges_too():
    fate = lambda runs: runs["w0"] > 1e300  # noqa: E731
    edges = boundary.bisect(PLANE, {"w": -1.7e308}, {"w": 1.7e308}, fate)
    assert (edges["w_a"][0], edges["w_b"][0]) == (1e300, np.nextafter(1e300, 2e300))


def test_an_edge_between_trained_fates_is_one(monkeypatch):
    a = {"w": np.full(200, 1.2), "v": 1.0}
    b = pd.DataFrame({"v": np.linspace(4, -4, 200), "w": np.linspace(-1, 5, 200)})
    edges = boundary.bisect(TRAINED, a, b)
    assert edges["fate_a"].eq("converged, alive").all()
    assert set(edges["fate_b"]) >= {"converged, alive", "converged, died"}
    again = [TRAINED.train_at({"w": edges[f"w_{end}"], "v": edges[f"v_{end}"]}) for end in "ab"]
    for end, runs in zip("ab", again, strict=True):
        words = runs["outcome"].astype(str) + ", " + runs["unit"].astype(str)
        assert (words == edges[f"fate_{end}"]).all()
    # What is no edge stays as it was given.
    same = edges[~edges["edge"]]
    assert len(same) > 3
    assert (same["steps"] == 0).all()
    assert (same["fate_a"] == same["fate_b"]).all()
    np.testing.assert_array_equal(same[["w_b", "v_b"]], b.loc[same.index, ["w", "v"]])
    # One by one as all at once, also where they are trained in parts.
    monkeypatch.setattr("relulab.boundary.points.RUNS_AT_ONCE", 150)
    pd.testing.assert_frame_equal(boundary.bisect(TRAINED, a, b), edges)


def test_a_third_fate_may_become_the_end():
    stripes = label(lambda w, v: np.where(w < 0.2, "left", np.where(w < 0.6, "in the middle", "r")))
    [edge] = boundary.bisect(PLANE, {"w": 0.0}, {"w": 1.0}, stripes).itertuples()
    assert (edge.fate_a, edge.fate_b, edge.w_b) == ("left", "in the middle", 0.2)


def test_the_distance_to_a_line_and_a_circle():
    starts = {"w": [0.0, 0.3, -2.0], "v": [0.1, 0.2, 0.3]}
    line = boundary.distance_to_other_fate(PLANE, starts, 4, 64, fate=lambda r: r["w0"] > 0.5)
    true = np.array([0.5, 0.2, 2.5])
    assert (line["distance"] >= true * (1 - 1e-12)).all()
    assert (line["distance"] <= true / math.cos(math.pi / 64) * (1 + 1e-5)).all()
    assert (line["w_other"] > 0.5).all()
    assert line["other_fate"].tolist() == [True] * 3
    apart = np.hypot(line["w_other"] - line["w"], line["v_other"] - line["v"])
    np.testing.assert_allclose(line["distance"], apart)
    far = boundary.distance_to_other_fate(PLANE, starts, 0.4, fate=lambda r: r["w0"] > 0.5)
    assert far["distance"].notna().tolist() == [False, True, False]
    assert far["other_fate"].isna().tolist() == [True, False, True]
    middle = boundary.distance_to_other_fate(PLANE, {"w": 0, "v": 0}, 1, 3, fate=label(circle))
    assert middle["distance"][0] == pytest.approx(math.sqrt(0.5), rel=1e-5)


def test_distances_in_one_and_three_dimensions():
    one = boundary.distance_to_other_fate(
        PLANE, {"w": [0.2, 0.7]}, 1, fate=lambda runs: runs["w0"] > 0.5
    )
    np.testing.assert_allclose(one["distance"], [0.3, 0.2], rtol=1e-5)
    assert one["w_other"][1] <= 0.5
    ball = lambda runs: runs["w0"] ** 2 + runs["v0"] ** 2 + runs["b0"] ** 2 < 1  # noqa: E731
    how = {"starts": {"w": 0, "v": 0, "b": 0.5}, "reach": 2, "fate": ball}
    few, many = (boundary.distance_to_other_fate(PLANE, **how, n_directions=n) for n in (4, 400))
    assert 0.5 <= many["distance"][0] < 0.505 < few["distance"][0]


# Basins


def test_the_entropy_of_half_a_plane_is_its_closed_form():
    """A border on the second column of each box: a quarter of its cells on one side."""
    runs = grid(lambda w, v: w < 20.5, 0, 39, 40)
    found = boundary.basin_entropy(runs, "w0", "v0", 4, by_label)
    quarter = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert found.boundary_entropy == pytest.approx(quarter)
    assert found.entropy == pytest.approx(quarter / 10)
    assert (found.n_boxes, found.n_boundary_boxes) == (100, 10)
    assert not found.above_log_2
    # Cells that fill no box are left out: here those of the border.
    assert boundary.basin_entropy(grid(lambda w, v: w < 38.5, 0, 39, 40), "w0", "v0", 39,
                                  by_label).n_boundary_boxes == 0  # fmt: skip
    assert math.isnan(
        boundary.basin_entropy(runs, "w0", "v0", 4, lambda runs: runs["w0"] > 99).boundary_entropy
    )


def test_the_entropy_of_a_smooth_border_is_that_of_random_lines():
    random = np.random.default_rng(0)
    place = np.arange(5) - 2.0
    x, y = np.meshgrid(place, place)
    angle, offset = 2 * np.pi * random.random(40_000), 3 * random.random(40_000)
    side = np.cos(angle) * x.reshape(-1, 1) + np.sin(angle) * y.reshape(-1, 1) < offset
    p = side.mean(0)
    p = p[(p > 0) & (p < 1)]
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    error = entropy.std() / math.sqrt(p.size)
    assert abs(boundary.smooth_entropy(5) - entropy.mean()) < Z * error + 1e-3
    # A large circle has a smooth border.
    runs = grid(circle, -1, 1, 600)
    found = boundary.basin_entropy(runs, "w0", "v0", 5, by_label)
    assert found.smooth == boundary.smooth_entropy(5)
    assert abs(found.boundary_entropy - found.smooth) < 0.02


def test_the_log_2_criterion():
    noise = np.random.default_rng(0).integers(3, size=100)
    runs = grid(lambda w, v: w, 0, 9, 10).sort_index().assign(label=noise)
    found = boundary.basin_entropy(runs, "w0", "v0", 5, by_label)
    assert found.above_log_2
    assert math.log(2) < found.boundary_entropy <= math.log(3)
    assert "above log 2" in repr(found)
    assert "not above" not in repr(found)


def test_newtons_basins_are_wada_and_stripes_and_sectors_are_not():
    radii = (1, 2, 4, 8)
    fractal = boundary.wada(grid(newton, -0.4, 0.4, 200), "w0", "v0", radii, by_label)
    assert fractal["fraction"].is_monotonic_increasing
    assert fractal["fraction"].iloc[-1] > 0.99
    sectors = grid(lambda w, v: np.rint(np.arctan2(v, w) * 3 / (2 * np.pi)), -1, 1, 200)
    apart = boundary.wada(sectors, "w0", "v0", radii, by_label)
    assert 0 < apart["fraction"].iloc[0] < 0.03
    assert apart["fraction"].iloc[-1] < 0.1
    stripes = boundary.wada(grid(lambda w, v: w // 20, 0, 59, 60), "w0", "v0", radii, by_label)
    assert (stripes["fraction"] == 0).all()
    assert (stripes["n_border"] == 240).all()


def test_what_is_near_is_near_by_brute_force():
    random = np.random.default_rng(3)
    labels = random.integers(3, size=(9, 12))
    labels[:, :7] = 0
    y, x = np.indices(labels.shape)
    runs = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "label": labels.ravel()})
    table = boundary.wada(runs, "x", "y", range(4), by_label)

    def border(inside):
        return {
            (i, j)
            for i, j in np.ndindex(inside.shape)
            for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1))
            if 0 <= a < 9 and 0 <= b < 12 and inside[a, b] != inside[i, j]
        }

    borders = [border(labels == k) for k in range(3)]
    for row in table.itertuples():
        near = [
            all(any(max(abs(i - a), abs(j - b)) <= row.radius for a, b in s) for s in borders)
            for i, j in set.union(*borders)
        ]
        assert (row.n_border, row.n_near_all) == (len(near), sum(near))


# Mistakes


def refusals():
    """Yield the beginning of a message with what it is the answer to."""
    both = {"w": (0, 1), "v": (0, 1)}
    grown = rl.Sweep(data=rl.TrainingSet.point(1, 3), b=[0, 1], learning_rate=0.1, max_steps=0)
    pairs = boundary.uncertain_pairs
    yield "box: expected ranges by name", lambda: pairs(PLANE, {}, [0.1], 5)
    yield "box: expected one of w, b, v, c", lambda: pairs(PLANE, {"w0": (0, 1)}, [0.1], 5)
    yield r"box: expected \(low, high\) for w", lambda: pairs(PLANE, {"w": (1, 0)}, [0.1], 5)
    yield (
        "box: expected values that can be trained, got learning_rate",
        lambda: pairs(PLANE, {"learning_rate": (-1, 1)}, [0.1], 5),
    )
    yield (
        "sweep: expected a number for b, which is not in box",
        lambda: pairs(grown, both, [0.1], 5),
    )
    yield "scales: expected numbers >= 2.2e-13", lambda: pairs(PLANE, both, [1e-14], 5)
    yield "scales: expected distinct", lambda: pairs(PLANE, both, [0.1, 0.1], 5)
    yield (
        "scales: expected values that can be trained, got learning_rate",
        lambda: pairs(PLANE, {"learning_rate": (0, 1)}, [0.1], 5),
    )
    yield "n_pairs: expected a whole number >= 1", lambda: pairs(PLANE, both, [0.1], 0)
    yield "seed: expected a whole number >= 0", lambda: pairs(PLANE, both, [0.1], 5, seed=-1)
    yield "fate: expected a function", lambda: pairs(PLANE, both, [0.1], 5, fate="unit")
    yield (
        "fate: expected one label for each of 10 runs",
        lambda: pairs(PLANE, both, [0.1], 5, fate=lambda runs: runs[["w0", "v0"]]),
    )
    yield (
        "fate: expected a label for each run, got a missing one",
        lambda: pairs(
            PLANE, both, [0.1], 5, fate=lambda runs: runs["death_step"].mask(runs["w0"] > 0.1)
        ),
    )
    yield (
        "fate: expected a function of a table of runs, got KeyError",
        lambda: pairs(PLANE, both, [0.1], 5, fate=lambda runs: runs["none"]),
    )
    table = counts(0.8, 0, 100_000, np.random.default_rng(0))
    yield "pairs: expected the columns", lambda: boundary.dimension(table.drop(columns="n_axes"))
    yield "pairs: expected different fates at two scales", lambda: boundary.dimension(table[:1])
    yield "b: expected the names of a", lambda: boundary.bisect(PLANE, {"w": 1}, {"v": 1})
    yield (
        "b: expected as many starts",
        lambda: boundary.bisect(PLANE, {"w": [1, 2]}, {"w": [1, 2, 3]}),
    )
    runs = grid(circle, -1, 1, 10)
    yield (
        "runs: expected one run for each w0 and v0 of a grid",
        lambda: boundary.basin_entropy(runs[1:], "w0", "v0", 2, by_label),
    )
    yield (
        "box_size: expected at most 10",
        lambda: boundary.basin_entropy(runs, "w0", "v0", 11, by_label),
    )
    yield "runs: expected three fates", lambda: boundary.wada(runs, "w0", "v0", fate=by_label)
    yield (
        "reach: expected a finite number > 0",
        lambda: boundary.distance_to_other_fate(PLANE, {"w": 1}, 0),
    )


REFUSALS = dict(refusals())


@pytest.mark.parametrize("start", REFUSALS)
def test_mistakes_are_told_in_a_line(start):
    with pytest.raises(rl.InputError, match=f"^{start}"):
        REFUSALS[start]()


@pytest.mark.parametrize("name", boundary.__all__)
def test_examples_are_right(name):
    for example in doctest.DocTestFinder(recurse=False).find(getattr(boundary, name), name):
        assert doctest.DocTestRunner().run(example).failed == 0
