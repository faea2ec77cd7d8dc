"""The colors and the words of everything that figures show.

A fate is an outcome and a unit together; each fate has one color in every figure. Hue tells the
outcome (blue converged, orange diverged, green oscillating, gray unfinished, magenta unstable),
lightness the unit (dark alive, middle died, pale born dead), so that they differ also without color
vision.
"""

from bisect import bisect
from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_rgb
from matplotlib.mathtext import MathTextParser

from relulab.figures.look import chosen
from relulab.model.outcome import OUTCOMES, UNITS
from relulab.validation import InputError, one_line, one_of, shown, words_in

FATE_COLORS = {
    ("converged", "alive"): "#08519c",
    ("converged", "died"): "#5b95d0",
    ("converged", "born_dead"): "#bdd7ee",
    ("diverged", "alive"): "#a63603",
    ("diverged", "died"): "#ef7f2c",
    ("diverged", "born_dead"): "#fdc998",
    ("oscillating", "alive"): "#00523c",
    ("oscillating", "died"): "#31a774",
    ("oscillating", "born_dead"): "#b2f1c6",
    ("unfinished", "alive"): "#2b2b2b",
    ("unfinished", "died"): "#8c8c8c",
    ("unfinished", "born_dead"): "#d6d6d6",
    ("unstable", "alive"): "#640073",
    ("unstable", "died"): "#b341d9",
    ("unstable", "born_dead"): "#f29df2",
}
# From the bottom of a stack and the left of a bar, as in legends: the dead first, so that their
# upper edge is the fraction of all dead.
UNITS_IN_ORDER = ("born_dead", "died", "alive")
FATES = [(o, u) for u in UNITS_IN_ORDER for o in OUTCOMES.categories]

# What a run on several samples found (statistics.OPTIMA), in the colors of the fates.
OPTIMUM_COLORS = {
    "global": FATE_COLORS["converged", "alive"],
    "local": "#9e6fb8",
    "oscillating": FATE_COLORS["oscillating", "alive"],
    "moving": FATE_COLORS["unfinished", "alive"],
    "died": FATE_COLORS["converged", "died"],
    "born_dead": FATE_COLORS["converged", "born_dead"],
    "diverged": FATE_COLORS["diverged", "alive"],
}
OPTIMUM_LABELS = {
    "global": "global optimum",
    "local": "local optimum",
    "oscillating": "oscillating",
    "moving": "still moving",
    "died": "died",
    "born_dead": "born dead",
    "diverged": "diverged",
}

# In the order of the fates: the dead first, what training is for last.
OPTIMA = ("born_dead", "died", "diverged", "moving", "oscillating", "local", "global")

# Okabe & Ito 2008: names that have no color of their own. Its black is that of theory.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#f0e442")
DARKER = 0.6  # the same colors once more, where there are more names than colors

SYMBOLS = {
    "learning_rate": "learning rate η",
    "hidden_learning_rate": "hidden learning rate",
    "output_learning_rate": "output learning rate",
    "w0": "initial hidden weight $w_0$",
    "b0": "initial hidden bias $b_0$",
    "v0": "initial output weight $v_0$",
    "c0": "initial output bias $c_0$",
    "excess_loss": "loss above that of the best network",
    "teacher_bias": "bias of the teacher",
    "step": "step",
    "loss": "loss",
    "prediction": "prediction",
    "sharpness": "sharpness",
    "fraction": "fraction of runs",
    **{name: f"${name}$" for name in "wbvc"},
}


FORMULAS = MathTextParser("path")

# The words of the columns that have colors of their own.
KNOWN = {
    "outcome": list(OUTCOMES.categories),
    "unit": list(UNITS.categories),
    "optimum": list(OPTIMUM_LABELS),
}


# Letters of a name on an axis; what is longer loses some from its middle.
LONGEST = 60


def symbol(column: str) -> str:
    """Return how a column is called on an axis."""
    return SYMBOLS.get(column) or literal(middle(name_of(column.replace("_", " ")), LONGEST))


def name_of(value: object) -> str:
    """Return how a value of a column is called in a legend or beside a bar."""
    return f"{value:g}" if isinstance(value, float) else one_line(" ".join(str(value).split()))


def literal(text: str) -> str:
    """Return a text that Matplotlib shows as it is, and takes no part of for a formula."""
    return text.replace("$", r"\$")


def drawable(text: str) -> str:
    """Return a text on one line in which formulas stay, should it have any that can be read."""
    text = one_line(" ".join(text.split()))
    if is_math_text(text):
        try:
            FORMULAS.parse(text)
        except ValueError:
            return literal(text)
    return text


