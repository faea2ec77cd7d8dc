"""Sliders for the numbers that are not on an axis."""

import math
from collections.abc import Callable, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.widgets import Slider

from relulab.explorer.view import Range
from relulab.figures.palette import FATE_COLORS

DIGITS = 4  # digits of a slider's value, so that it prints short
LABELS = {
    **{name: f"${name}_0$" for name in "wbvc"},
    "learning_rate": "η",
    "hidden_learning_rate": "η, hidden",
    "output_learning_rate": "η, output",
    "x": "sample's x",
}
COLOR = FATE_COLORS["converged", "died"]

Box = tuple[float, float, float, float]  # left, bottom, width, height, in fractions of the figure


class NumberSlider(Slider):
    """A slider that shows its number, and leaves drawing to the window."""

    drawon = False

    def __init__(
        self,
        ax: Axes,
        name: str,
        number: float,
        limits: Range,
        changed: Callable[[str, float], None],
    ) -> None:
        self._name = name
        self._log = limits.log
        ends = limits[:2]
        self._decimals = DIGITS - 1 - math.floor(math.log10(ends[1] - ends[0]))
        if self._log:
            ends = math.log10(ends[0]), math.log10(ends[1])
        super().__init__(
            ax, LABELS.get(name, name.replace("_", " ")), *ends,
            valinit=ends[0], color=COLOR, initcolor="none",
        )  # fmt: skip
        self.show(number)
        self._told = changed
        self.on_changed(self._moved)

    def show(self, number: float) -> None:
        """Show a number, which may be beyond the ends, without calling ``changed``."""
        position = number
        if self._log:
            position = math.log10(number) if number > 0 else -math.inf
        self._shown = position, number
        self.eventson = False
        self.set_val(min(max(position, self.valmin), self.valmax))
        self.eventson = True
        self._write(number)

    def _moved(self, position: float) -> None:
        # Back at its old position, it has exactly the old number.
        number = self._shown[1] if position == self._shown[0] else self._number_at(position)
        self._write(number)
        self._told(self._name, number)

    def _number_at(self, position: float) -> float:
        if self._log:
            return float(f"{10**position:.{DIGITS}g}")
        return round(position, self._decimals) + 0.0

    def _write(self, number: float) -> None:
        whole = self._name == "max_steps"
        self.valtext.set_text(f"{number:,.0f}" if whole else f"{number:.{DIGITS}g}")


def sliders(
    figure: Figure,
    box: Box,
    values: Mapping[str, float],
    ranges: Mapping[str, Range],
    changed: Callable[[str, float], None],
) -> dict[str, NumberSlider]:
    """Add a slider for each value, in two columns; it calls ``changed`` when it is moved."""
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
        made[name] = NumberSlider(figure.add_axes(place), name, value, ranges[name], changed)
    return made
