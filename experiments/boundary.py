"""Is the boundary between training and dying fractal, and at which rates?

One sample (x=1, target=3), b = c = 0, the plane of starts (w0, v0): the starts whose unit lives
form an island, whose boundary (its coast) is ragged at some rates. It is examined in three ways:

- Pairs of starts at some distance: how often does one train and the other die? If the fraction
  falls like distance^alpha, the boundary has dimension 2 - alpha. For comparison, the same is done
  for a smooth boundary, that of death in one step, which has a closed form.
- Zooms at η = 0.3, from the island down to the spacing of floats. Each frame is around a point of
  the boundary in the frame before: thousands of pairs are bisected to adjacent floats, and the
  frame is centered where dying takes longest.
- Maps of the fates on three samples, where three fates meet: their entropies, and whether they
  share one boundary.

There are two more maps: how far each start is from another fate, and the fates over the two
learning rates (hidden, output) of one start, after Sohl-Dickstein 2024 (arXiv 2402.06184). With
--map-size 4096, that map has 17 million runs: on two cores, 1.6 minutes to train and 1.9 to draw,
in 6 GB of memory.
"""

import argparse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import relulab as rl
from relulab import boundary, figures, statistics, theory
from relulab.figures.style import Axes, root_of

X, TARGET = 1.0, 3.0
POINT = rl.TrainingSet.point(X, TARGET)
PLANE = {"w": (-1.0, 5.0), "v": (-4.0, 4.0)}

# Pairs of starts that are not born dead
RATES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8, 1.0)
BORN_ALIVE = {"w": (0.1, 5.0), "v": (-4.0, 4.0)}
SCALES = rl.geomspace(10**-1.5, 1e-5, 8)
COAST, NULL = "training or dying", "dying in one step (smooth)"
WHOLE = "any two fates, whole plane"
SHOWN = (0.1, 0.3, 0.5)
WHOLE_AT = (*SHOWN, 1.0)

# Zooms
RATE = 0.3
ISLAND = rl.Sweep(data=POINT, w=1.0, v=1.0, learning_rate=RATE)
N_FRAMES = 12
CELLS = 250
LAST_WIDTH = 1.1e-13  # of CELLS floats between 2 and 4
ZOOM = (LAST_WIDTH / (PLANE["w"][1] - PLANE["w"][0])) ** (1 / (N_FRAMES - 1))

THREE = rl.TrainingSet([-2, 1, 2], [1, -1, 3])
THREE_RATE = 0.5

# The fates over both learning rates, from a start chosen for its many boundaries.
MAP_RATES = (0.01, 100.0)
MAP_STEPS = 3000
MAP = rl.Sweep(
    data=THREE,
    w=1.0,
    b=1.0,
    v=-0.5,
    hidden_learning_rate=rl.geomspace(*MAP_RATES, 3),
    output_learning_rate=rl.geomspace(*MAP_RATES, 3),
    max_steps=MAP_STEPS,
)


def lives(runs: pd.DataFrame) -> Any:
    """Return which units are alive at the end."""
    return runs["unit"] == "alive"


def unit_of(runs: pd.DataFrame) -> Any:
    """Return what became of the units."""
    return runs["unit"]


def dies_at_once(rate: float, runs: pd.DataFrame) -> Any:
    """Return which units die in the first step, from the closed form."""
    return theory.dies_in_one_step(runs["w0"], 0.0, runs["v0"], 0.0, X, TARGET, rate)


def kind_of(runs: pd.DataFrame) -> Any:
    """Return which of three fates each run on three samples has."""
    dead = runs["unit"] != "alive"
    return np.select([dead, runs["outcome"] == "diverged"], ["dead", "diverged"], "lives on")


# Pairs


