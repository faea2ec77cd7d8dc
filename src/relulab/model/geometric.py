"""Equal ratios with the same bits on every processor.

NumPy's vector code for powers, logarithms and exponentials differs in the last digits between
processors. The bits of a sweep must not, so these numbers come from exact rules: decimal arithmetic
with many digits, and IEEE additions and multiplications in a stated order.
"""

from decimal import Context, Decimal
from functools import lru_cache

import numpy as np

from relulab.validation import LARGEST_SHARD, Float64Array, finite_number, whole_number

DECIMAL = Context(prec=50)
# The parts in equal ratios of the range of ``between``.
PARTS = 1024


def geomspace(start: float, stop: float, num: int = 50) -> Float64Array:
    """Return numbers from start to stop in equal ratios, with the same bits on every processor.

    As ``numpy.geomspace``, whose last digits depend on the processor. So use this for the axes of a
    sweep: its results folder can then be continued, and its results found again, on another one.

    Parameters
    ----------
    start, stop : float
        Above 0, in either order.
    num : int

    Returns
    -------
    ndarray, shape (num,)
        The correctly rounded values.

    Raises
    ------
    InputError
        If start or stop is not a finite number above 0, or num is not a whole number above 0.

    Examples
    --------
    >>> import relulab as rl
    >>> rl.geomspace(0.01, 1, 5)
    array([0.01      , 0.03162278, 0.1       , 0.31622777, 1.        ])
    """
    start = finite_number("start", start, above=0)
    stop = finite_number("stop", stop, above=0)
    num = whole_number("num", num, at_least=1, at_most=LARGEST_SHARD)
    values = np.full(num, start)
    value, ratio = Decimal(start), DECIMAL.divide(Decimal(stop), Decimal(start))
    step = DECIMAL.power(ratio, DECIMAL.divide(Decimal(1), Decimal(max(num - 1, 1))))
    for i in range(1, num - 1):
        value = DECIMAL.multiply(value, step)
        values[i] = float(value)
    values[1:][-1:] = stop
    return values


def between(low: float, high: float, part: Float64Array) -> Float64Array:
    """Return low * (high / low)**part for parts in [0, 1), to within a few roundings."""
    ends, size = _table(low, high)
    place = PARTS * part  # exact, as PARTS is a power of 2
    whole = np.floor(place)
    away = size * (place - whole)
    # The Taylor series of exp(away) - 1, as far as it can be seen.
    n_terms = 1
    term = size
    while term > 2.0**-56:
        n_terms += 1
        term *= size / n_terms
    begin, series = ends[whole.astype(np.intp)], np.zeros_like(away)
    with np.errstate(under="ignore"):
        for n in range(n_terms, 0, -1):
            series = (1 + series) * (away / n)
        result: Float64Array = begin + begin * series
    return result


@lru_cache(maxsize=64)
def _table(low: float, high: float) -> tuple[Float64Array, float]:
    """Return the ends of the parts, and the logarithm of a part's ratio."""
    log = DECIMAL.ln(DECIMAL.divide(Decimal(high), Decimal(low)))
    return geomspace(low, high, PARTS + 1), float(DECIMAL.divide(log, Decimal(PARTS)))
