"""Edges: exactly where one fate ends and another begins, on lines and along rays."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.boundary.points import (
    Fate,
    Labels,
    as_trained,
    check_corners,
    check_fate,
    checked_points,
    fates_at,
)
from relulab.sweeps.sweep import Sweep
from relulab.validation import (
    Float64Array,
    InputError,
    finite_number,
    seed_number,
    shown,
    whole_number,
    within_memory,
)

Points = Mapping[str, Any] | pd.DataFrame

# From the largest number to the smallest above 0 there are 2100 halvings, in each coordinate.
MOST_HALVINGS = 100_000

# A ray is tried first at the distance reach/2^(SHELLS - 1), then at twice that, up to reach.
SHELLS = 16
# An edge on a ray is narrowed down to a millionth of the distance.
HALVINGS = 20


def bisect(sweep: Sweep, a: Points, b: Points, fate: Fate | None = None) -> pd.DataFrame:
    """Narrow pairs of starts down to edges between fates, at adjacent floats.

    All pairs are halved at once. The end ``a`` keeps its fate: if the middle has another fate, it
    becomes ``b``, whose fate may then be a third one. A pair is done when its rounded middle is one
    of its ends: then no point of the segment lies between them in the arithmetic of the sweep. If
    there are several edges, one of them is found.

    Parameters
    ----------
    sweep : Sweep
        The data and settings. It must have single numbers for everything not named in a and b.
    a, b : dict of str to array_like, or DataFrame
        The two ends, with the same names of initial values and settings, such as
        ``{"w": 1, "v": [0.5, 2]}``: one value for all pairs or one for each.
    fate : function of DataFrame, optional
        Returns a label for each row of a table of runs; by default outcome and unit together.

    Returns
    -------
    DataFrame
        One row per pair: the ends, w_a, v_a, w_b, v_b; fate_a, fate_b; edge, whether these differ;
        steps, the number of halvings. A pair whose ends have the same fate has no edge and stays as
        it is, with 0 steps.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> from relulab import boundary
    >>> sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), b=-1, v=1, learning_rate=0.1)
    >>> edges = boundary.bisect(sweep, {"w": 2}, {"w": [0.5, 1.5]})
    >>> edges[["w_a", "w_b", "fate_a", "fate_b", "edge"]]
       w_a  w_b            fate_a                fate_b   edge
    0  1.0  1.0  converged, alive  converged, born_dead   True
    1  2.0  1.5  converged, alive      converged, alive  False
    >>> float(edges["w_a"][0] - edges["w_b"][0])
    2.220446049250313e-16
    """
    names, first = checked_points(sweep, "a", a)
    others, second = checked_points(sweep, "b", b)
    if set(names) != set(others):
        raise InputError(f"b: expected the names of a, {', '.join(names)}, got {shown(others)}")
    second = second[:, [others.index(name) for name in names]]
    n = max(len(first), len(second))
    if min(len(first), len(second)) not in (1, n):
        raise InputError(f"b: expected as many starts as in a, {len(first)}, got {len(second)}")
    check_fate(fate)
    ends = [np.array(np.broadcast_to(end, (n, len(names)))) for end in (first, second)]
    fates = [fates_at(sweep, names, end, fate) for end in ends]
    steps = close_in(sweep, names, ends, fates, fate)
    columns = {
        f"{name}_{letter}": end[:, i]
        for letter, end in zip("ab", ends, strict=True)
        for i, name in enumerate(names)
    }
    fate_a, fate_b = fates
    return pd.DataFrame(
        {**columns, "fate_a": fate_a, "fate_b": fate_b, "edge": fate_a != fate_b, "steps": steps}
    )


def close_in(
    sweep: Sweep,
    names: Collection[str],
    ends: list[Float64Array],
    fates: list[Labels],
    fate: Fate | None,
    most: int = MOST_HALVINGS,
) -> npt.NDArray[np.int64]:
    """Move ends, shape (n_pairs, n_axes), and their fates in place; return the halvings.

    Stop after the given number, or when no float is left between two ends.
    """
    a, b = ends
    steps = np.zeros(len(a), np.int64)
    active = np.flatnonzero(fates[0] != fates[1])
    for _ in range(most):
        middle = as_trained(sweep, _middle(a[active], b[active]))
        between = (middle != a[active]).any(axis=1) & (middle != b[active]).any(axis=1)
        active, middle = active[between], middle[between]
        if not active.size:
            break
        steps[active] += 1
        found = fates_at(sweep, names, middle, fate)
        same = found == fates[0][active]
        a[active[same]] = middle[same]
        b[active[~same]] = middle[~same]
        # Labels have a fixed width, and a new one may be longer.
        fates[1] = fates[1].astype(np.result_type(fates[1], found), copy=False)
        fates[1][active[~same]] = found[~same]
    return steps


def _middle(a: Float64Array, b: Float64Array) -> Float64Array:
    """Return the rounded middles of segments, coordinate by coordinate."""
    with np.errstate(over="ignore"):
        half = (b - a) / 2
    # A difference may overflow; halves of the smallest numbers are not exact.
    return np.where(np.isfinite(half), a + np.where(np.isfinite(half), half, 0), a / 2 + b / 2)


def distance_to_other_fate(
    sweep: Sweep,
    starts: Points,
    reach: float,
    n_directions: int = 32,
    seed: int = 0,
    fate: Fate | None = None,
) -> pd.DataFrame:
    """Return an upper bound on how far starts are from another fate, along rays.

    Rays from each start go in the same ``n_directions`` directions: evenly spaced for two names,
    random for more. All are tried at the distance reach/2^15, then twice that and so on up to
    reach. At the first distance where some rays hit another fate, these are bisected, and the
    nearest edge is taken.

    The distance is an upper bound: there, the fate is another one. Thin tongues of another fate
    between two rays or between two distances may be nearer. With the same seed, more random
    directions never make the bound larger; more evenly spaced ones may.

    Parameters
    ----------
    sweep : Sweep
        The data and settings. It must have single numbers for everything not named in starts.
    starts : dict of str to array_like, or DataFrame
        Initial values and settings: ``{"w": w, "v": v}``. Distances are Euclidean in these numbers.
    reach : float
        How far to look.
    n_directions : int
        The number of rays; with one name there are two.
    seed : int
        Seed of random directions, or of the first angle of evenly spaced ones.
    fate : function of DataFrame, optional
        Returns a label for each row of a table of runs; by default outcome and unit together. For
        the distance from dying: ``fate=lambda runs: runs["unit"] == "died"``.

    Returns
    -------
    DataFrame
        One row per start: its values, fate, distance (missing if no ray within reach hits another
        fate), other_fate, and the point with that fate, such as w_other, v_other.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> from relulab import boundary
    >>> sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), learning_rate=0.3)
    >>> died = boundary.distance_to_other_fate(
    ...     sweep, {"w": [0.5, 2], "v": 1}, reach=4, fate=lambda runs: runs["unit"] == "died"
    ... )
    >>> died[["w", "v", "fate", "distance"]].round(3)
         w    v   fate  distance
    0  0.5  1.0  False     0.488
    1  2.0  1.0  False     0.441
    """
    names, points = checked_points(sweep, "starts", starts)
    check_fate(fate)
    reach = finite_number("reach", reach, above=0)
    n_directions = whole_number("n_directions", n_directions, at_least=1, at_most=10_000)
    directions = _directions(len(names), n_directions, seed_number("seed", seed))
    with np.errstate(over="ignore"):
        low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    check_corners(sweep, "starts, reach", names, low, high)
    own = fates_at(sweep, names, points, fate)
    distance = np.full(len(points), np.nan)
    other, other_fate = points.copy(), own.astype(object)
    other[:], other_fate[:] = np.nan, None
    waiting = np.arange(len(points))
    n_rays = len(directions)
    within_memory("n_directions", len(points) * n_rays)
    nearer = 0.0
    for radius in reach / 2.0 ** np.arange(SHELLS - 1, -1, -1):
        centers = np.repeat(points[waiting], n_rays, axis=0)
        along = np.tile(directions, (len(waiting), 1))
        end = as_trained(sweep, centers + radius * along)
        start_fate = np.repeat(own[waiting], n_rays)
        found = fates_at(sweep, names, end, fate)
        rays = np.flatnonzero(found != start_fate)
        ends = [as_trained(sweep, centers[rays] + nearer * along[rays]), end[rays]]
        fates = [start_fate[rays], found[rays]]
        if rays.size:
            close_in(sweep, names, ends, fates, fate, HALVINGS)
        far = np.linalg.norm(ends[1] - centers[rays], axis=1)
        # The nearest edge of each start comes first.
        order = np.lexsort([far, rays // n_rays])
        which, nearest = np.unique(rays[order] // n_rays, return_index=True)
        best = order[nearest]
        done = waiting[which]
        distance[done], other[done], other_fate[done] = far[best], ends[1][best], fates[1][best]
        waiting = np.delete(waiting, which)
        nearer = radius
        if not waiting.size:
            break
    return pd.DataFrame(
        {
            **dict(zip(names, points.T, strict=True)),
            "fate": own,
            "distance": distance,
            "other_fate": other_fate,
            **{f"{name}_other": other[:, i] for i, name in enumerate(names)},
        }
    )


def _directions(n_axes: int, n: int, seed: int) -> Float64Array:
    """Return unit vectors, shape (n_directions, n_axes)."""
    random = np.random.default_rng(seed)
    if n_axes == 1:
        return np.array([[1.0], [-1.0]])
    if n_axes == 2:
        angle = 2 * np.pi * (np.arange(n) + random.random()) / n
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    directions = random.standard_normal((n, n_axes))
    unit: Float64Array = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return unit