def pairs_of(options: argparse.Namespace) -> pd.DataFrame:
    """Return the pairs at all rates, for the boundary and for the smooth one."""
    n_pairs = options.pairs or (10_000 if options.quick else 600_000)
    rates = SHOWN if options.quick else RATES
    with ThreadPoolExecutor(options.jobs if options.jobs > 0 else None) as threads:
        return pd.concat(threads.map(partial(pairs_at, n_pairs), rates), ignore_index=True)


def pairs_at(n_pairs: int, rate: float) -> pd.DataFrame:
    """Return the pairs at one rate.

    In the whole plane, starts with w0 < 0 are born dead, and the line w0 = 0 is a boundary, too.
    """
    sweep = rl.Sweep(data=POINT, learning_rate=rate)
    # The closed form needs no training; these runs end at step 0.
    untrained = rl.Sweep(data=POINT, learning_rate=rate, max_steps=0, divergence_loss=1e-300)
    coast = boundary.uncertain_pairs(sweep, around_coast(sweep), SCALES, n_pairs, fate=lives)
    smooth = boundary.uncertain_pairs(
        untrained, BORN_ALIVE, SCALES, n_pairs, fate=partial(dies_at_once, rate)
    )
    tables = [coast.assign(border=COAST), smooth.assign(border=NULL)]
    if rate in WHOLE_AT:
        whole = boundary.uncertain_pairs(sweep, PLANE, SCALES, n_pairs, fate=unit_of)
        tables.append(whole.assign(border=WHOLE))
    return pd.concat(tables).assign(learning_rate=rate)


def around_coast(sweep: rl.Sweep) -> dict[str, tuple[float, float]]:
    """Return a box around the starts that live in a coarse map, so that few pairs are far away.

    If starts live at a side of the whole box, it ends at that side.
    """
    n = 200
    runs = sweep.zoom(n=n, **BORN_ALIVE).run()
    box = {}
    for name, (low, high) in BORN_ALIVE.items():
        values = runs.loc[lives(runs), f"{name}0"]
        margin = 3 * (high - low) / n
        box[name] = max(values.min() - margin, low), min(values.max() + margin, high)
    return box