def middle(text: str, n_letters: int) -> str:
    """Return a text of at most so many letters, of both ends of a longer one.

    Names that are long differ at their ends, as a rule.
    """
    if len(text) <= n_letters:
        return text
    tail = (n_letters - 1) // 3
    return f"{text[: max(n_letters - 1 - tail, 0)]}…{text[len(text) - tail :]}"


def cut(text: str, n_letters: int) -> str:
    """Return the middle-less form of a text that may have formulas, which have none then."""
    plain = text.replace(r"\$", "$")
    return text if len(plain) <= n_letters else literal(middle(plain, n_letters))


def fitting(text: str, fits: Callable[[str], bool]) -> str:
    """Return as much of a text as fits, by halving what is tried."""
    if fits(text):
        return text
    room = bisect(range(len(text)), 0, key=lambda n: 0 if fits(cut(text, n)) else 1)
    return cut(text, max(room - 1, 1))


def wrapped(name: str, width: int, most_lines: int) -> str:
    """Return a name in lines of so many letters, a long one without its middle."""
    for n_letters in range(min(len(name), width * most_lines), 0, -1):
        lines = wrap(middle(name, n_letters), width)
        if len(lines) <= most_lines:
            return literal("\n".join(lines))
    return ""


def fate_label(outcome: str, unit: str) -> str:
    """Return a fate in words."""
    one_of("outcome", outcome, list(OUTCOMES.categories))
    one_of("unit", unit, list(UNITS.categories))
    return f"{outcome}, {unit.replace('_', ' ')}"


def text_color(background: Any) -> str:
    """Return black or white, whichever is read more easily on a color."""
    linear = np.power(to_rgb(background), 2.2)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else "white"


def name_colors(n: int) -> list[Any]:
    """Return n colors for names, which have no order."""
    return [
        tuple(DARKER ** (i // len(OKABE_ITO)) * c for c in to_rgb(OKABE_ITO[i % len(OKABE_ITO)]))
        for i in range(n)
    ]


def sequence_colors(n: int) -> list[Any]:
    """Return n colors for numbers, from dark to light."""
    # Not the ends of the map: its yellow is hard to see on white.
    return [mpl.colormaps["viridis"](p) for p in np.linspace(0, 0.85, max(n, 1))][:n]


def groups_of(table: pd.DataFrame, by: str | None) -> list[tuple[str, Any, pd.DataFrame]]:
    """Return label, color and rows for each value of a column.

    ``"fate"`` are the columns outcome and unit together. Fates, units and optima have the colors
    and the order that they have everywhere; other values come in the order of the table, numbers
    the lighter the larger.
    """
    if by is None:
        blue = FATE_COLORS["converged", "alive"]
        return [("", *chosen([""], [""], [blue]), table)] if len(table) else []
    keys = list(columns_of(by))
    for column, known in KNOWN.items():
        if column in keys and by in ("fate", "unit", "optimum"):
            words_in("table", table, column, known)
    groups = table.groupby(keys if len(keys) > 1 else keys[0], sort=False, observed=True)
    rows: dict[Any, pd.DataFrame] = dict(iter(groups))
    labels, defaults = words_and_colors(by, list(rows), table)
    colors = chosen(list(labels), list(labels.values()), defaults)
    return [(labels[k], c, rows[k]) for k, c in zip(labels, colors, strict=True)]


def words_and_colors(
    by: str, values: Sequence[Any], table: pd.DataFrame
) -> tuple[dict[Any, str], list[Any]]:
    """Return the values of a column with their words, in their order, and relulab's colors."""
    if by == "fate":
        fates = [fate for fate in FATES if fate in values]
        return {f: fate_label(*f) for f in fates}, [FATE_COLORS[f] for f in fates]
    if by == "unit":
        units = [unit for unit in UNITS_IN_ORDER if unit in values]
        return {u: u.replace("_", " ") for u in units}, [FATE_COLORS["converged", u] for u in units]
    if by == "optimum":
        found = [optimum for optimum in OPTIMA if optimum in values]
        return {o: OPTIMUM_LABELS[o] for o in found}, [OPTIMUM_COLORS[o] for o in found]
    labels = {value: literal(name_of(value)) for value in values}
    if not is_number(table[by]):
        return labels, name_colors(len(values))
    shades = dict(zip(sorted(values), sequence_colors(len(values)), strict=True))
    return labels, [shades[value] for value in values]


def is_number(column: "pd.Series[Any]") -> bool:
    """Return whether a column is of numbers, which have an order and need a name."""
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    return numeric and not pd.api.types.is_bool_dtype(column.dtype)


def columns_of(by: str | None) -> Sequence[str]:
    """Return the columns that ``groups_of`` needs."""
    if by is not None and not isinstance(by, str):
        raise InputError(f"by: expected the name of a column, got {shown(by)}")
    return () if by is None else ("outcome", "unit") if by == "fate" else (by,)
