"""The options of an experiment's command line, and what they make of its sweeps and data."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from relulab import figures
from relulab.analysis import tables
from relulab.experiment.definition import Experiment
from relulab.model.data import MISSING, TrainingSet
from relulab.sweeps.axes import thinned
from relulab.sweeps.sweep import Sweep
from relulab.training.engines import ENGINES
from relulab.validation import InputError, named_as_options

# --quick keeps every QUICK-th value of an axis and one draw in QUICK.
QUICK = 5

# Options that change no run, so they may stand beside --figures. (--quick and --csv tell the folder
# there.)
ABOUT_NO_RUN = {"figures", "format", "tables", "by", "quick", "csv", "results"}
ABOUT_NO_RUN |= {"jobs", "engine", "scheduler", "bootstrap"}
ABOUT_SWEEPS = {"draws", "seed", "max_steps", "by", "dry_run"}


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaints are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """End the program with a complaint."""
        self.exit(2, f"error: {message}; --help lists the options\n")


def option_parser(
    experiment: Experiment, *, program: str | None = None, trains: bool | None = None
) -> argparse.ArgumentParser:
    """Return the parser of an experiment's command line.

    A command that always trains, or never does, has no option ``--figures``; one that never does
    has none about training.
    """
    parser = OneLineParser(prog=program, description=experiment.question)
    shown = parser.add_argument_group("what is shown")
    add = shown.add_argument
    if trains is None:
        add("--figures", action="store_true", help="redraw from the files, without training")
    else:
        parser.set_defaults(figures=not trains)
    add("--format", nargs="+", choices=figures.FORMATS, default=["png"],
        help="of the figures; several are fine: --format png pdf")  # fmt: skip
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
    add("--jobs", type=int, default=-1, help="number of workers; -1, the default: one per core")
    add("--engine", default="auto", metavar=_choices(ENGINES),
        help="what does the arithmetic; the bits are the same")  # fmt: skip
    add("--draws", type=int, help="random draws; raising it keeps the runs that are finished")
    add("--max-steps", type=int, help="the largest number of updates of a run")
    add("--seed", type=int, help="the seed of the random draws")
    add("--scheduler", metavar="ADDRESS", help="run on the Dask cluster of this scheduler")
    add("--restart", action="store_true", help="delete this experiment's runs and start anew")
    add("--dry-run", action="store_true",
        help="only say how many runs there are, and what disk and time they will take")  # fmt: skip


def _choices(words: Sequence[str]) -> str:
    return "{" + ",".join(words) + "}"


def _columns(experiment: Experiment) -> str:
    """Return what the help says of the columns of --by, where the sweeps are known."""
    if callable(experiment.sweeps) or not experiment.sweeps:
        return ""
    return ": " + ", ".join(grouping_columns(experiment.sweeps))


def check_use(
    experiment: Experiment, options: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    """Refuse options that ask for other runs where none are made."""
    for name, value in vars(options).items():
        if value == parser.get_default(name):
            continue
        if options.figures and name not in ABOUT_NO_RUN:
            why = " with --figures, which trains nothing"
        elif not experiment.sweeps and name in ABOUT_SWEEPS:
            why = f", because {experiment.name} has no sweep"
        elif name == "scheduler" and options.dry_run:
            why = " with --dry-run, which tells the time on this machine"
        else:
            continue
        option = "--" + name.replace("_", "-")
        if options.figures and hasattr(options, "csv"):
            why += "; the samples are in the folder, which --csv FILE alone or --results DIR names"
        raise InputError(f"{option}: expected none{why}")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a user names a data set, for ``Experiment.options``."""
    add = parser.add_argument
    add("--csv", type=_path, metavar="FILE", help="train on two columns of this file")
    add("--x", metavar="COLUMN", help="the column of inputs: numbers, ISO dates or times")
    add("--target", metavar="COLUMN", help="the column of targets")
    add("--missing", metavar=_choices(MISSING),
        help="what to do with rows without a value; refuse is the default")  # fmt: skip
    add("--sep", metavar="CHARACTER", help="between fields, by default a comma; '\\t' is a tab")
    add("--decimal", metavar="MARK", help="the decimal mark: . (the default) or ,")
    add("--thousands", metavar="MARK",
        help="between thousands: , . ' or a space; by default what is unambiguous")  # fmt: skip
    add("--encoding", metavar="NAME", help="of the file, by default utf-8")


def data_of(options: argparse.Namespace, default: Callable[[], TrainingSet]) -> TrainingSet:
    """Return the standardized data set that the command line names, else the default."""
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
    if given.get("sep") == r"\t":  # as one types it in most shells
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


def check_by(by: Sequence[str], sweeps: Mapping[str, Sweep]) -> None:
    """Refuse columns that runs cannot be grouped by, before anything is trained."""
    known = grouping_columns(sweeps)
    if wrong := [name for k, name in enumerate(by) if name not in known or name in by[:k]]:
        raise InputError(
            f"--by: expected each once of the columns {', '.join(known)}, got {wrong[0]!r}"
        )


def grouping_columns(sweeps: Mapping[str, Sweep]) -> list[str]:
    """Return the columns that runs can be grouped by before they are trained."""
    known = ["sweep"]
    for sweep in sweeps.values():
        columns = map(str, sweep.parameters(0, 0))
        known += [name for name in columns if name not in (*known, "run", "draw")]
    return known


def _path(text: str) -> Path:
    """Return a path of the command line, which not every shell has expanded."""
    if not text:  # a variable of the shell that is not set
        raise argparse.ArgumentTypeError("expected a path, got none")
    return Path(os.path.expanduser(text))