def dimensions(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the dimension of each boundary at each rate."""
    rows = []
    for (border, rate), table in pairs.groupby(["border", "learning_rate"], sort=False):
        found = asdict(boundary.dimension(table))
        rows.append({"border": border, "learning_rate": rate, **found})
    return pd.DataFrame(rows)


def slopes(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the local slopes to draw: those with enough pairs."""
    known = pairs[pairs["slope_high"] - pairs["slope_low"] < 0.5]
    coast = known[(known["border"] == COAST) & known["learning_rate"].isin(SHOWN)]
    smooth = known[(known["border"] == NULL) & (known["learning_rate"] == RATE)]
    names = [f"η = {rate:g}" for rate in coast["learning_rate"]]
    return pd.concat([coast.assign(of=names), smooth.assign(of=f"smooth, η = {RATE:g}")])


def n_runs(pairs: pd.DataFrame) -> int:
    """Return how many networks were trained for pairs."""
    return 2 * int(pairs["n_pairs"].sum())


# Zooms


def frames(n_pairs: int) -> Iterator[rl.Sweep]:
    """Yield the sweeps of the frames, each around a point of the boundary in the one before."""
    random = np.random.default_rng(0)
    box = PLANE
    for _ in range(N_FRAMES):
        sweep = ISLAND.zoom(n=CELLS, **box)
        yield sweep
        low, high = np.transpose(list(box.values()))
        width = high - low
        # Not near the sides, so that the next frame is inside this one; and not born dead.
        starts = low + width * (0.1 + 0.8 * random.random((2, n_pairs, 2)))
        starts[..., 0] = np.maximum(starts[..., 0], BORN_ALIVE["w"][0])
        a, b = (dict(zip("wv", ends.T, strict=True)) for ends in starts)
        edges = boundary.bisect(ISLAND, a, b, lives)
        edges = edges[edges["edge"]]
        ends = {name: np.concatenate([edges[f"{name}_a"], edges[f"{name}_b"]]) for name in "wv"}
        slowest = ISLAND.train_at(ends)["death_step"].fillna(0).to_numpy().argmax()
        center = np.array([ends[name][slowest] for name in "wv"])
        half = ZOOM * width / 2
        box = {n: (c - h, c + h) for n, c, h in zip("wv", center, half, strict=True)}


def frame_table(results: rl.Results) -> pd.DataFrame:
    """Return the place and the content of each frame."""
    rows = []
    for name in frame_names():
        runs = results.load(["w0", "v0", "unit", "death_step"], name)
        low, high = runs[["w0", "v0"]].min(), runs[["w0", "v0"]].max()
        [alive] = (
            statistics.rates([runs.assign(alive=lives(runs))], "alive").query("alive").itertuples()
        )
        entropy = boundary.basin_entropy(runs, "w0", "v0", 5, lives)
        rows.append(
            {
                "frame": name,
                **{
                    f"{c}_{end}": repr(float(v[c]))
                    for c in low.index
                    for end, v in (("low", low), ("high", high))
                },
                "width": high["w0"] - low["w0"],
                "alive": alive.fraction,
                "last_death_step": runs["death_step"].max(),
                "boundary_entropy": entropy.boundary_entropy,
                "smooth_entropy": entropy.smooth,
            }
        )
    return pd.DataFrame(rows)


def frame_names() -> list[str]:
    """Return the names of the frames' sweeps."""
    return [f"frame {i + 1:02d}" for i in range(N_FRAMES)]


def draw_frame(runs: pd.DataFrame, ax: Axes, *, legend: bool = True) -> str:
    """Draw a frame in units from -1 to 1, and return its width in words."""
    starts = runs[["w0", "v0"]]
    low, width = starts.min(), starts.max() - starts.min()
    relative = 2 * (starts - low) / width - 1
    figures.outcome_map(runs.assign(**relative), "w0", "v0", ax, legend=legend)
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    return f"{width['w0']:.1g} wide"


def zoom_figures(results: rl.Results) -> rl.Report:
    """Yield the frames as panels and as a film."""
    columns = ["w0", "v0", "outcome", "unit"]
    panels = figures.panels(N_FRAMES, n_columns=4)
    for ax, name in zip(panels, frame_names(), strict=True):
        ax.set_title(draw_frame(results.load(columns, name), ax))
    panels[0].figure.suptitle(f"Does the coast stay ragged at every zoom? (η = {RATE:g})")
    yield "zooms", panels[0]

    def film() -> Iterator[Axes]:
        for name in frame_names():
            [ax] = figures.panels(1, n_columns=1)
            root_of(ax).set_size_inches(5.6, 5.6)
            # The title explains the colors instead, so that all frames have the same layout.
            width = draw_frame(results.load(columns, name), ax, legend=False)
            figures.show_runs(ax, 0)
            ax.set_title(f"Does the coast stay ragged? (dark: lives; {width} in w₀)")
            yield ax

    yield "zoom", figures.Film(film(), seconds=0.8)


# Maps


def distances_of(options: argparse.Namespace) -> pd.DataFrame:
    """Return how far starts are from another fate."""
    n = 20 if options.quick else 150
    w, v = np.meshgrid(np.linspace(0.02, 4, n), np.linspace(-1.5, 3, n))
    starts = {"w": w.ravel(), "v": v.ravel()}
    table = boundary.distance_to_other_fate(ISLAND, starts, reach=3, n_directions=24, fate=lives)
    return table[["w", "v", "fate", "distance"]].rename(columns={"w": "w0", "v": "v0"})


def basins(results: rl.Results) -> pd.DataFrame:
    """Return the basin entropies of maps, and of a smooth boundary."""
    island = results.load(["w0", "v0", "unit"], frame_names()[0])
    three = results.load(["w0", "v0", "outcome", "unit"], "three samples")
    rows = []
    for name, runs, fate in (
        (f"one sample, η = {RATE:g}: lives or not", island, lives),
        (f"one sample, η = {RATE:g}: dies in one step", island, partial(dies_at_once, RATE)),
        (f"three samples, η = {THREE_RATE:g}: lives on, dead, diverged", three, kind_of),
    ):
        for size in (5, 10):
            found = asdict(boundary.basin_entropy(runs, "w0", "v0", size, fate))
            rows.append({"map": name, "box_size": size, **found})
    return pd.DataFrame(rows)


def sweeps(options: argparse.Namespace) -> dict[str, rl.Sweep]:
    """Return the sweeps of the frames, of the fates on three samples and of the map of rates."""
    n_pairs = 200 if options.quick else 4000
    plane = rl.Sweep(data=THREE, learning_rate=THREE_RATE, max_steps=MAP_STEPS)
    both = dict.fromkeys(("hidden_learning_rate", "output_learning_rate"), MAP_RATES)
    rates = MAP.zoom(n=options.map_size, **both)
    return {
        **dict(zip(frame_names(), frames(n_pairs), strict=True)),
        "three samples": plane.zoom(n=400, w=(-4, 4), v=(-4, 4)),
        "rates": rates,
    }


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    pairs = results.load_record("pairs")
    yield "pairs", pairs
    found = dimensions(pairs)
    yield "dimensions", found
    ax = figures.intervals(found[found["border"] != WHOLE], "learning_rate", "dimension", "border")
    figures.mark_level(ax, 1, "dimension 1")
    figures.show_runs(ax, n_runs(pairs[pairs["border"] == COAST]))
    ax.set(
        title="At which rates is the coast of the island fractal?", ylabel="dimension of the border"
    )
    yield "dimensions", ax
    drawn = slopes(pairs)
    ax = figures.intervals(
        drawn, "scale", "local_slope", "of", log="x", low="slope_low", high="slope_high"
    )
    figures.mark_level(ax, 1, "dimension 1")
    figures.show_runs(ax, n_runs(drawn[drawn["border"] == COAST]))
    ax.set(
        title="Does one dimension describe the coast at all scales?",
        xlabel="distance of two starts",
        ylabel="local slope: 2 - dimension",
        ylim=(0.4, 1.6),
    )
    yield "local_slopes", ax

    yield "frames", frame_table(results)
    yield from zoom_figures(results)

    runs = results.load(
        ["hidden_learning_rate", "output_learning_rate", "outcome", "unit", "steps_taken"], "rates"
    )
    ax = figures.speed_map(runs, "output_learning_rate", "hidden_learning_rate")
    root_of(ax).set_size_inches(5.6, 6.4)
    ax.set_title("Which rates of two layers train, and how fast? (darker: slower)")
    yield "rates", ax

    table = results.load_record("distances")
    ax = figures.value_map(table, "w0", "v0", "distance", log=True)
    ax.set(title=f"How far is each start from another fate? (η = {RATE:g})")
    yield "distances", ax

    runs = results.load(["w0", "v0", "outcome", "unit"], "three samples")
    ax = figures.outcome_map(runs, "w0", "v0")
    ax.set(title=f"Three samples: do three fates share a border? (η = {THREE_RATE:g})")
    yield "three_samples", ax
    yield "basins", basins(results)
    yield "wada", boundary.wada(runs, "w0", "v0", (1, 2, 3, 4, 6, 8), kind_of)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--pairs", type=int, help="pairs per rate and distance (600,000)")
    parser.add_argument(
        "--map-size", type=int, default=1024, help="rates of each layer in the map of rates (1024)"
    )


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Is the boundary between training and dying fractal, and at which rates?",
    sweeps=sweeps,
    records={"pairs": pairs_of, "distances": distances_of},
    report=report,
    options=add_options,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
