"""``python -m relulab``: the list of experiments, and their command lines.

::

    python -m relulab                       list the experiments and their questions
    python -m relulab run NAME ...          run one; its options follow
    python -m relulab figures NAME ...      redraw its figures from the files
    python -m relulab tour                  copy the notebook tour.ipynb into this folder

A name is that of a script in ``experiments/`` or in the working directory; a path also works.
"""

import argparse
import ast
import sys
from importlib.resources import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import relulab
from relulab.experiment.command import run
from relulab.experiment.definition import Experiment
from relulab.experiment.options import OneLineParser, option_parser
from relulab.sweeps.output import own_output
from relulab.validation import InputError, one_line, shown

TOUR = "tour.ipynb"


def main(arguments: list[str] | None = None) -> int:
    """List the experiments, or run one; return the exit status."""
    parser = OneLineParser("python -m relulab", description=str(relulab.__doc__).split("\n")[0])
    parser.add_argument("--version", action="version", version=f"relulab {relulab.__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", parser_class=OneLineParser)
    commands.add_parser("list", help="list the experiments and their questions")
    commands.add_parser("tour", help="copy the notebook tour.ipynb into this folder")
    for command, text in (
        ("run", "train what an experiment's results folder lacks, and report"),
        ("figures", "redraw an experiment's figures from its files, without training"),
    ):
        one = commands.add_parser(command, help=text, description=text, add_help=False)
        one.add_argument("name", nargs="?", help="the experiment; its options follow")
    options, rest = parser.parse_known_args(arguments)
    if options.command in (None, "list", "tour"):
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        if options.command == "tour":
            return put_tour()
        with own_output():
            print(listed(scripts()))
        return 0
    if options.name is None:
        return _without_a_name(commands.choices[options.command], rest)
    try:
        experiment = load(options.name)
    except InputError as error:
        with own_output():
            print(f"error: {error}", file=sys.stderr)
        return 2
    program = f"python -m relulab {options.command} {options.name}"
    trains = options.command == "run"
    return run(experiment, option_parser(experiment, program=program, trains=trains), rest)


def put_tour() -> int:
    """Put the notebook of the tour into the working directory, unless there is one."""
    notebook = Path(TOUR)
    with own_output():
        try:
            with notebook.open("xb") as file:
                file.write(files("relulab").joinpath(TOUR).read_bytes())
        except FileExistsError:
            print(f"error: {TOUR}: expected none here, found one; move it", file=sys.stderr)
            return 2
        except OSError as error:
            print(f"error: {one_line(str(error))}", file=sys.stderr)
            return 2
        print(f"{TOUR} is here: jupyter lab {TOUR}")
    return 0


def _without_a_name(parser: argparse.ArgumentParser, rest: list[str]) -> int:
    """Show a command's help if it is asked for; otherwise ask for the name."""
    if not {"-h", "--help"} & set(rest):
        parser.error("name: expected the name of an experiment, got none")
    with own_output():
        parser.print_help()
        print(f"\nexperiments:\n{listed(scripts())}")
    return 0


def scripts() -> dict[str, Path]:
    """Return the scripts that define an experiment, by name."""
    found: dict[str, Path] = {}
    for folder in (Path(), Path("experiments"), Path(__file__).parents[2] / "experiments"):
        for file in sorted(folder.glob("*.py")):
            if question(file) is not None:
                found.setdefault(file.stem, file)
    return found


def listed(found: dict[str, Path]) -> str:
    """Return the names of scripts and the questions they ask."""
    if not found:
        return "no experiments in this folder or in its subfolder experiments/"
    width = max(map(len, found))
    lines = [f"{name.ljust(width)}  {question(file)}" for name, file in found.items()]
    return "\n".join([*lines, "", "python -m relulab run NAME --help lists the options"])


def question(file: Path) -> str | None:
    """Return the question of the experiment that a script defines, or None if it defines none."""
    try:
        tree = ast.parse(file.read_bytes()) if file.is_file() else ast.parse("")
    except (OSError, SyntaxError, ValueError):
        return None
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "Experiment":
            asked = [word.value for word in call.keywords if word.arg == "question"]
            known = [text.value for text in asked if isinstance(text, ast.Constant)]
            text = str(known[0]) if known else ast.get_docstring(tree) or ""
            return one_line(text.split("\n")[0])
    return None


def load(name: str) -> Experiment:
    """Return the experiment of a script, given by name or path."""
    found = scripts()
    file = found.get(name, Path(name))
    spec = spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(
            f"name: expected one of {', '.join(found) or 'no experiments here'}, or the path of a"
            f" script, before all options, got {shown(name)}"
        )
    sys.path.insert(0, str(file.parent.absolute()))  # as Python does for a script
    module = sys.modules[file.stem] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    experiments = [value for value in vars(module).values() if isinstance(value, Experiment)]
    if len(experiments) != 1:
        raise InputError(f"{file}: expected one Experiment, found {len(experiments)}")
    return experiments[0]


if __name__ == "__main__":
    raise SystemExit(main())
