"""Draw fast: moving artists are drawn over a stored picture of the rest."""

from collections.abc import Callable, Iterable
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure


class Stage:
    """Draws a figure with some moving parts.

    Parameters
    ----------
    figure : Figure
    moving : function
        Returns the artists that move, which may change.
    framed : Axes
        The axes whose frame is drawn over the moving artists.
    """

    def __init__(
        self, figure: Figure, moving: Callable[[], Iterable[Artist]], framed: Axes
    ) -> None:
        self._canvas: Any = figure.canvas
        self._figure = figure
        self._moving = moving
        self._framed = framed
        self._still: Any = None
        self._canvas.mpl_connect("draw_event", self._drawn)

    def redraw(self) -> None:
        """Draw everything, when there is time."""
        if not self._is_closed():
            self._set_moving()
            self._canvas.draw_idle()

    def refresh(self) -> None:
        """Draw the moving artists at once."""
        if self._still is None or not self._canvas.supports_blit or self._is_closed():
            self.redraw()
            return
        self._canvas.restore_region(self._still)
        self._draw(self._set_moving())
        self._canvas.blit(self._figure.bbox)

    def _is_closed(self) -> bool:
        """Return whether the figure has another canvas, as after its window was closed."""
        return bool(self._figure.canvas != self._canvas)

    def _set_moving(self) -> list[Artist]:
        """Return the moving artists in drawing order, and exclude them from normal drawing."""
        artists = sorted(self._moving(), key=lambda artist: artist.get_zorder())
        for artist in artists:
            artist.set_animated(bool(self._canvas.supports_blit))
        return artists

    def _drawn(self, event: Any) -> None:
        # A file is drawn on its own canvas, with the moving artists.
        if self._canvas.supports_blit and not event.canvas.is_saving():
            self._still = self._canvas.copy_from_bbox(self._figure.bbox)
            self._draw(self._set_moving())

    def _draw(self, artists: list[Artist]) -> None:
        for artist in artists:
            if artist.axes is not None and artist.axes.get_visible():
                artist.axes.draw_artist(artist)
        for spine in self._framed.spines.values():
            self._framed.draw_artist(spine)
