"""The user's names of sweeps, records and figures, and the file names that stand for them."""

import hashlib
import re

from relulab.validation import InputError, shown

# Longer ones are a mistake: a text in place of its name.
LONGEST_NAME = 1_000

# A slug is a readable part of at most this many characters and, if needed, a hash.
LONGEST_READABLE = 40

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*")
_HASHED = re.compile(r".*-[0-9a-f]{16}")
# Windows keeps these for devices, whatever the suffix.
_DEVICES = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]")


def checked_name(argument: str, name: object) -> str:
    """Return a name; refuse one that is not a text, is empty, or has unprintable characters.

    Raises
    ------
    InputError
        In one line that names the argument.
    """
    if not isinstance(name, str):
        raise InputError(f"{argument}: expected a name, which is a text, got {shown(name)}")
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(
            f"{argument}: expected a name of 1 to {LONGEST_NAME:,} printable characters,"
            f" got {shown(name)}"
        )
    return str.__str__(name)  # a plain str, even of an enumeration of texts


def slug(name: str) -> str:
    """Return the file name, without a suffix, that stands for a name on every file system.

    Short names of lowercase letters, digits, ``_`` and ``-`` stand for themselves. All others get
    a hash, so that two names never share a file, even on a file system that ignores case.

    Examples
    --------
    >>> slug("he_normal")
    'he_normal'
    >>> slug("a/b")
    'a-b-c14cddc033f64b9d'
    """
    if (
        _PLAIN.fullmatch(name)
        and len(name) <= LONGEST_READABLE
        and not _HASHED.fullmatch(name)
        and not _DEVICES.fullmatch(name)
    ):
        return name
    readable = re.sub(r"[^a-z0-9_]+", "-", name.lower())[:LONGEST_READABLE].strip("-_")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{readable or 'name'}-{digest}"
