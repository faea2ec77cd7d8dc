"""Basins on maps: how uncertain the fate is in a box of cells, and where three fates meet."""

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

# Lines through a box, for ``smooth_entropy``: the number of angles, and of offsets for each.
ANGLES, OFFSETS = 64, 128


@dataclass(frozen=True)
class BasinEntropy:
    """How uncertain the fate is within small boxes of a map: the result of ``basin_entropy``.

    Attributes
    ----------
    entropy : float
        The mean over all boxes of the entropy of the fates in a box, in nats.
    boundary_entropy : float
        The mean over the boxes with more than one fate; NaN if there are none.
    smooth : float
        The value of boundary_entropy for a smooth boundary: ``smooth_entropy(box_size)``.
    n_boxes, n_boundary_boxes : int
    above_log_2 : bool
        Whether boundary_entropy is above log 2, the most that a boundary between two fates has. A
        smooth boundary exceeds it only at points where three fates meet, so above it the boundary
        is fractal (Daza et al. 2016). Below it, nothing follows.
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
    Georgeot, Guéry-Odelin & Sanjuán, Sci. Rep. 6, 31416, 2016). Cells left over at the upper ends
    of the axes are ignored.

    Parameters
    ----------
    runs : DataFrame
        One run for each cell of a grid over the columns x and y.
    x, y : str
        The columns of the grid.
    box_size : int
        Cells per side of a box, at least 2. (The paper has 5.)
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
    """Return the boundary basin entropy of a smooth boundary, for boxes of box_size^2 cells.

    Within a small enough box a smooth boundary is a straight line. This is the mean over all lines,
    isotropic and uniform, that have cells on both sides, from a sum over 64 angles and 128 offsets.

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
        # A line between the outermost cells has cells on both sides.
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
    """Return how much of the boundaries on a map is near to all fates: all, if they are Wada.

    Three or more basins have the Wada property if every point on the boundary of one is on the
    boundary of all. The merging method (Daza, Wagemakers & Sanjuán, Sci. Rep. 8, 9954, 2018) tests
    this on a map. For each fate all others are merged. The boundary of the fate is then the cells
    that have a neighbor above, below, left or right on the other side. Of the cells on any of these
    boundaries, those within some radius of every one of them are counted.

    Parameters
    ----------
    runs, x, y
        As in ``basin_entropy``.
    radii : sequence of int
        How many cells away a boundary may be, also diagonally. A larger radius counts more cells;
        boundaries that meet only in single points stay apart at any radius that is small compared
        with the map.
    fate : function of DataFrame, optional
        As in ``basin_entropy``; at least three of its labels must be on the map. A rare fate makes
        the fraction small: merge it with another one if it does not matter.

    Returns
    -------
    DataFrame
        One row per radius: radius, n_fates, n_border, n_near_all, fraction. A fraction of 1 at a
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
    """Return the cells with a neighbor on the other side."""
    border = np.zeros_like(inside)
    for sides in ((inside, border), (inside.T, border.T)):
        cells, found = sides
        change = cells[1:] != cells[:-1]
        found[1:] |= change
        found[:-1] |= change
    return border


def _fattened(border: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    """Return the cells within ``radius`` rows and columns of a boundary."""
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (radius + 1, radius)
        # The count up to each cell; a difference is the count within the radius.
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
    """Return the number of each cell's fate on a full grid, one row per y."""
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
