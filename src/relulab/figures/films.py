"""Films: figures one after the other, stored as an animated GIF."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.animation import PillowWriter

from relulab.figures.saving import finished
from relulab.figures.style import STYLE, Axes, in_its_style, root_of
from relulab.validation import InputError, finite_number, instance_of, set_fields, shortened, shown


@dataclass(frozen=True, eq=False)
class Film:
    """Figures that are shown one after the other; a report may yield one as it yields an Axes.

    Attributes
    ----------
    frames : iterable of Axes
        One Axes of each frame's figure. A generator draws a frame when the film is stored, so that
        a single one is in memory. All figures have one size; it may be the same figure, redrawn.
    seconds : float
        How long each frame is shown.
    pause : float
        How much longer the last one is shown, before the film begins again.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> def frames(trace):
    ...     for step in range(10):
    ...         ax = rl.figures.panels(1)[0]
    ...         ax.plot(trace["w"][: step + 1], trace["v"][: step + 1])
    ...         ax.set(xlim=(0, 2), ylim=(0, 2), title="Where does it go?")
    ...         yield ax
    >>> start = rl.Networks(w=0.5, b=0.2, v=0.3, c=0.1)
    >>> trace = rl.trace(start, rl.TrainingSet.point(1, 3), 0.1, n_steps=10)
    >>> film = rl.figures.Film(frames(trace), seconds=0.2)
    """

    frames: Iterable[Axes]
    seconds: float = 0.5
    pause: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.frames, Iterable):
            raise InputError(f"frames: expected several Axes, got {shown(self.frames)}")
        seconds = finite_number("seconds", self.seconds, at_least=0.01)
        pause = finite_number("pause", self.pause, at_least=0)
        # A GIF has 16 bits for hundredths of a second.
        for name, value, most in (("seconds", seconds, 600), ("pause", pause, 50)):
            if value > most:
                raise InputError(f"{name}: expected a number <= {most}, got {value:g}")
        set_fields(self, seconds=seconds, pause=pause)


def save_film(film: Film, file: str | PathLike[str]) -> None:
    """Store a film as a GIF, and free its figures. The same figures give the same bytes."""
    instance_of("film", film, Film)
    named = isinstance(file, str | PathLike) and "\0" not in str(file)
    path = Path(os.path.expanduser(file)) if named else None
    if path is None or path.suffix != ".gif":
        name = shortened(path.name) if path else shown(file)
        raise InputError(f"file: expected a name that ends with .gif, got {name}")
    writer = PillowWriter(fps=1 / film.seconds)  # type: ignore[arg-type]  # fractions are fine
    size = None
    for ax in film.frames:
        figure = root_of(ax)
        if size is None:
            size = tuple(figure.get_size_inches())
            writer.setup(figure, path, dpi=STYLE["savefig.dpi"])
        elif tuple(figure.get_size_inches()) != size:
            raise InputError("frames: expected figures of one size, got several")
        with in_its_style(figure):
            finished(figure)
            writer.fig = figure
            # Matplotlib 3.10.0 misspells where it puts a frame that is transparent.
            vars(writer)["_frame"] = vars(writer)["_frames"]
            writer.grab_frame()
        plt.close(figure)
    if size is None:
        raise InputError("frames: expected at least one Axes, got none")
    first, *others = vars(writer)["_frames"]
    times = [int(1000 / writer.fps)] * (1 + len(others))
    times[-1] += int(1000 * film.pause)
    first.save(path, save_all=True, append_images=others, duration=times, loop=0)
