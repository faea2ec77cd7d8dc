"""Read two columns of a CSV file as numbers; refuse other or ambiguous texts, naming the line."""

from os import PathLike

import numpy as np

from relulab.reading.csv_file import checked_encoding, checked_sep, csv_table, csv_text, long_fields
from relulab.reading.frame_columns import Column, Rows, days, finite, places_of, refused
from relulab.reading.notation import (
    DATES,
    MISSING,
    TIMES,
    ZONED_DATES,
    Notation,
    instant,
    iso_dates,
)
from relulab.validation import InputError, argument, shown


def csv_columns(
    path: str | PathLike[str],
    x: str,
    target: str,
    *,
    sep: str,
    decimal: str,
    thousands: str | None,
    encoding: str,
) -> tuple[Rows, Column, Column]:
    """Return two columns of a file."""
    x, target = x.strip(), target.strip()
    notation = Notation(decimal, thousands)
    if checked_sep(sep) == decimal:
        raise InputError(
            f"{argument('sep')}: expected another character than the decimal mark,"
            f" got {shown(sep)} for both"
        )
    source, text = csv_text(path, checked_encoding(encoding))
    with long_fields():
        lines, x_cells, target_cells = _cells(source, text, sep, x, target)
    rows = Rows(source, "line", lines)
    return (
        rows,
        _of_texts("x", x, x_cells, rows, notation, sep),
        _of_texts("target", target, target_cells, rows, notation, sep),
    )


def _cells(
    source: str, text: str, sep: str, x: str, target: str
) -> tuple[list[int], list[str], list[str]]:
    """Return the lines on which rows begin, and the texts of two columns."""
    header, rest = csv_table(source, text, sep, (x, target))
    named = {k: name for k, name in enumerate(header) if name}  # spreadsheets add unnamed ones
    k_x, k_target = places_of(source, named, x, target)
    lines, x_cells, target_cells = [], [], []
    for line, fields in rest:
        if len(fields) != len(header):
            raise InputError(
                f"{source}: expected {len(header)} fields in each line, as in its header,"
                f" got {len(fields)} in line {line}"
            )
        lines.append(line)
        x_cells.append(fields[k_x].strip())
        target_cells.append(fields[k_target].strip())
    if not lines:
        raise InputError(f"{source}: expected at least one row below the header, got none")
    return lines, x_cells, target_cells


def _of_texts(
    which: str, name: str, texts: list[str], rows: Rows, notation: Notation, sep: str
) -> Column:
    """Return a column of a file; refuse anything but finite numbers and, for x, dates and times."""
    there = [k for k, text in enumerate(texts) if text not in MISSING]
    if which == "x" and there and (first := instant(texts[there[0]])) is not None:
        return _of_instants(name, texts, there, rows, first[0])
    values = np.full(len(texts), np.nan)
    for k in there:
        number = notation.number(texts[k])
        if number is None:
            hint = _hint(which, texts[k], notation, sep)
            raise refused(which, name, "numbers", texts[k], rows[k], hint)
        values[k] = number
    _assert_one_reading(which, name, texts, there, rows, notation, sep)
    return Column(name, finite(which, name, values, rows))


def _of_instants(name: str, texts: list[str], there: list[int], rows: Rows, kind: str) -> Column:
    """Return dates or times of one kind as days from the earliest."""
    nanoseconds: list[int | None] = [None] * len(texts)
    for k in there:
        found = instant(texts[k])
        if found is None or found[0] != kind:
            expected = {
                DATES: "dates such as 2024-01-31 or 2024-01-31T12:30",
                ZONED_DATES: "dates with a time zone such as 2024-01-31T12:30Z",
                TIMES: "times such as 12:30:15",
            }[kind]
            expected += f", as in line {rows.numbers[there[0]]},"
            raise refused("x", name, expected, texts[k], rows[k], _date_hint(texts[k]))
        nanoseconds[k] = found[1]
    return days(name, kind, nanoseconds)


def _assert_one_reading(
    which: str,
    name: str,
    texts: list[str],
    there: list[int],
    rows: Rows,
    notation: Notation,
    sep: str,
) -> None:
    """Refuse numbers that would also all be valid, but different, with point and comma swapped.

    In a column with 1,234.5 or 1,234,567 or 0.5 the comma is a thousands separator; in one with
    only 1,234 and 987 it may also be a decimal mark.
    """
    other = notation.other_mark
    grouped = next((k for k in there if other in texts[k]), None)
    if notation.thousands is not None or grouped is None:
        return
    swapped = notation.swapped()
    if any(swapped.number(texts[k]) is None for k in there):
        return
    text = texts[grouped]
    hint = f"; {argument('thousands', other)} reads {notation.number(text):.15g}"
    if sep != other:
        hint += f", {argument('decimal', other)} reads {swapped.number(text):.15g}"
    expected = "numbers that can be read in one way only"
    raise refused(which, name, expected, text, rows[grouped], hint)


def _hint(which: str, text: str, notation: Notation, sep: str) -> str:
    """Return the options with which a text is a number, or how to write it as a date, if any."""
    for decimal in (notation.decimal, notation.other_mark):
        for thousands in (notation.thousands, " "):
            if thousands == decimal:
                continue
            number = Notation(decimal, thousands).number(text)
            if number is None:
                continue
            if decimal == sep:
                return f"; save it with the decimal mark {notation.decimal} or another separator"
            options = [] if decimal == notation.decimal else [argument("decimal", decimal)]
            if thousands is not None and thousands != notation.thousands:
                options.append(argument("thousands", thousands))
            return f"; {' with '.join(options)} reads {number:.15g}"
    if which == "x":
        return _date_hint(text)
    is_date = instant(text) is not None or iso_dates(text) is not None
    return f"; only {argument('x')} may be dates or times" if is_date else ""


def _date_hint(text: str) -> str:
    """Return how to write a date in ISO 8601, if a text is a date in another format."""
    if instant(text) is not None or not any(c.isdigit() for c in text):
        return ""
    dates = iso_dates(text)
    if dates is None and not set("-/:") & set(text[1:]):
        return ""
    if not dates:
        return "; dates are written as 2024-01-31, times as 12:30:15"
    which = ", whichever is meant" if len(dates) > 1 else ""
    return f"; write this date as {' or '.join(dates)}{which}"
