"""Basins on maps: how uncertain a box of cells leaves the fate, and where three fates meet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.boundary.points import Fate, Labels, check_fate, fates_of
from relulab.validation import (
    Float64Array,
    InputError,
    columns_in,
    numbers_in,
    shown,
    whole_number,
    without_index,
)

LARGEST_BOX = 1000
MOST_RADII = 100

# Lines through a box, for ``smooth_entropy``: so many angles, and offsets for each.
ANGLES, OFFSETS = 64, 128


@dataclass(frozen=True)
class BasinEntropy:
    """How uncertain the fate is within small boxes of a map, by ``basin_entropy``.

    Attributes
    ----------
    entropy : float
        The mean over all boxes of the entropy of the fates in a box, in nats.
    boundary_entropy : float
        The mean over the boxes that have more than one fate; missing where there is none.
    smooth : float
        What the latter is where the border is smooth: ``smooth_entropy(box_size)``.
    n_boxes, n_boundary_boxes : int
    above_log_2 : bool
        Whether boundary_entropy is above log 2, the most that a border between two fates has. It is
        not for any smooth border but for points where three fates meet; so above it the border is
        fractal (Daza et al. 2016). Below it, nothing follows.
    """

    entropy: float
    boundary_entropy: float
    smooth: float
    n_boxes: int
    n_boundary_boxes: int
    above_log_2: bool

    def __repr__(self) -> str:
        words = "above" if self.above_log_2 else "not above"
        return (
            f"BasinEntropy({self.entropy:.4f}; at borders {self.boundary_entropy:.4f}, {words}"
            f" log 2; smooth: {self.smooth:.4f})"
        )


def basin_entropy(
    runs: pd.DataFrame, x: str, y: str, box_size: int, fate: Fate | None = None
) -> BasinEntropy:
    """Return the basin entropy and the boundary basin entropy of a map.

    The map is cut into boxes of box_size x box_size cells. The entropy of a box is
    sum(p_i * log(1/p_i)) over the fractions p_i of its cells with fate i (Daza, Wagemakers,
    Georgeot, Guéry-Odelin & Sanjuán, Sci. Rep. 6, 31416, 2016). Cells that fill no box, at the
    upper ends of the axes, are left out.

    Parameters
    ----------
    runs : DataFrame
        A run for each cell of a grid over the columns x and y.
    x, y : str
        The columns of the grid.
    box_size : int
        How many cells make a side of a box, at least 2. (The paper has 5.)
    fate : function of DataFrame, optional
        Returns a label for each row; by default outcome and unit together.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import numpy as np, relulab as rl
    >>> from relulab import boundary
    >>> plane = {"w": np.linspace(-1, 5, 100), "v": np.linspace(-4, 4, 100)}
    >>> runs = rl.Sweep(data=rl.TrainingSet.point(1, 3), **plane, learning_rate=0.3).run()
    >>> boundary.basin_entropy(runs, "w0", "v0", box_size=5)
    BasinEntropy(0.0763; at borders 0.5865, not above log 2; smooth: 0.4838)
    """
    cells = _cells(runs, x, y, fate)
    box_size = whole_number("box_size", box_size, at_least=2, at_most=LARGEST_BOX)
    n_rows, n_columns = (n // box_size for n in cells.shape)
    if not n_rows * n_columns:
        raise InputError(
            f"box_size: expected at most {min(cells.shape)}, the cells of the shorter axis,"
            f" got {box_size}"
        )
    whole = cells[: n_rows * box_size, : n_columns * box_size]
    parts = whole.reshape(n_rows, box_size, n_columns, box_size)
    boxes = parts.swapaxes(1, 2).reshape(n_rows * n_columns, box_size**2)
    entropies = np.zeros(len(boxes))
    for label in range(cells.max() + 1):
        entropies += _entropy_term(np.count_nonzero(boxes == label, axis=1) / box_size**2)
    mixed = (boxes != boxes[:, :1]).any(axis=1)
    at_borders = float(entropies[mixed].mean()) if mixed.any() else np.nan
    return BasinEntropy(
        entropy=float(entropies.mean()),
        boundary_entropy=at_borders,
        smooth=smooth_entropy(box_size),
        n_boxes=len(boxes),
        n_boundary_boxes=int(mixed.sum()),
        above_log_2=bool(at_borders > np.log(2)),
    )


def smooth_entropy(box_size: int) -> float:
    """Return the boundary basin entropy of a smooth border, for boxes of box_size x box_size cells.

    A smooth border is a straight line within a box that is small enough. This is the mean over all
    lines, isotropic and uniform, that have cells on both sides; by a sum over 64 angles and 128
    offsets.

    Examples
    --------
    >>> from relulab import boundary
    >>> round(boundary.smooth_entropy(5), 3)
    0.484
    """
    box_size = whole_number("box_size", box_size, at_least=2, at_most=LARGEST_BOX)
    place = np.arange(box_size) - (box_size - 1) / 2
    angles = (np.arange(ANGLES) + 0.5) * (np.pi / 4) / ANGLES  # the others are their mirror images
    total = weights = 0.0
    for angle in angles:
        along = np.sort(np.add.outer(np.cos(angle) * place, np.sin(angle) * place), axis=None)
        # Between the outermost cells a line has cells on both sides.
        width = along[-1] - along[0]
        offsets = along[0] + width * (np.arange(OFFSETS) + 0.5) / OFFSETS
        below = np.searchsorted(along, offsets) / along.size
        total += width * float(np.mean(_entropy_term(below) + _entropy_term(1 - below)))
        weights += width
    return float(total / weights)


def wada(
    runs: pd.DataFrame,
    x: str,
    y: str,
    radii: Sequence[int] = (1, 2, 3, 4),
    fate: Fate | None = None,
) -> pd.DataFrame:
    """Return how much of the borders on a map is near to all fates: all of it, if they are Wada.

    Three or more basins have the Wada property if every point on the border of one is on the border
    of all. On a map (the merging method of Daza, Wagemakers & Sanjuán, Sci. Rep. 8, 9954, 2018):
    for each fate all others are merged, which leaves its border with the rest, the cells that have
    a neighbor, above, below or beside them, on the other side. The cells on any of these borders
    are counted that are within some radius of every one of them.

    Parameters
    ----------
    runs, x, y
        As in ``basin_entropy``.
    radii : sequence of int
        How many cells away a border may be, diagonally, too. With a larger radius more counts as
        near; borders that meet in single points alone stay apart at any radius that is small
        against the map.
    fate : function of DataFrame, optional
        As in ``basin_entropy``; at least three of its labels have to be on the map. A fate that is
        rare makes the fraction small: lump it with another one if it is not what is asked about.

    Returns
    -------
    DataFrame
        A row for each radius: radius, n_fates, n_border, n_near_all, fraction. A fraction of 1 at a
        radius of a few cells says that the basins are Wada, as far as the map shows.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from relulab import boundary
    >>> x, y = np.meshgrid(np.arange(30), np.arange(30))
    >>> stripes = pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "label": x.ravel() // 10})
    >>> boundary.wada(stripes, "x", "y", radii=[1, 3], fate=lambda runs: runs["label"])
       radius  n_fates  n_border  n_near_all  fraction
    0       1        3       120           0       0.0
    1       3        3       120           0       0.0
    """
    cells = _cells(runs, x, y, fate)
    n_fates = int(cells.max()) + 1
    if n_fates < 3:
        raise InputError(f"runs: expected three fates or more on the map, got {n_fates}")
    if (
        not isinstance(radii, Sequence)
        or isinstance(radii, str)
        or not 0 < len(radii) <= MOST_RADII
    ):
        raise InputError(f"radii: expected several whole numbers, got {shown(radii)}")
    radii = [whole_number("radii", radius, at_least=0, at_most=LARGEST_BOX) for radius in radii]
    borders = [_border(cells == label) for label in range(n_fates)]
    any_border = np.logical_or.reduce(borders)
    n_border = int(any_border.sum())
    near = [
        int((any_border & np.logical_and.reduce([_fattened(b, radius) for b in borders])).sum())
        for radius in radii
    ]
    return pd.DataFrame(
        {
            "radius": radii,
            "n_fates": n_fates,
            "n_border": n_border,
            "n_near_all": near,
            "fraction": np.array(near) / n_border,
        }
    )


def _border(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the cells that have a neighbor on the other side."""
    border = np.zeros_like(inside)
    for sides in ((inside, border), (inside.T, border.T)):
        cells, found = sides
        change = cells[1:] != cells[:-1]
        found[1:] |= change
        found[:-1] |= change
    return border


