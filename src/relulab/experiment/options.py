"""The options of an experiment's command line, and how they change its sweeps and data."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from relulab import figures
from relulab.analysis import tables
from relulab.experiment.definition import Experiment
from relulab.model.data import MISSING, TrainingSet
from relulab.model.network import PARAMETERS
from relulab.sweeps.axes import thinned
from relulab.sweeps.schema import SWEEP
from relulab.sweeps.sweep import Sweep
from relulab.training.engines import ENGINES
from relulab.training.settings import BOUNDS
from relulab.validation import InputError, named_as_options

# --quick keeps every QUICK-th value of an axis and one draw in QUICK.
QUICK = 5

# Options that change no run, so they are allowed with --figures. (There, --quick and --csv choose
# the folder.)
ABOUT_NO_RUN = {"figures", "format", "tables", "by", "quick", "csv", "results"}
ABOUT_NO_RUN |= {"jobs", "engine", "scheduler", "bootstrap"}
ABOUT_SWEEPS = {"draws", "seed", "max_steps", "by", "dry_run"}


class OneLineParser(argparse.ArgumentParser):
    """A parser whose error messages are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """End the program with an error message."""
        self.exit(2, f"error: {message}; --help lists the options\n")


def option_parser(
    experiment: Experiment, *, program: str | None = None, trains: bool | None = None
) -> argparse.ArgumentParser:
    """Return the parser of an experiment's command line.

    A command that always or never trains has no option ``--figures``; one that never trains has
    no training options.
    """
    parser = OneLineParser(prog=program, description=experiment.question)
    shown = parser.add_argument_group("what is shown")
    add = shown.add_argument
    if trains is None:
        add("--figures", action="store_true", help="redraw from the files, without training")
    else:
        parser.set_defaults(figures=not trains)
    add("--format", nargs="+", choices=figures.FORMATS, default=["png"],
        help="formats of the figures, one or more: --format png pdf")  # fmt: skip
    add("--tables", nargs="+", choices=tables.FORMATS, default=["csv"],
        help="formats of the tables; md is Markdown")  # fmt: skip
    add("--by", nargs="+", metavar="COLUMN", default=[],
        help="also show outcomes, steps and deaths for each value of these columns"
        + _columns(experiment))  # fmt: skip
    add("--results", type=_path, metavar="DIR", help="the folder for files, tables and figures")
    add("--quick", action="store_true", help="a thinned sweep for a first look")
    if trains is not False:
        _add_training_options(parser.add_argument_group("what is trained, and how"))
    if experiment.options:
        experiment.options(parser)
    return parser


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--jobs", type=int, default=-1, help="number of workers; -1, the default, is one per core")
    add("--engine", default="auto", metavar=_choices(ENGINES),
        help="which code does the arithmetic; results are bit-identical")  # fmt: skip
    add("--draws", type=int, help="number of random draws; raising it keeps finished runs")
    add("--max-steps", type=int, help="the largest number of updates of a run")
    add("--seed", type=int, help="the seed of the random draws")
    add("--scheduler", metavar="ADDRESS", help="run on the Dask cluster of this scheduler")
    add("--restart", action="store_true", help="delete this experiment's runs and start over")
    add("--dry-run", action="store_true",
        help="only print how many runs there are, and the disk and time they take")  # fmt: skip


def _choices(words: Sequence[str]) -> str:
    return "{" + ",".join(words) + "}"


def _columns(experiment: Experiment) -> str:
    """Return the help text for the columns of --by, if the sweeps are known."""
    if callable(experiment.sweeps) or not experiment.sweeps:
        return ""
    return ": " + ", ".join(grouping_columns(columns_of(experiment.sweeps)))


