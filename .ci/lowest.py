"""Which versions are the lowest that pyproject.toml allows? Printed as constraints for pip."""

import tomllib
from itertools import chain
from pathlib import Path

pyproject = Path(__file__).parent.parent / "pyproject.toml"
project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
    if ">=" in requirement:
        print(requirement.replace(">=", "==", 1))