def _fattened(border: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    """Return the cells within so many cells of a border, rows and columns apart."""
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (radius + 1, radius)
        # How many there are up to each cell; the difference tells how many are within the radius.
        upto = np.cumsum(np.pad(border, padding), axis=axis)
        n = border.shape[axis]
        border = np.take(upto, np.arange(n) + 2 * radius + 1, axis) > np.take(
            upto, np.arange(n), axis
        )
    return border


def _entropy_term(p: Float64Array) -> Float64Array:
    """Return p*log(1/p), which is 0 at 0."""
    return -p * np.log(np.where(p > 0, p, 1))


def _cells(runs: pd.DataFrame, x: str, y: str, fate: Fate | None) -> npt.NDArray[np.int64]:
    """Return the number of the fate of each cell of a full grid, a row for each y."""
    for argument, name in (("x", x), ("y", y)):
        if not isinstance(name, str):
            raise InputError(f"{argument}: expected the name of a column, got {shown(name)}")
    if x == y:
        raise InputError(f"y: expected another column than x, got {shown(y)} for both")
    columns_in("runs", runs, x, y)
    check_fate(fate)
    runs = without_index(runs)
    numbers_in("runs", runs, x, y)
    if not len(runs):
        raise InputError("runs: expected at least one run, got none")
    places = [runs[name].to_numpy(float, na_value=np.nan) for name in (x, y)]
    if not np.isfinite(places).all():
        raise InputError(f"runs: expected finite numbers in the columns {x} and {y}, got others")
    columns, column = np.unique(places[0], return_inverse=True)
    rows, row = np.unique(places[1], return_inverse=True)
    cell = row * columns.size + column
    if len(runs) != rows.size * columns.size or np.unique(cell).size < cell.size:
        raise InputError(
            f"runs: expected one run for each {x} and {y} of a grid of {columns.size} x"
            f" {rows.size}, got {len(runs)} runs"
        )
    labels: Labels = fates_of(runs, fate)
    cells = np.empty(cell.size, np.int64)
    cells[cell] = np.unique(labels, return_inverse=True)[1]
    return cells.reshape(rows.size, columns.size)