def check_use(
    experiment: Experiment, options: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    """Refuse options that change runs when none are trained."""
    for name, value in vars(options).items():
        if value == parser.get_default(name):
            continue
        if options.figures and name not in ABOUT_NO_RUN:
            why = " with --figures, which trains nothing"
        elif not experiment.sweeps and name in ABOUT_SWEEPS:
            why = f", because {experiment.name} has no sweep"
        elif name == "scheduler" and options.dry_run:
            why = " with --dry-run, which estimates the time on this machine"
        else:
            continue
        option = "--" + name.replace("_", "-")
        if options.figures and hasattr(options, "csv"):
            why += "; the folder has the samples: choose it by --csv FILE alone or --results DIR"
        raise InputError(f"{option}: expected none{why}")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a user names a data set, for ``Experiment.options``."""
    add = parser.add_argument
    add("--csv", type=_path, metavar="FILE", help="train on two columns of this file")
    add("--x", metavar="COLUMN", help="the column of inputs: numbers, ISO dates or times")
    add("--target", metavar="COLUMN", help="the column of targets")
    add("--missing", metavar=_choices(MISSING),
        help="what to do with rows without a value; refuse is the default")  # fmt: skip
    add("--sep", metavar="CHARACTER", help="the field separator; a comma by default; '\\t': a tab")
    add("--decimal", metavar="MARK", help="the decimal mark: . (the default) or ,")
    add("--thousands", metavar="MARK",
        help="the thousands separator: , . ' or a space; default: any unambiguous one")  # fmt: skip
    add("--encoding", metavar="NAME", help="the file's encoding, utf-8 by default")


def data_of(options: argparse.Namespace, default: Callable[[], TrainingSet]) -> TrainingSet:
    """Return the standardized data set that the command line names, or the default."""
    names = ("x", "target", "missing", "sep", "decimal", "thousands", "encoding")
    given = {name: text for name in names if (text := getattr(options, name)) is not None}
    if options.csv is None:
        if given:
            told = ", ".join(f"--{name}" for name in given)
            raise InputError(f"{told}: expected with --csv FILE, got no --csv")
        return default()
    if not {"x", "target"} <= set(given):
        raise InputError(
            f"--csv: expected --x COLUMN and --target COLUMN with it, got --x {options.x},"
            f" --target {options.target}"
        )
    if given.get("sep") == r"\t":  # as typed in most shells
        given["sep"] = "\t"
    with warnings.catch_warnings(record=True) as said, named_as_options(path="csv"):
        warnings.simplefilter("always", UserWarning)
        data = TrainingSet.from_csv(options.csv, standardize=True, **given)
    for warning in said:
        print(warning.message, file=sys.stderr)
    return data


def adapted(sweeps: Mapping[str, Sweep], options: argparse.Namespace) -> dict[str, Sweep]:
    """Return the sweeps with the changes that the command line asks for."""
    if options.draws is not None and not any(sweep.drawn for sweep in sweeps.values()):
        raise InputError("--draws: expected none, because nothing is drawn at random here")
    adapted = {}
    for label, sweep in sweeps.items():
        changes: dict[str, object] = {}
        if options.quick:
            sweep = thinned(sweep, QUICK)
            if sweep.draws:
                changes["draws"] = max(sweep.draws // QUICK, 1)
        for name in ("draws", "seed", "max_steps"):
            if getattr(options, name) is not None and (name != "draws" or sweep.drawn):
                changes[name] = getattr(options, name)
        with named_as_options(**{name: name for name in changes}):
            adapted[label] = replace(sweep, **changes)  # type: ignore[arg-type]
    return adapted


def check_by(by: Sequence[str], columns: Iterable[str]) -> None:
    """Refuse columns that runs with these columns cannot be grouped by, before any work."""
    known = grouping_columns(columns)
    if wrong := [name for k, name in enumerate(by) if name not in known or name in by[:k]]:
        raise InputError(
            f"--by: expected each once of the columns {', '.join(known)}, got {wrong[0]!r}"
        )


def columns_of(sweeps: Mapping[str, Sweep]) -> list[str]:
    """Return the columns of stored runs of the sweeps."""
    return [SWEEP, *(name for sweep in sweeps.values() for name in sweep.columns)]


def grouping_columns(columns: Iterable[str]) -> list[str]:
    """Return those of some columns that are known before training: runs can be grouped by these."""
    starts = {SWEEP, *(f"{name}0" for name in PARAMETERS), *BOUNDS}
    return [name for name in dict.fromkeys(columns) if name in starts]


def _path(text: str) -> Path:
    """Return a path from the command line, expanding ~ as not every shell does."""
    if not text:  # an unset shell variable
        raise argparse.ArgumentTypeError("expected a path, got none")
    return Path(os.path.expanduser(text))
