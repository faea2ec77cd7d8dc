"""Find the boundary between fates on a map."""

import numpy as np
import numpy.typing as npt


def near_the_coast(fates: npt.NDArray[np.int64], n: int) -> list[tuple[int, int]]:
    """Return up to n cells next to another fate, spread along the boundary.

    They come in pairs of neighbors with two fates, to show how a small difference at the start
    becomes large in the end.

    Parameters
    ----------
    fates : ndarray of int, shape (n_y, n_x)
    n : int

    Returns
    -------
    list of (row, column)
    """
    cells = np.arange(fates.size).reshape(fates.shape)
    across, up = (np.diff(fates, axis=axis) != 0 for axis in (1, 0))
    first = np.concatenate([cells[:, :-1][across], cells[:-1][up]])
    second = np.concatenate([cells[:, 1:][across], cells[1:][up]])
    order = np.argsort(first, kind="stable")
    wanted = min(n // 2, order.size)
    spread = order[(np.arange(wanted) * order.size + order.size // 2) // max(wanted, 1)]
    found = dict.fromkeys(np.stack([first[spread], second[spread]], axis=1).ravel().tolist())
    return [divmod(cell, fates.shape[1]) for cell in found]
