"""The layers of a map: the fates of its runs, or a number of each run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import LogNorm, to_rgba_array
from matplotlib.image import AxesImage

from relulab.explorer.frames import Frame
from relulab.figures.legends import patches
from relulab.figures.maps import NOTHING
from relulab.figures.palette import FATE_COLORS, FATES, fate_label
from relulab.model.outcome import CODED_FATES
from relulab.validation import Float64Array

PALETTE = (
    (to_rgba_array([FATE_COLORS[fate] for fate in CODED_FATES]) * 255).round().astype(np.uint8)
)


@dataclass(frozen=True)
class Layer:
    """A number of each run, in colors on a logarithmic scale; or, without one, its fate.

    Attributes
    ----------
    words : str
        The meaning of the colors.
    number : function of a Frame, optional
        Returns the number of each run; runs whose number is not above 0 are gray.
    without : str
        The meaning of gray.
    """

    words: str
    number: Callable[[Frame], Any] | None = None
    without: str = ""

    def paint(self, image: AxesImage, frame: Frame, *, keep_scale: bool = False) -> None:
        """Show a map on an image; with ``keep_scale``, keep the color scale."""
        if self.number is None:
            image.set_data(PALETTE[frame.fates])
            return
        numbers = np.asarray(self.number(frame), float)
        known = np.isfinite(numbers) & (numbers > 0)
        image.set_data(np.ma.masked_where(~frame.cells(known), frame.cells(numbers)))
        if not keep_scale or not isinstance(image.norm, LogNorm):
            low, high = (numbers[known].min(), numbers[known].max()) if known.any() else (1, 10)
            image.set_cmap(mpl.colormaps["viridis"].with_extremes(bad=NOTHING))
            image.set_norm(LogNorm(low, max(high, low * 1.001)))

    def entries(self, frame: Frame) -> list[Artist]:
        """Return the legend entries of the colors."""
        if self.number is not None:
            return patches({self.without: NOTHING})
        present = {CODED_FATES[code] for code in np.unique(frame.fates)}
        shown = [fate for fate in FATES if fate in present]
        return patches({fate_label(*fate): FATE_COLORS[fate] for fate in shown})


def _steps_to_converge(frame: Frame) -> Float64Array:
    """Return the steps of networks that learned; with a dead unit, only c learns."""
    learned = (frame.runs["outcome"] == "converged") & (frame.runs["unit"] == "alive")
    return np.where(learned, frame.runs["steps_taken"], np.nan)


def _death_step(frame: Frame) -> Float64Array:
    return frame.runs["death_step"].to_numpy(float, na_value=np.nan)


LAYERS = {
    "fate": Layer("fate"),
    "steps to converge": Layer(
        "steps to converge", _steps_to_converge, "dead, or did not converge"
    ),
    "loss": Layer("final loss", lambda frame: frame.runs["loss"], "0, or not finite"),
    "death step": Layer("step in which the unit died", _death_step, "alive, or born dead"),
}
