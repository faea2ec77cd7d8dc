"""Notations of numbers, dates and times: convert texts to numbers, exact to the last bit."""

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Self

import numpy as np

from relulab.validation import InputError, argument, shown

# The texts that pandas.read_csv takes as missing.
MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
     "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)  # fmt: skip

# Unambiguous thousands separators; an ordinary space may also separate two numbers.
APOSTROPHES = "'\u2019"
NARROW_SPACES = "\u00a0\u2007\u2009\u202f"
THOUSANDS = (",", ".", "'", " ")

NANOSECONDS = 10**9
DAY = 86_400 * NANOSECONDS
EPOCH = date(1970, 1, 1).toordinal()
FIRST_DAY, LAST_DAY = date.min.toordinal() - EPOCH, date.max.toordinal() - EPOCH
MOST_DAYS = LAST_DAY - FIRST_DAY

DATES, ZONED_DATES, TIMES = "dates", "dates with a time zone", "times"

_CLOCK_PARTS = ("hour", "minute", "second", "fraction")
_CLOCK = r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
_ZONE = r"\s?(?P<zone>[Zz]|(?P<sign>[+-])(?P<zone_hour>\d\d):?(?P<zone_minute>\d\d)?)"
_INSTANT = re.compile(
    rf"(?:(?P<date>\d{{4}}-\d\d-\d\d)(?:[Tt ]{_CLOCK}(?:{_ZONE})?)?"
    rf"|{re.sub('<', '<alone_', _CLOCK)})",
    re.ASCII,
)
_DATE_OF_PEOPLE = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?!\d)", re.ASCII)


@dataclass(frozen=True)
class Notation:
    """How the numbers of a file are written.

    Attributes
    ----------
    decimal : {".", ","}
        The decimal mark.
    thousands : {",", ".", "'", " "}, optional
        The thousands separator; " " is any space. If None, all but the ordinary space are
        recognized.

    Raises
    ------
    InputError
        If one is anything else, or if both are the same.
    """

    decimal: str = "."
    thousands: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.decimal, str) or self.decimal not in (".", ","):
            name, value = argument("decimal"), shown(self.decimal)
            raise InputError(f"{name}: expected '.' or ',', got {value}")
        if self.thousands is None:
            return
        if not isinstance(self.thousands, str) or self.thousands not in THOUSANDS:
            raise InputError(
                f"{argument('thousands')}: expected one of {', '.join(map(repr, THOUSANDS))},"
                f" got {shown(self.thousands)}"
            )
        if self.thousands == self.decimal:
            raise InputError(
                f"{argument('thousands')}: expected another mark than {argument('decimal')},"
                f" got {shown(self.thousands)} for both"
            )

    @property
    def other_mark(self) -> str:
        """The comma if the decimal mark is a point, and vice versa."""
        return "," if self.decimal == "." else "."

    def swapped(self) -> Self:
        """Return the notation with point and comma swapped."""
        return type(self)(self.other_mark)

    def number(self, text: str) -> float | None:
        """Return the float64 nearest to the number in a text, or None if it is not a number."""
        # Most have no separators. Only Python reads 2024_01 as a number.
        if "_" not in text and not (self.decimal == "," and "." in text):
            try:
                return float(text.replace(self.decimal, "."))
            except ValueError:
                pass
        if self._grouped.fullmatch(text):
            return float(self._marks.sub("", text).replace(self.decimal, "."))
        return None

    @cached_property
    def _marks(self) -> re.Pattern[str]:
        spaces = {" ": NARROW_SPACES + " ", "'": APOSTROPHES}
        marks = self.other_mark + APOSTROPHES + NARROW_SPACES
        if self.thousands is not None:
            marks = spaces.get(self.thousands, self.thousands)
        return re.compile(f"[{re.escape(marks)}]")

    @cached_property
    def _grouped(self) -> re.Pattern[str]:
        """Numbers with the same mark before each group of three digits of the whole part."""
        fraction = rf"(?:{re.escape(self.decimal)}[0-9]*)?"
        return re.compile(
            rf"[+-]?[1-9][0-9]{{0,2}}({self._marks.pattern})[0-9]{{3}}(?:\1[0-9]{{3}})*{fraction}"
        )


def instant(text: str) -> tuple[str, int] | None:
    """Return the kind of a date, with or without a time, or of a time, and its nanoseconds.

    They count from 1970, in UTC if there is a time zone, or from midnight. None is returned for a
    text that is not in ISO 8601, or a date or time that does not exist.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    part = match.groupdict()
    if part["date"] is None:
        clock = _nanoseconds(
            *(part[f"alone_{k}"] for k in ("hour", "minute", "second", "fraction"))
        )
        return None if clock is None else (TIMES, clock)
    try:
        days = date.fromisoformat(part["date"]).toordinal() - EPOCH
    except ValueError:
        return None
    if part["hour"] is None:
        return DATES, days * DAY
    clock = _nanoseconds(part["hour"], part["minute"], part["second"], part["fraction"])
    if clock is None or len(part["hour"]) == 1:
        return None
    if part["zone"] is None:
        return DATES, days * DAY + clock
    offset = _nanoseconds(part["zone_hour"] or "0", part["zone_minute"] or "0", None, None)
    if offset is None:
        return None
    return ZONED_DATES, days * DAY + clock + (offset if part["sign"] == "-" else -offset)


def _nanoseconds(hour: str, minute: str, second: str | None, fraction: str | None) -> int | None:
    """Return the nanoseconds from midnight to a time of day, or None if there is no such time."""
    h, m, s = int(hour), int(minute), int(second or 0)
    if h > 23 or m > 59 or s > 59:
        return None
    return ((h * 60 + m) * 60 + s) * NANOSECONDS + int((fraction or "").ljust(9, "0"))


def written(kind: str, nanoseconds: int) -> str:
    """Return a date or time as a text: 2024-01-31, 2024-01-31 12:00:00 UTC."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    day, clock = str(np.datetime64(seconds, "s")).split("T")
    if rest:
        clock += f".{rest:09d}".rstrip("0")
    if kind == TIMES:
        return clock
    if kind == ZONED_DATES:
        return f"{day} {clock} UTC"
    return f"{day} {clock}" if nanoseconds % DAY else day


def iso_dates(text: str) -> list[str] | None:
    """Return the dates that a text in a format other than ISO 8601 may mean.

    Return None if it does not look like a date at all.
    """
    match = _DATE_OF_PEOPLE.match(text)
    if match is None:
        return None
    first, _, second, third = match.groups()
    orders = [(first, second, third)] if len(first) == 4 else []
    if len(third) == 4:
        orders = [(third, second, first), (third, first, second)]
    found = []
    for year, month, day in orders:
        try:
            found.append(date(int(year), int(month), int(day)).isoformat())
        except ValueError:
            continue
    return [iso for iso in dict.fromkeys(found) if iso != text[:10]]  # else its time is invalid


def later(first: str, days: float) -> str | None:
    """Return the text some days later than a date or time that ``written`` wrote.

    It is exact to the day for a day, to the second for an instant; None if the text is neither, or
    if the result is beyond the years with four digits.
    """
    zoned = first.removesuffix(" UTC")
    found = instant(zoned)
    if found is None or not abs(days) < MOST_DAYS:
        return None
    kind, start = found
    unit = NANOSECONDS if ":" in first else DAY
    nanoseconds = start + unit * round(days * (DAY // unit))
    if not FIRST_DAY * DAY <= nanoseconds < LAST_DAY * DAY:
        return None
    return written(ZONED_DATES if zoned != first else kind, nanoseconds)
