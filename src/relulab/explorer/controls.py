"""Sliders for the numbers that no axis has."""

import math
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure
from matplotlib.widgets import Slider

from relulab.explorer.view import Range
from relulab.figures.palette import FATE_COLORS

DIGITS = 4  # of a slider's value; so a printed one is short
LABELS = {
    **{name: f"${name}_0$" for name in "wbvc"},
    "learning_rate": "η",
    "hidden_learning_rate": "η, hidden",
    "output_learning_rate": "η, output",
    "x": "sample's x",
}
COLOR = FATE_COLORS["converged", "died"]

Box = tuple[float, float, float, float]  # left, bottom, width, height, in fractions of the figure


def sliders(
    figure: Figure,
    box: Box,
    values: Mapping[str, float],
    ranges: Mapping[str, Range],
    changed: Callable[[str, float], None],
) -> dict[str, Slider]:
    """Add a slider for each value, in two columns, which says what it is moved to."""
    left, bottom, width, height = box
    n_rows = max(-(-len(values) // 2), 1)
    row_height = min(height / n_rows, 0.05)
    made = {}
    for i, (name, value) in enumerate(values.items()):
        column, row = divmod(i, n_rows)
        place = (
            left + (column * 0.52 + 0.12) * width,
            bottom + height - (row + 0.8) * row_height,
            0.25 * width,
            0.6 * row_height,
        )
        made[name] = _slider(figure, place, name, value, ranges[name], changed)
    return made


class _Slider(Slider):
    """A slider that leaves drawing to the window."""

    drawon = False


def _slider(
    figure: Figure,
    place: Box,
    name: str,
    value: float,
    limits: Range,
    changed: Callable[[str, float], None],
) -> Slider:
    low, high, log = limits

    def number_at(position: float) -> float:
        if log:
            return float(f"{10**position:.{DIGITS}g}")
        decimals = DIGITS - 1 - math.floor(math.log10(high - low))
        return round(position, decimals) + 0.0

    ends = (math.log10(low), math.log10(high)) if log else (low, high)
    begin = math.log10(value) if log else value
    slider = _Slider(
        figure.add_axes(place), LABELS.get(name, name.replace("_", " ")), *ends,
        valinit=begin, color=COLOR, initcolor="none",
    )  # fmt: skip

    def moved(position: float) -> None:
        # Back where it began, it is the very number.
        number = value if position == begin else number_at(position)
        text = f"{number:,.0f}" if name == "max_steps" else f"{number:.{DIGITS}g}"
        slider.valtext.set_text(text)
        changed(name, number)

    moved(begin)
    slider.on_changed(moved)
    return slider
