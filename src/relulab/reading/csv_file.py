"""Read the rows of a CSV file from its bytes, each with the line on which it begins."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from relulab.validation import InputError, argument, one_line, shown

# The likely separators, in the order in which they are tried.
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas", " ": "spaces"}

# A file that begins with one of these has that encoding; UTF-32 first, as it begins like UTF-16.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

LONGEST_FIELD = 2**31 - 1  # more than the csv module takes by default, which is 128 KiB


def checked_sep(sep: object) -> str:
    """Return a field separator; refuse anything that cannot be one."""
    name = argument("sep")
    if not isinstance(sep, str) or len(sep) != 1:
        raise InputError(f"{name}: expected one character, got {shown(sep)}")
    if sep.isalnum() or sep in '"\r\n\0':
        raise InputError(
            f"{name}: expected no letter, digit, quotation mark or line break, got {shown(sep)}"
        )
    return sep


def checked_encoding(encoding: object) -> str:
    """Return the name of an encoding that Python knows."""
    try:
        if isinstance(encoding, str):
            "a".encode(encoding)  # refuses those that are not for texts, such as hex
            return encoding
    except (LookupError, ValueError):
        pass
    raise InputError(
        f"{argument('encoding')}: expected an encoding such as utf-8 or cp1252,"
        f" got {shown(encoding)}"
    )


def csv_text(path: str | PathLike[str], encoding: str) -> tuple[str, str]:
    """Return a file's name for messages, and its text; compressed files are unpacked.

    The file is read once from beginning to end, so it may be a pipe.
    """
    if not isinstance(path, str | PathLike) or "://" in str(path):
        raise InputError(f"{argument('path')}: expected the path of a CSV file, got {shown(path)}")
    try:
        file = Path(path)
    except TypeError:  # a path of bytes
        raise InputError(
            f"{argument('path')}: expected the path of a CSV file as text, got {shown(path)}"
        ) from None
    source = one_line(str(file))
    try:
        packed = file.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{source}: expected a CSV file, got no file of that name") from None
    except IsADirectoryError:
        raise InputError(f"{source}: expected a CSV file, got a folder") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{source}: expected a CSV file that can be read, got: {reason}") from None
    data = _unpacked(source, packed)
    text = _decoded(source, data, encoding)
    _refuse_zero(source, text)
    return source, text


@contextmanager
def long_fields() -> Iterator[None]:
    """Let the csv module read fields of any length for a while, in the whole process."""
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def csv_table(
    source: str, text: str, sep: str, names: Collection[str]
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the header of a file and its rows, each with the line on which it begins.

    A file that lacks some of the named columns and seems to have another separator is refused.
    """
    rows = _rows(source, text, sep)
    try:
        header = _header(rows)
    except InputError:
        _refuse_other_sep(source, text, sep, names)
        raise
    if not header:
        raise InputError(f"{source}: expected a CSV file, got an empty one")
    if not set(names) <= set(header):
        _refuse_other_sep(source, text, sep, names)
    return header, rows


def _rows(source: str, text: str, sep: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each row that is not blank, and the line on which it begins.

    A first line such as ``sep=;``, by which files tell Excel their separator, is left out.
    """
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=sep != " ", strict=True
    )
    line = 1
    try:
        while (fields := next(reader, None)) is not None:
            for_excel = line == 1 and re.fullmatch("sep=.", sep.join(fields))
            if not for_excel and (len(fields) > 1 or (fields and fields[0].strip())):
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise InputError(
                f"{source}: expected a quotation mark at the end of each quoted field, got none"
                f" for the row that begins in line {line}"
            ) from None
        raise InputError(
            f"{source}: expected a CSV file, got a damaged one in line {reader.line_num}: {error}"
        ) from None


def _header(rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    """Return the names in the first row, or none if there is no row."""
    _, fields = next(rows, (0, []))
    return [field.strip() for field in fields]


def _refuse_other_sep(source: str, text: str, sep: str, names: Collection[str]) -> None:
    """Refuse a file whose header has columns of these names with another separator.

    The same goes for a header that has several columns with another one, and at most one with
    ``sep``.
    """
    headers = {}
    for other in {sep: "", **SEPARATORS}:
        try:
            headers[other] = _header(_rows(source, text, other))
        except InputError:
            continue
    alone = len(headers.pop(sep, ())) < 2
    likely = [other for other, header in headers.items() if set(names) <= set(header)]
    if alone:  # not by spaces, because a name may have two words
        likely += [other for other, header in headers.items() if len(header) > 1 and other != " "]
    if likely:
        here, there = SEPARATORS.get(sep, shown(sep)), SEPARATORS[likely[0]]
        raise InputError(
            f"{source}: expected fields separated by {here}, got a header that looks separated by"
            f" {there}; {argument('sep', likely[0])}"
        )


def _unpacked(source: str, data: bytes) -> bytes:
    """Return the content of a compressed file, recognized by its first bytes, or the bytes."""
    try:
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
        if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", data):
            return bz2.decompress(data)
        if data.startswith(b"\xfd7zXZ\0"):
            return lzma.decompress(data)
        if not data.startswith(b"PK\x03\x04"):
            return data
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # macOS adds its own files.
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
            names = [name for name in names if not name.endswith("/")]
            if len(names) == 1:
                return archive.read(names[0])
    except Exception as error:  # each compression and kind of damage has its own exceptions
        reason = shown(str(error).strip() or type(error).__name__)
        raise InputError(
            f"{source}: expected a CSV file, got a damaged archive: {reason}"
        ) from None
    if "[Content_Types].xml" in names:
        raise InputError(f"{source}: expected a CSV file, got a spreadsheet; save it as CSV")
    raise InputError(f"{source}: expected a CSV file, got an archive of {len(names)} files")


def _decoded(source: str, data: bytes, encoding: str) -> str:
    """Return the text of a file; a byte order mark takes precedence over the user's encoding."""
    for mark, its_encoding in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            data, encoding = data[len(mark) :], its_encoding
            break
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else len(data)
    if b"\0" in data and "\0".encode(encoding) == b"\0":  # data with both are not text
        _refuse_zero(source, data.decode("latin-1"))
    before = data[:at].decode(encoding, "ignore")
    what = f"the byte 0x{data[at]:02x} in line {_line_at(before)}" if at < len(data) else "another"
    other = "utf-8" if codecs.lookup(encoding).name == "cp1252" else "cp1252"
    raise InputError(
        f"{source}: expected a CSV file in the encoding {encoding}, got {what};"
        f" try {argument('encoding', other)} or the like"
    )


def _refuse_zero(source: str, text: str) -> None:
    if (zero := text.find("\0")) >= 0:
        raise InputError(
            f"{source}: expected a CSV file, which is text,"
            f" got a zero byte in line {_line_at(text, zero)}"
        )


def _line_at(text: str, end: int | None = None) -> int:
    """Return the number of the line at a place in a text or, by default, at its end."""
    return len(re.findall(r"\r\n|\r|\n", text[:end])) + 1
