"""``python -m relulab``: the experiments that there are, and their command lines.

::

    python -m relulab                       which experiments there are, and what they ask
    python -m relulab run NAME ...          run one; its options follow
    python -m relulab figures NAME ...      redraw its figures from the files

A name is that of a script in ``experiments/`` or in the working directory; a path will do, too.
"""

import ast
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import relulab
from relulab.experiment.command import run
from relulab.experiment.definition import Experiment
from relulab.experiment.options import OneLineParser, option_parser
from relulab.sweeps.streams import own_output
from relulab.validation import InputError, one_line, shown


def main(arguments: list[str] | None = None) -> int:
    """List the experiments, or run one; return the exit status."""
    parser = OneLineParser("python -m relulab", description=str(relulab.__doc__).split("\n")[0])
    parser.add_argument("--version", action="version", version=f"relulab {relulab.__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", parser_class=OneLineParser)
    for command, text in (
        ("list", "show which experiments there are (what is done without a command)"),
        ("run", "train what the results folder of an experiment lacks, and report"),
        ("figures", "redraw the figures of an experiment from its files, without training"),
    ):
        one = commands.add_parser(command, help=text, description=text, add_help=command == "list")
        if command != "list":
            one.add_argument("name", help="of the experiment; --help after it lists its options")
    options, rest = parser.parse_known_args(arguments)
    if options.command in (None, "list"):
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        with own_output():
            print(listed(scripts()))
        return 0
    try:
        experiment = load(options.name)
    except InputError as error:
        with own_output():
            print(f"error: {error}", file=sys.stderr)
        return 2
    program = f"python -m relulab {options.command} {options.name}"
    trains = options.command == "run"
    return run(experiment, option_parser(experiment, program=program, trains=trains), rest)


def scripts() -> dict[str, Path]:
    """Return the scripts that define an experiment, by their names."""
    here, project = Path.cwd(), Path(__file__).parents[2]
    found: dict[str, Path] = {}
    for folder in (here, here / "experiments", project / "experiments"):
        for file in sorted(folder.glob("*.py")):
            if "Experiment(" in file.read_text(encoding="utf-8", errors="replace"):
                found.setdefault(file.stem, file)
    return found


def listed(found: dict[str, Path]) -> str:
    """Return the names of scripts with the questions that they ask, the first lines of each."""
    if not found:
        return "no experiments in this folder, nor in experiments/ below it"
    width = max(map(len, found))
    lines = [f"{name.ljust(width)}  {question(file)}" for name, file in found.items()]
    return "\n".join([*lines, "", "python -m relulab run NAME --help lists the options of one"])


def question(file: Path) -> str:
    """Return the first line of a script's docstring."""
    try:
        text = ast.get_docstring(ast.parse(file.read_bytes()))
    except (SyntaxError, ValueError):
        text = "(not Python)"
    return one_line((text or "").split("\n")[0])


def load(name: str) -> Experiment:
    """Return the experiment of a script, which is given by its name or path."""
    found = scripts()
    file = found.get(name, Path(name))
    spec = spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(
            f"name: expected one of {', '.join(found) or 'no experiments here'}, or the path of a"
            f" script, got {shown(name)}"
        )
    sys.path.insert(0, str(file.parent))  # as Python does for a script
    module = sys.modules[file.stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    experiments = [value for value in vars(module).values() if isinstance(value, Experiment)]
    if len(experiments) != 1:
        raise InputError(f"{file}: expected one Experiment, found {len(experiments)}")
    return experiments[0]


if __name__ == "__main__":
    raise SystemExit(main())
