"""The arguments that all figures have in common, and what the current call was given of them.

A figure function takes them as ``**look``; the decorator ``style.drawn_in_style`` checks them,
writes them into its signature and its docstring, and keeps them here while it draws.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypedDict

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Colormap, ListedColormap, is_color_like

from relulab.validation import InputError, finite_number, instance_of, one_of, shown

Colors = str | Sequence[Any] | Mapping[Any, Any]

# Inches of a column of journals: 89 mm, and both of them.
COLUMN_WIDTHS = {"single": 3.5, "double": 7.2}
NARROWEST, WIDEST = 1.0, 40.0  # inches


class LegendKeyword(TypedDict, total=False):
    """The type of ``**look`` of what is drawn into given Axes."""

    legend: bool


class WidthKeyword(LegendKeyword, total=False):
    """The type of ``**look`` of figures that have colors of their own."""

    width: float | str | None


class LookKeywords(WidthKeyword, total=False):
    """The type of ``**look`` of all others."""

    colors: Colors | None


@dataclass(frozen=True)
class Look:
    """How a figure is to look.

    Attributes
    ----------
    width : float or str, optional
        Of the figure in inches, or "single" (3.5) or "double" (7.2), columns of a journal. Letters
        have 8 points then. A given ``ax`` has its width already.
    colors : str, sequence or mapping, optional
        Instead of relulab's: the name of one of Matplotlib's color maps, or for names also a color
        for each, in the order of the legend, or those of some by what the legend calls them.
    legend : bool
        Whether there are a legend and a color bar.
    """

    width: float | str | None = None
    colors: Colors | None = None
    legend: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", checked_width(self.width))
        _check_colors(self.colors)
        instance_of("legend", self.legend, bool)


def checked_width(width: object) -> float | None:
    """Return a width in inches."""
    if width is None:
        return None
    if isinstance(width, str):
        return COLUMN_WIDTHS[one_of("width", width, list(COLUMN_WIDTHS))]
    inches = finite_number("width", width)
    if not NARROWEST <= inches <= WIDEST:
        raise InputError(f"width: expected {NARROWEST:g} to {WIDEST:g} inches, got {inches:g}")
    return inches


def _check_colors(colors: object) -> None:
    if isinstance(colors, str):
        _color_map(colors)
    elif isinstance(colors, Mapping | Sequence):
        for color in colors.values() if isinstance(colors, Mapping) else colors:
            if not is_color_like(color):
                raise InputError(f"colors: expected colors such as '#0072b2', got {shown(color)}")
    elif colors is not None:
        raise InputError(
            f"colors: expected a color map's name, several colors, or colors by names,"
            f" got {shown(colors)}"
        )


def _color_map(name: str) -> Colormap:
    if name not in mpl.colormaps:
        raise InputError(f"colors: expected a color map such as 'viridis', got {shown(name)}")
    return mpl.colormaps[name]


def color_map(default: Colormap | str) -> Colormap | str:
    """Return the color map for numbers."""
    colors = CURRENT.get().colors
    if colors is None:
        return default
    if not isinstance(colors, str):
        raise InputError(f"colors: expected a color map such as 'viridis', got {shown(colors)}")
    return _color_map(colors)


def chosen(names: Sequence[Any], labels: Sequence[str], defaults: Sequence[Any]) -> list[Any]:
    """Return the colors of names, which the legend calls by their labels."""
    colors = CURRENT.get().colors
    if colors is None:
        return list(defaults)
    if isinstance(colors, str):
        found = _color_map(colors)
        if isinstance(found, ListedColormap) and found.N < mpl.colormaps["viridis"].N:
            return [found(i % found.N) for i in range(len(names))]  # one that is made for names
        return [found(place) for place in np.linspace(0, 1, len(names))]
    if isinstance(colors, Mapping):
        some = zip(names, labels, defaults, strict=True)
        return [colors.get(name, colors.get(label, color)) for name, label, color in some]
    if len(colors) < len(names):
        raise InputError(f"colors: expected {len(names)}, one for each name, got {len(colors)}")
    return list(colors[: len(names)])


# What the call was given that is drawing.
CURRENT: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039 (it is frozen)
