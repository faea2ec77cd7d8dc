"""The manifest of a results folder: what was asked for, its shards, and their state.

A manifest is accepted only as a whole. It ends with a digest of itself, and its content must be
consistent: names must be valid, shards must be contiguous and cover the runs. It has no paths: the
place of a file follows from a sweep's name (``names.slug``) and a shard's number.
"""

import hashlib
import json
import platform
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from relulab.sweeps.names import checked_name
from relulab.sweeps.schema import checked_columns, merged
from relulab.validation import LARGEST_SHARD, MOST_SHARDS, InputError, shown

# The format of a folder; 3 since all parts of an experiment have the same columns.
FORMAT = 3

DONE, PENDING, FAILED = "done", "pending", "failed"
STATES = (DONE, PENDING, FAILED)

LARGEST_MANIFEST = 2**28  # bytes


@dataclass
class Shard:
    """Runs ``start`` ... ``stop - 1`` of a sweep, which are stored in one file.

    Attributes
    ----------
    state : {"done", "pending", "failed"}
    seconds : float, optional
        How long it took, if it is done.
    error : str, optional
        The traceback, if it failed.
    """

    start: int
    stop: int
    state: str = PENDING
    seconds: float | None = None
    error: str | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the shard that JSON values describe; raise ``ValueError`` if they do not."""
        shard = cls(**_exactly(values, {"start": int, "stop": int, "state": str}, "seconds error"))
        _require(shard.state in STATES and 0 <= shard.start < shard.stop, "a shard")
        _require(len(shard) <= LARGEST_SHARD, "a shard's size")
        _require(isinstance(shard.seconds, int | float | None), "seconds")
        _require(isinstance(shard.error, str | None), "an error")
        return shard

    def to_json(self) -> dict[str, Any]:
        """Return the shard as JSON values, without those that are None."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class SweepEntry:
    """The part of a manifest about one sweep.

    Attributes
    ----------
    specification : dict
        ``Sweep.specification()``: everything that decides the runs, except the number of draws.
    draws : int or None
    n_runs : int
    columns : dict of str to str
        The columns of this sweep's runs and their types; see ``relulab.sweeps.schema``.
    shards : list of Shard
        In the order of the runs, without a gap.
    """

    specification: dict[str, Any]
    draws: int | None
    n_runs: int
    columns: dict[str, str]
    shards: list[Shard]

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Return the entry that JSON values describe; raise ``ValueError`` if they do not."""
        kinds = {
            "specification": dict,
            "draws": int | None,
            "n_runs": int,
            "columns": dict,
            "shards": list,
        }
        entry = cls(**_exactly(values, kinds))
        _require(0 < len(entry.shards) <= MOST_SHARDS, "the number of shards")
        entry.shards = [Shard.from_json(shard) for shard in entry.shards]
        ends = [0, *(shard.stop for shard in entry.shards)]
        starts = [*(shard.start for shard in entry.shards), entry.n_runs]
        _require(ends == starts, "shards that cover the runs")
        _require(entry.draws is None or entry.draws > 0, "draws")
        _require(entry.n_runs % (entry.draws or 1) == 0, "draws that fit the runs")
        checked_columns(entry.columns)
        return entry

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "shards": [shard.to_json() for shard in self.shards]}

    @cached_property
    def identity(self) -> str:
        """A digest of the specification, which identifies the parts of this sweep."""
        return _digest(self.specification)


@dataclass
class Manifest:
    """What was asked for, with which versions, and its state.

    Attributes
    ----------
    sweeps : dict of str to SweepEntry
    versions : dict of str to str
        The versions of Python and the packages that made the runs.
    commit : str or None
        The commit of relulab, if it runs from a clone.
    """

    sweeps: dict[str, SweepEntry]
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None

    @cached_property
    def columns(self) -> dict[str, str]:
        """The columns of every part, with their types: those of all sweeps together."""
        return merged([entry.columns for entry in self.sweeps.values()])

    @property
    def major_version(self) -> str:
        """The major version of the relulab that made the runs."""
        return self.versions["relulab"].split(".")[0]

    def to_text(self) -> str:
        """Return the manifest as it is stored, with a digest of itself."""
        content = {
            "format": FORMAT,
            "versions": self.versions,
            "commit": self.commit,
            "sweeps": {name: entry.to_json() for name, entry in self.sweeps.items()},
        }
        return json.dumps({**content, "digest": _digest(content)}, indent=1) + "\n"

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """Return the manifest that a text describes; raise ``ValueError`` if it is damaged."""
        try:
            return cls._from_json(json.loads(text))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None

    @classmethod
    def _from_json(cls, content: Any) -> Self:
        _require(isinstance(content, dict), "a manifest")
        _require(type(content.get("format")) is int, "a format")
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {shown(content['format'])}, not {FORMAT}")
        kinds = {"format": int, "versions": dict, "commit": str | None, "sweeps": dict}
        _exactly(content, {**kinds, "digest": str})
        _require(content.pop("digest") == _digest(content), "what it held when it was written")
        versions = content["versions"]
        _require(all(isinstance(value, str) for value in versions.values()), "versions")
        _require("relulab" in versions, "the version of relulab")
        return cls(
            sweeps={
                checked_name("sweep", name): SweepEntry.from_json(values)
                for name, values in content["sweeps"].items()
            },
            versions=versions,
            commit=content["commit"],
        )


def read_manifest(file: Path) -> Manifest | None:
    """Return the manifest in a file, or None if there is no such file.

    Raises
    ------
    InputError
        If the file is damaged, has another format, or is not a file.
    """
    try:
        return Manifest.from_text(_content(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:  # also of JSON, of the encoding, and InputError
        raise InputError(
            f"{file}: expected a manifest of format {FORMAT}, got one that is damaged or of another"
            f" version ({error}); use --restart, or --results with another folder"
        ) from None


def _content(file: Path) -> bytes:
    """Return a file's content; raise ``ValueError`` if it is not a file or too large."""
    status = file.lstat()
    _require(stat.S_ISREG(status.st_mode), "a file")  # a pipe would be waited for
    _require(status.st_size <= LARGEST_MANIFEST, "a size")
    return file.read_bytes()


def is_foreign_manifest(file: Path) -> bool:
    """Return whether a file is another program's: JSON, but not a manifest of any version."""
    try:
        content = json.loads(_content(file))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and not {"format", "sweeps"} & set(content)


def provenance() -> dict[str, Any]:
    """Return the versions and the commit that runs come from."""
    packages = ("relulab", "numpy", "pandas", "pyarrow")
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = None  # installed from a wheel, or no git here
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "commit": commit,
    }


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"it lacks {what}")


def _exactly(values: Any, kinds: Mapping[str, Any], optional: str = "") -> dict[str, Any]:
    """Return JSON values that have exactly these keys and types, and maybe the optional keys."""
    _require(isinstance(values, dict), f"an object with {', '.join(kinds)}")
    names = set(values)
    _require(set(kinds) <= names <= {*kinds, *optional.split()}, ", ".join(kinds))
    for name, kind in kinds.items():
        _require(isinstance(values[name], kind) and type(values[name]) is not bool, name)
    return dict(values)
