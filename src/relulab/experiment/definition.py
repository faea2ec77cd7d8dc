"""What an experiment is: a question, the sweeps that answer it, a report drawn from files."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from relulab.figures.films import Film
from relulab.figures.style import Axes
from relulab.sweeps.names import slug
from relulab.sweeps.results import Results
from relulab.sweeps.sweep import Sweep

Report = Iterable[tuple[str, Axes | Film | pd.DataFrame | str]]


@dataclass(frozen=True)
class Experiment:
    """One question, the sweeps and records that answer it, and how the answer is shown.

    Attributes
    ----------
    file : str
        The script's ``__file__``; its name is the experiment's.
    question : str
        What ``--help`` and the summary say.
    report : function of Results
        Yields (name, Axes or table), stored in the requested formats; (name, Film), stored as a
        GIF; and (name, text), which is also printed.
    sweeps : dict of str to Sweep, or function of the parsed command line
        The function returns the dict, so that the user can name the data of the sweeps.
    records : dict of str to function of the parsed command line
        Each returns a DataFrame of something other than runs: a trace, timings.
    options : function of ArgumentParser, optional
        Adds this experiment's own command-line options.
    answer : function of Results and the parsed command line, optional
        Yields, like ``report``, what is reported first, before any run is trained.
    """

    file: str
    question: str
    report: Callable[[Results], Report]
    sweeps: Mapping[str, Sweep] | Callable[[argparse.Namespace], Mapping[str, Sweep]] = field(
        default_factory=dict
    )
    records: Mapping[str, Callable[[argparse.Namespace], pd.DataFrame]] = field(
        default_factory=dict
    )
    options: Callable[[argparse.ArgumentParser], None] | None = None
    answer: Callable[[Results, argparse.Namespace], Report] | None = None

    @property
    def name(self) -> str:
        """The name of the script without its suffix."""
        return Path(self.file).stem

    def folder(self, *, quick: bool, data: str | None = None) -> Path:
        """Return the default results folder, inside a folder ``results``.

        The project's own experiments use the project's ``results``; all others use one next to
        the script. ``data`` is the name of the user's data: their results are kept apart from
        those of the default data.
        """
        home = Path(self.file).resolve().parent
        if home.name == "experiments" and (home.parent / "src" / "relulab").is_dir():
            home = home.parent
        results = home / "results" / "quick" if quick else home / "results"
        return results / (self.name if data is None else f"{self.name}-{slug(data)}")
