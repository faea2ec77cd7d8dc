import bz2
import copy
import csv as csv_module
import dataclasses
import gzip
import io
import lzma
import os
import pickle
import re
import zipfile
from argparse import ArgumentParser
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from relulab.experiment import add_data_options, data_of
from relulab.model.data import Scale
from relulab.training import sorted_sums

FRAME = pd.DataFrame({"size": [1.0, 2, 4], "price": [3, 5, 4], "name": ["a", "b", "c"]})


def from_frame(x=(1.0, 2, 4), target=(3, 5, 4), **options):
    frame = pd.DataFrame({"size": pd.Series(x), "price": pd.Series(target)})
    return rl.TrainingSet.from_frame(frame, x="size", target="price", **options)


@pytest.fixture
def csv(tmp_path):
    def read(content, x="size", target="price", name="shop.csv", **options):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return rl.TrainingSet.from_csv(file, x=x, target=target, **options)

    return read


def assert_samples(data, x, target):
    assert data.x.tolist() == list(x)
    assert data.target.tolist() == list(target)


def in_bits(data):
    return data.x.tobytes(), data.target.tobytes()


# Scale


def test_a_scale_that_nobody_gave_changes_nothing():
    data = rl.TrainingSet([1.0, 2.0], [3.0, 4.0])
    assert (data.x_scale, data.target_scale) == (Scale("x"), Scale("target"))
    assert data.x_scale.to_user(data.x).tobytes() == data.x.tobytes()
    assert data.target_scale.from_user(data.target).tobytes() == data.target.tobytes()


def test_scale_takes_any_shape():
    scale = Scale("size", 1, 2)
    assert scale.to_user([[0, 1], [2, 3]]).tolist() == [[1, 3], [5, 7]]
    assert scale.from_user(5) == 2
    assert scale.from_user(5).shape == ()


@given(
    offset=st.sampled_from([0.0, 1e6, -1e6, 1e9]),
    values=st.lists(st.floats(-100, 100), min_size=2, max_size=50).filter(
        lambda v: max(v) - min(v) > 0.1
    ),
)
def test_standardized_samples_lead_back_to_the_users_units(offset, values):
    values = np.array(values) + offset
    data = from_frame(values, -values, standardize=True)
    # What an error of one rounding of the offset is in standard deviations, and some to spare.
    tolerance = 1e-12 + 4 * np.spacing(abs(values).max()) / values.std()
    for stored, scale, user in (
        (data.x, data.x_scale, values),
        (data.target, data.target_scale, -values),
    ):
        assert abs(stored.mean()) < tolerance
        assert stored.std() == pytest.approx(1, abs=tolerance)
        assert scale.from_user(user).tobytes() == stored.tobytes()
        np.testing.assert_allclose(scale.to_user(stored), user, rtol=1e-14, atol=1e-12)


def test_standardizing_by_hand():
    data = from_frame([1e6, 1e6 + 2, 1e6 + 4, 1e6 + 6], [-1, 1, 1, -1], standardize=True)
    assert data.x_scale == Scale("size", 1e6 + 3, 5**0.5)
    assert data.target_scale == Scale("price", 0, 1)
    assert_samples(data, [k / 5**0.5 for k in (-3, -1, 1, 3)], [-1, 1, 1, -1])


def test_the_mean_is_the_exact_one_rounded():
    for seed in range(10):  # with seed 8, np.mean is off
        values = 1e6 + np.random.default_rng(seed).normal(size=1001)
        mean = float(sum(map(Fraction, values.tolist())) / values.size)
        assert from_frame(values, values, standardize=True).x_scale.mean == mean


@pytest.mark.parametrize(("low", "high"), [(1e-200, 3e-200), (-1e308, 1e308), (1.0, 1 + 2**-50)])
def test_standardizing_next_to_the_ends_of_the_range(low, high):
    assert_samples(from_frame([low, high], [0, 1], standardize=True), [-1, 1], [-1, 1])


# Tables


def test_columns_become_samples_in_the_order_of_the_rows():
    data = rl.TrainingSet.from_frame(FRAME.iloc[[2, 0]], x="price", target="size")
    assert_samples(data, [4, 3], [4, 1])
    assert (data.x_scale, data.target_scale) == (Scale("price"), Scale("size"))
    assert not data.x.flags.writeable
    assert not data.target.flags.writeable
    assert FRAME["price"].tolist() == [3, 5, 4]


def test_names_of_columns_need_not_be_texts():
    assert rl.TrainingSet.from_frame(pd.DataFrame(np.eye(2)), x=1, target=0).x_scale.label == "1"
    names = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=names)
    assert_samples(
        rl.TrainingSet.from_frame(frame, x=("a", "c"), target=("a", "b")), [2, 4], [1, 3]
    )


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="double[pyarrow]"),
        pd.Series([1, None, 3], dtype="float32"),
        pd.Series([1, None, np.float32(3)], dtype=object),
        pd.Series([1, pd.NaT, 3], dtype=object),
        pd.Series([1, pd.NA, 3], dtype="category"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_numbers_of_every_kind(column):
    with pytest.warns(UserWarning, match="dropped 1 of 3"):
        assert_samples(from_frame(column, [1, 2, 3], missing="drop"), [1, 3], [1, 3])


def test_dropped_rows_are_said_where_the_caller_is(csv):
    message = "frame: dropped 3 of 4 rows, without x or target"
    with pytest.warns(UserWarning, match=f"^{message}$") as caught:
        data = from_frame([1, np.nan, 3, np.nan], [1, 2, None, None], missing="drop")
    assert_samples(data, [1], [1])
    assert [w.filename for w in caught] == [__file__]
    with pytest.warns(UserWarning, match=r"shop\.csv: dropped 1 of 2 rows") as caught:
        assert_samples(csv("size,price\n1,\n3,4\n", missing="drop"), [3], [4])
    assert [w.filename for w in caught] == [__file__]


def test_only_the_rows_that_stay_are_standardized():
    with pytest.warns(UserWarning, match="dropped 1 of 3 rows"):
        data = from_frame([1, 100, 3], [5, None, 9], missing="drop", standardize=True)
    assert (data.x_scale, data.target_scale) == (Scale("size", 2, 1), Scale("price", 7, 2))


def test_nothing_to_drop_warns_of_nothing():
    assert from_frame(missing="drop").n_samples == 3


ORDINARY = {"x": "size", "target": "price"}


@pytest.mark.parametrize(
    ("message", "frame", "options"),
    [
        ("frame: expected DataFrame, got {'size': [1]}", {"size": [1]}, {}),
        ("frame: expected at least one row, got none", FRAME.iloc[:0], {}),
        (
            "x: expected one column of that name in frame, got 2 called 'size'",
            FRAME[["size", "price", "size"]],
            {},
        ),
        (
            "x: expected a column of frame ('size', 'price', 'name'), got 'sise'",
            FRAME,
            {"x": "sise"},
        ),
        (
            "target: expected a column of frame ('size', 'price', 'name'), got 0",
            FRAME,
            {"target": 0},
        ),
        (
            "x: expected a column of frame ('size', 'price', 'name'), got ['size']",
            FRAME,
            {"x": ["size"]},
        ),
        (
            "x: expected a column of frame ('size', 'price', 'name'), got 0 1.0",
            FRAME,
            {"x": FRAME["size"]},
        ),
        ("x: expected a column of frame (none), got 'size'", pd.DataFrame(), {}),
        (
            "target: expected another column than x, got 'size' for both",
            FRAME,
            {"target": "size"},
        ),
        ("missing: expected one of refuse, drop, got 'ignore'", FRAME, {"missing": "ignore"}),
        ("standardize: expected bool, got 'no'", FRAME, {"standardize": "no"}),
        ("x: expected numbers in column 'name', got 'a' in row 1", FRAME, {"x": "name"}),
    ],
)
def test_bad_tables(message, frame, options):
    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}") as caught:
        rl.TrainingSet.from_frame(frame, **ORDINARY | options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("expected", "column"),
    [
        ("numbers in column 'size', got 'two' in row 2", [1, "two", "three"]),
        ("numbers in column 'size', got '1.5' in row 1", ["1.5", "2", "3"]),
        ("numbers in column 'size', got True in row 1", [True, False, True]),
        ("numbers in column 'size', got True in row 2", [None, True, 1]),
        (
            "numbers in column 'size', got Timestamp('2020-01-01 00:00:00') in row 2",
            [None, pd.Timestamp("2020-01-01"), 3],
        ),
        ("numbers in column 'size', got Timedelta", pd.to_timedelta([1, 2, 3], unit="s")),
        ("numbers in column 'size', got Decimal('1') in row 1", [Decimal(1), 2, 3]),
        ("numbers in column 'size', got [2] in row 2", [1, [2], 3]),
        ("numbers in column 'size', got (1+0j) in row 1", [1, 1j, 2]),
        ("finite values in column 'size', got inf in row 3", [1, np.nan, np.inf]),
        ("finite values in column 'size', got -inf in row 1", [-np.inf, 1, np.inf]),
        (
            "finite values in column 'size', got inf in row 2",
            np.array([1, 10**400, 3], dtype=object),
        ),
    ],
)
@pytest.mark.parametrize("argument", ["x", "target"])
def test_columns_of_what_are_no_finite_numbers(expected, column, argument):
    frame = pd.DataFrame({"size": column, "price": [1.0, 2, 3]}, index=[7, 7, 9])
    names = {"x": "price", "target": "price"} | {argument: "size"}
    message = re.escape(f"{argument}: expected {expected}")
    with pytest.raises(rl.InputError, match=f"^{message}"):
        rl.TrainingSet.from_frame(frame, missing="drop", **names)


@pytest.mark.parametrize(
    ("n_missing", "what"),
    [(1, "(row 2)"), (5, "(rows 2, 3, 4, 5, 6)"), (6, "(rows 2, 3, 4, 5, 6, ...)")],
)
def test_missing_values_are_refused_with_their_rows(n_missing, what):
    x = np.arange(8.0)
    x[1 : 1 + n_missing] = np.nan
    message = (
        f"missing: expected x and target in every row of frame, got {n_missing} of 8 rows without"
        f" {what}; missing='drop' drops them"
    )
    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}$"):
        from_frame(x, np.arange(8))


def test_no_row_is_left():
    message = "missing: expected a row of frame with x and target, got none of 2"
    with pytest.raises(rl.InputError, match=f"^{message}$"):
        from_frame([None, 1.0], [1.0, None], missing="drop")


@pytest.mark.parametrize(
    ("argument", "x", "target"),
    [
        ("x", [0.1, 0.1, 0.1], [1, 2, 3]),
        ("target", [1, 2, 3], [0.1, 0.1, 0.1]),
        ("x", [1.7e308, 1.7e308, 1.6e308], [1, 2, 3]),
        ("x", [1.0], [2.0]),
    ],
)
def test_what_cannot_be_standardized(argument, x, target):
    assert from_frame(x, target).n_samples == len(x)
    column = {"x": "size", "target": "price"}[argument]
    with pytest.raises(
        rl.InputError,
        match=f"^{argument}: expected values with a finite spread above 0 in column '{column}' to"
        r" standardize, got \S+ to \S+$",
    ):
        from_frame(x, target, standardize=True)


# Files


def test_a_file(csv):
    data = csv("name,price,size\na,3,1\n\nb , 5 ,2e0\n")
    assert_samples(data, [1, 2], [3, 5])
    assert (data.x_scale, data.target_scale) == (Scale("size"), Scale("price"))


def test_a_file_as_spreadsheets_write_it(csv):
    assert_samples(csv('\ufeff"size","price",,\r\n"1","2",,\r\n'), [1], [2])
    assert csv("size,price\n1,2\n3,4\n", standardize=True).x_scale == Scale("size", 2, 1)


def test_a_path_may_be_a_text(csv, tmp_path):
    csv("size,price\n1,2\n")
    data = rl.TrainingSet.from_csv(str(tmp_path / "shop.csv"), x="size", target="price")
    assert_samples(data, [1], [2])


@given(
    st.lists(
        st.tuples(*2 * [st.floats(allow_nan=False, allow_infinity=False)]), min_size=1, max_size=20
    )
)
def test_files_are_read_to_the_last_bit(tmp_path_factory, samples):
    file = tmp_path_factory.getbasetemp() / "bits.csv"
    file.write_text("x,y\n" + "".join(f"{x!r},{y!r}\n" for x, y in samples))
    assert in_bits(rl.TrainingSet.from_csv(file, x="x", target="y")) == in_bits(
        rl.TrainingSet(*zip(*samples, strict=True))
    )


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030")


@dataclass(frozen=True)
class Written:
    """A column as some program writes it, and what it means."""

    texts: list[str]
    numbers: list[float]
    is_ambiguous: bool


@st.composite
def written_columns(draw, n_rows, decimal, thousands):
    """Draw fractions of few digits, grouped in threes where there is a mark for it."""
    texts, numbers, doubtful = [], [], []
    for _ in range(n_rows):
        whole = draw(st.integers(0, 10 ** draw(st.integers(1, 10))))
        digits = draw(st.text("0123456789", max_size=draw(st.sampled_from([0, 3, 20]))))
        sign = draw(st.sampled_from(["", "-", "+"]))
        is_grouped = thousands is not None and whole > 999
        text = f"{whole:,}".replace(",", thousands) if is_grouped else str(whole)
        value = Fraction(int(f"{whole}{digits}"), 10 ** len(digits))  # by exact arithmetic
        texts.append(sign + text + (decimal + digits if digits else ""))
        numbers.append(float(-value if sign == "-" else value))
        # Could the author have meant the other thing by both marks?
        doubtful.append(
            (whole < 10**6 and not digits) if is_grouped
            else not digits or (0 < whole < 1000 and len(digits) == 3)
        )  # fmt: skip
    has_other = any(mark in text for text in texts for mark in ",." if mark != decimal)
    return Written(texts, numbers, has_other and all(doubtful))


@st.composite
def written_tables(draw):
    """Draw a file of some dialect, the options that read it, and its two columns."""
    sep = draw(st.sampled_from(",;\t|"))
    decimal = draw(st.sampled_from([mark for mark in ".," if mark != sep]))
    other = "," if decimal == "." else "."
    thousands = draw(st.sampled_from([None, other, "'", "\u2019", "\xa0", "\u2009", "\u202f"]))
    n_rows = draw(st.integers(1, 5))
    columns = [draw(written_columns(n_rows, decimal, thousands)) for _ in range(2)]
    quoting = draw(st.sampled_from([csv_module.QUOTE_MINIMAL, csv_module.QUOTE_ALL]))
    # Python 3.11 quotes a line break only where it is the one that ends lines.
    breaks = "\n\r" if quoting == csv_module.QUOTE_ALL else ""
    noise = st.text(st.sampled_from(f'ab",; \t|\u00e4{breaks}'), max_size=5)
    rows = [["NA", "", "note", "nan", "note"]]
    rows += [
        [x, draw(noise), draw(noise), y, draw(noise)]
        for x, y in zip(*(column.texts for column in columns), strict=True)
    ]
    order = draw(st.permutations(range(5)))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = io.StringIO(newline="")
    writer = csv_module.writer(text, delimiter=sep, quoting=quoting, lineterminator=end)
    for row in rows:
        writer.writerow([row[k] for k in order])
        text.write(end * draw(st.integers(0, 2)))
    encoding = draw(st.sampled_from(ENCODINGS))
    options = {"sep": sep, "decimal": decimal, "encoding": encoding}
    if thousands == other and draw(st.booleans()):
        options["thousands"] = other
    if encoding in ("utf-16", "utf-8-sig"):
        del options["encoding"]  # which the byte order mark tells
    return text.getvalue().encode(encoding), options, columns


@given(written_tables())
def test_a_table_in_any_dialect_is_read_to_the_last_bit_or_could_be_read_in_two_ways(
    tmp_path_factory, table
):
    content, options, columns = table
    file = tmp_path_factory.getbasetemp() / "dialects.csv"
    file.write_bytes(content)
    is_ambiguous = "thousands" not in options and any(column.is_ambiguous for column in columns)
    read = partial(rl.TrainingSet.from_csv, file, x="NA", target="nan", **options)
    if is_ambiguous:
        with pytest.raises(rl.InputError, match="can be read in one way only"):
            read()
    else:
        assert_samples(read(), *(column.numbers for column in columns))


@given(
    pieces=st.lists(
        st.sampled_from(["\n", '1,"a","2"\n', '3,"a\nb\r\n",4\n', '5,"\r",6\r\n', '7,"\n\n",8\r']),
        max_size=8,
    ),
    wrong=st.sampled_from(['9,"\n\n",BAD\n', "9,BAD\n", '9,"\r",1,BAD\r', '9,"a"BAD,1\n']),
)
def test_rows_are_counted_as_lines_of_the_file(tmp_path_factory, pieces, wrong):
    file = tmp_path_factory.getbasetemp() / "lines.csv"
    before = "".join(["\n\r\nx,note,y\r\n", *pieces])
    file.write_bytes((before + wrong + "1,2,3\n").encode())
    line = before.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    with pytest.raises(rl.InputError, match=rf" in line {line}\b"):
        rl.TrainingSet.from_csv(file, x="x", target="y")


SEMICOLONS = {"sep": ";"}
COMMAS = {"sep": ";", "decimal": ","}


@pytest.mark.parametrize(
    ("texts", "options", "numbers"),
    [
        (["1,234.5"], SEMICOLONS, [1234.5]),
        (["1,234", "0.5"], SEMICOLONS, [1234, 0.5]),
        (["1,234", "1,234,567"], SEMICOLONS, [1234, 1234567]),
        (["1,234", "1.5"], SEMICOLONS, [1234, 1.5]),
        (["1,234", "2,000.125"], SEMICOLONS, [1234, 2000.125]),
        (["1,234", "0.125"], SEMICOLONS, [1234, 0.125]),  # no group begins with a zero
        (["1,234", "987"], {"thousands": ",", **SEMICOLONS}, [1234, 987]),
        (["1.234", "2.5"], SEMICOLONS, [1.234, 2.5]),
        (["1.234", "22.345"], SEMICOLONS, [1.234, 22.345]),  # the decimal mark is what it is
        (["1.234,5", "1e-3", "-,5", "7"], COMMAS, [1234.5, 1e-3, -0.5, 7]),
        (["1.234", "987"], {"thousands": ".", **COMMAS}, [1234, 987]),
        (["1,234", "987"], COMMAS, [1.234, 987]),
        (["1'234", "1\u2019234.5", "1\u00a0234", "1\u2009234", "1\u202f234\u202f567"], SEMICOLONS,
         [1234, 1234.5, 1234, 1234, 1234567]),
        (["1 234,5", "1\u00a0234"], {"thousands": " ", **COMMAS}, [1234.5, 1234]),
        (["1\u2019234"], {"thousands": "'", **COMMAS}, [1234]),
        (['"1,234.5"', '"1,234"'], {}, [1234.5, 1234]),
    ],
)  # fmt: skip
def test_numbers_with_marks_between_thousands(csv, texts, options, numbers):
    sep = options.get("sep", ",")
    data = csv(f"size{sep}price\n" + "".join(f"{text}{sep}0\n" for text in texts), **options)
    assert data.x.tolist() == numbers


NOT_NUMBERS = "x: expected numbers in column 'size', got"
TWO_WAYS = "x: expected numbers that can be read in one way only in column 'size', got"


@pytest.mark.parametrize(
    ("message", "texts", "options"),
    [
        (f"{TWO_WAYS} '1,234' in line 3 of FILE; thousands=',' reads 1234, decimal=',' reads 1.234",
         ["987", "1,234", "22,345"], SEMICOLONS),
        (f"{TWO_WAYS} '1,234' in line 2 of FILE; thousands=',' reads 1234, decimal=',' reads 1.234",
         ["1,234", "2.500"], SEMICOLONS),  # or 2500
        (f"{TWO_WAYS} '1.234' in line 2 of FILE; thousands='.' reads 1234, decimal='.' reads 1.234",
         ["1.234"], COMMAS),
        (f"{TWO_WAYS} '1,234' in line 2 of FILE; thousands=',' reads 1234", ['"1,234"'], {}),
        (f"{NOT_NUMBERS} '1,5' in line 3 of FILE; decimal=',' reads 1.5",
         ["1,234", "1,5"], SEMICOLONS),
        (f"{NOT_NUMBERS} '0,123' in line 2 of FILE; decimal=',' reads 0.123",
         ["0,123"], SEMICOLONS),
        (f"{NOT_NUMBERS} '1,234.5' in line 2 of FILE; decimal='.' reads 1234.5",
         ["1,234.5"], COMMAS),
        (f"{NOT_NUMBERS} '1.234.567' in line 3 of FILE; decimal=',' reads 1234567",
         ["1.234", "1.234.567"], SEMICOLONS),
        (f"{NOT_NUMBERS} '1 234,5' in line 2 of FILE; decimal=',' with thousands=' ' reads 1234.5",
         ["1 234,5"], SEMICOLONS),
        (f"{NOT_NUMBERS} '1,5' in line 2 of FILE; save it with the decimal mark . or another"
         " separator", ['"1,5"'], {}),
        *((f"{NOT_NUMBERS} {text!r} in line 2 of FILE", [text], SEMICOLONS)
          for text in ("12,34,567", "1,2345.6", "01,234.5", "1,234'567.8", "1.5,000", ",123.5",
                       "1,234.567,8", "1,234.5e3", "2_0", "1d5", "0x10", "5 %", "1.5.")),
        (f"{NOT_NUMBERS} \"1'234\" in line 2 of FILE", ["1'234"], {"thousands": ",", **SEMICOLONS}),
    ],
)  # fmt: skip
def test_what_is_no_number_or_two(csv, message, texts, options):
    sep = options.get("sep", ",")
    with pytest.raises(rl.InputError, match=matching(message)):
        csv(f"size{sep}price\n" + "".join(f"{text}{sep}0\n" for text in texts), **options)


def matching(message):
    return f"^{re.escape(message)}$".replace("FILE", FILE)


def test_the_same_fields_are_missing_as_for_pandas(csv, tmp_path):
    fields = ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND",
              "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
              '""', '"NA"', "none", "-", "?", "Na", "missing"]  # fmt: skip
    for field in fields:
        content = f"size,price\n{field},2\n1,2\n"
        (tmp_path / "pandas.csv").write_text(content)
        if pd.read_csv(tmp_path / "pandas.csv")["size"].isna()[0]:
            with pytest.warns(UserWarning, match="dropped 1 of 2"):
                assert_samples(csv(content, missing="drop"), [1], [2])
        else:
            with pytest.raises(rl.InputError, match=r"^x: expected numbers"):
                csv(content, missing="drop")


def test_names_that_look_missing_are_names(csv):
    for x, target in (("NA", "nan"), ("null", "None"), ("N/A", "#N/A")):
        assert_samples(csv(f"{x},,{target},\n1,2,3,4\n", x=x, target=target), [1], [3])


def test_other_columns_may_have_one_name(csv):
    assert_samples(csv("a,size,a,price,a\n1,2,3,4,5\n"), [2], [4])
    frame = FRAME[["name", "size", "price", "name"]]
    assert rl.TrainingSet.from_frame(frame, **ORDINARY).n_samples == 3


def test_spaces_around_names_and_values_do_not_matter(csv):
    assert_samples(csv('size , "price"\n 1 , "2"\n'), [1], [2])
    assert_samples(csv("size price\n1 2\n", sep=" "), [1], [2])


# What is in a file: bytes

TABLE = b"size,price\n1,2\n"


def zipped(**files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return archive.getvalue()


PACKED = {
    "gz": gzip.compress(TABLE, mtime=0),
    "bz2": bz2.compress(TABLE),
    "xz": lzma.compress(TABLE),
    "zip": zipped(**{"shop.csv": TABLE, "__MACOSX/._shop.csv": b"\0", "folder/": b""}),
}


@pytest.mark.parametrize("kind", PACKED)
def test_compressed_files(csv, kind):
    assert_samples(csv(PACKED[kind], name=f"shop.csv.{kind}"), [1], [2])
    assert_samples(csv(PACKED[kind]), [1], [2])  # a name may be wrong
    assert_samples(csv(TABLE, name=f"shop.csv.{kind}"), [1], [2])
    for length in (12, len(PACKED[kind]) - 4):
        with pytest.raises(rl.InputError, match=rf"^{FILE}: expected a CSV file, got a damaged"):
            csv(PACKED[kind][:length])


def test_archives_of_other_things(csv):
    with pytest.raises(rl.InputError, match=rf"^{FILE}: expected a CSV file, got an archive of 2 "):
        csv(zipped(a=TABLE, b=TABLE))
    with pytest.raises(rl.InputError, match=f"^{FILE}: .* got a spreadsheet; save it as CSV$"):
        csv(zipped(**{"[Content_Types].xml": "", "xl/workbook.xml": ""}))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("stated", ["utf-8", "cp1252"])
def test_a_byte_order_mark_knows_the_encoding(csv, encoding, stated):
    content = "\ufeffgr\u00f6\u00dfe,price\n1,2\n".encode(encoding)
    assert_samples(csv(content, x="gr\u00f6\u00dfe", encoding=stated), [1], [2])
    if encoding != "utf-8":
        stripped = "gr\u00f6\u00dfe,price\n1,2\n".encode(encoding)
        assert_samples(csv(stripped, x="gr\u00f6\u00dfe", encoding=encoding), [1], [2])


def test_long_fields(csv):
    limit = 2**17  # by default
    csv_module.field_size_limit(limit)
    assert_samples(csv('size,price,note\n1,2,"' + "a\n" * 100_000 + '"\n'), [1], [2])
    with pytest.raises(rl.InputError, match=r"for the row that begins in line 2$"):
        csv('size,price,note\n1,2,"' + "a\n" * 100_000)
    assert csv_module.field_size_limit() == limit


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="there are no names of pipes")
def test_a_pipe(csv):
    for content in (TABLE, PACKED["gz"]):
        read, write = os.pipe()
        os.write(write, content)
        os.close(write)
        data = rl.TrainingSet.from_csv(f"/dev/fd/{read}", **ORDINARY)
        os.close(read)
        assert_samples(data, [1], [2])


FILE = r"\S*shop\.csv"


@pytest.mark.parametrize(
    ("message", "content"),
    [
        (f"{FILE}: expected a CSV file, got an empty one$", ""),
        (f"{FILE}: expected a CSV file, got an empty one$", "\ufeff\n \n"),
        (f"{FILE}: expected a CSV file, got an empty one$", '""\n'),
        (f"{FILE}: expected a CSV file, got an empty one$", gzip.compress(b"", mtime=0)),
        (f"{FILE}: expected 2 fields in each line, as in its header, got 3 in line 3$",
         "size,price\n1,2\n1,2,3\n"),
        (f"{FILE}: expected 2 fields in each line, as in its header, got 1 in line 4$",
         "size,price\n\n1,2\n9\n"),
        (f"{FILE}: expected 2 fields in each line, as in its header, got 3 in line 2$",
         "size,price\n9,1,2\n9,3,4\n"),
        (f"{FILE}: expected a quotation mark at the end of each quoted field, got none for the row"
         " that begins in line 3$", 'size,price\n1,2\n"1,2\n3,4\n'),
        (f"{FILE}: expected a CSV file, got a damaged one in line 2: ',' expected after '\"'$",
         'size,price\n"1"0,2\n'),
        (f"{FILE}: expected a CSV file in the encoding utf-8, got the byte 0xe4 in line 3;"
         " try encoding='cp1252' or the like$", b"size,price\r\n1,2\r\n\xe4,2\n"),
        (f"{FILE}: expected a CSV file in the encoding utf-16-le, got the byte 0x0a in line 2;"
         " try encoding=", "\ufeffsize,price\n".encode("utf-16-le") + b"\n"),
        (f"{FILE}: expected a CSV file, which is text, got a zero byte in line 2$",
         "size,price\n1,\0\n"),
        (f"{FILE}: expected a CSV file, which is text, got a zero byte in line 3$",
         b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff"),
        (f"{FILE}: expected at least one row below the header, got none$", "size,price\n\n"),
        (f"x: expected one column of that name in {FILE}, got 2 called 'size'$",
         "size,size,price\n1,2,3\n"),
        (f"target: expected one column of that name in {FILE}, got 2 called 'price'$",
         "size,price,price\n1,2,3\n"),
        (rf"x: expected a column of {FILE} \('\\x1b\[31msize', 'price'\), got 'size'$",
         "\x1b[31msize,price,\n1,2,\n"),
        (rf"x: expected a column of {FILE} \('0', .*'19', \.\.\.\), got 'size'$",
         ",".join(map(str, range(1000)))),
        (rf"target: expected numbers in column 'price', got '\\x1b\[31m\\x07' in line 2 of {FILE}$",
         "size,price\n1,\x1b[31m\x07\n"),
        (f"x: expected numbers in column 'size', got 'big' in line 3 of {FILE}$",
         "size,price\n1,2\nbig,2\n"),
        (f"x: expected numbers in column 'size', got 'True' in line 2 of {FILE}$",
         "size,price\nTrue,2\n"),
        (f"x: expected numbers in column 'size', got '2_0' in line 2 of {FILE}$",
         "size,price\n2_0,2\n"),
        (f"target: expected finite values in column 'price', got inf in line 3 of {FILE}$",
         "size,price\n1,2\n1,1e400"),
        (rf"missing: expected x and target in every row of {FILE}, got 2 of 3 rows without \(lines"
         r" 2, 4\); missing='drop' drops them$", "size,price\n,2\n\nNA,3\n1,2"),
    ],
)  # fmt: skip
def test_bad_files(csv, message, content):
    with pytest.raises(rl.InputError, match=f"^{message}") as caught:
        csv(content)
    assert str(caught.value).isprintable()


@given(
    content=st.one_of(
        st.binary(max_size=50),
        st.lists(
            st.sampled_from(["x", "y", ",", ";", "\n", "\r", '"', "1", "2.5", "-", " ", "\0", "NA",
                             "2024-01-31", "12:30", "\x1b", "\u2028", "\ufeff", "_", "e"])
        ).map(lambda parts: "".join(parts).encode()),
    ),
    start=st.sampled_from([b"", b"x,y\n1,", b"\x1f\x8b\x08", b"BZh91AY&SY", b"PK\x03\x04",
                           b"\xff\xfe"]),
    sep=st.sampled_from(",; "),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:x. .*counted in days")
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content, start, sep):
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(start + content)
    try:
        data = rl.TrainingSet.from_csv(file, x="x", target="y", sep=sep)
    except rl.InputError as error:
        told = str(error)
        assert told.isprintable()
        assert len(told) < 1000
    else:
        assert np.isfinite([data.x, data.target]).all()


@pytest.mark.parametrize(
    ("sep", "what"),
    [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars"), (",", "commas"), (" ", "spaces")],
)
def test_a_file_that_is_separated_otherwise(csv, sep, what):
    given = "," if sep != "," else ";"
    for header in (f"size{sep}price", f'"price"{sep}note{sep}size', f"sise{sep}price"):
        if sep == " " and "sise" in header:
            continue  # for a name of two words is a name, too
        with pytest.raises(
            rl.InputError, match=f" that looks separated by {what}; {re.escape(f'sep={sep!r}')}$"
        ):
            csv(f"{header}\n1{sep}2,5{sep}3\n", sep=given)


def test_a_first_line_for_excel_is_left_out(csv):
    text = "sep=;\r\nsize;price\r\n1,5;2\r\n"
    assert_samples(csv(text, sep=";", decimal=","), [1.5], [2])
    with pytest.raises(rl.InputError, match=r"separated by semicolons; sep=';'$"):
        csv(text)
    with pytest.raises(rl.InputError, match="'a' in line 4"):
        csv(text + "2;a\r\n", sep=";", decimal=",")


def test_a_name_may_look_separated(csv):
    assert_samples(csv("size; in m,price\n1,2\n", x="size; in m"), [1], [2])
    with pytest.raises(rl.InputError, match=r"^x: expected a column of .*\('a;b', 'price'\), got"):
        csv("a;b,price\n1,2\n")


@pytest.mark.parametrize(
    ("message", "path", "options"),
    [
        (r"\S*absent\.csv: expected a CSV file, got no file of that name$", "absent.csv", {}),
        (r"\.: expected a CSV file, got a folder$", ".", {}),
        ("a\ufffd\\[31m.csv: expected a CSV file, got no file", "a\x1b[31m.csv", {}),
        ("a\ufffdb: expected a CSV file that can be read, got: embedded null byte$", "a\0b", {}),
        ("x*: expected a CSV file that can be read, got: File name too long$", "x" * 300, {}),
        ("path: expected the path of a CSV file, got 3", 3, {}),
        ("path: expected the path of a CSV file, got None", None, {}),
        ("x: expected str, got 0", "absent.csv", {"x": 0}),
        ("target: expected str, got 0 1.0", "absent.csv", {"target": FRAME["size"]}),
        ("missing: expected one of refuse, drop, got 'ignore'", "absent.csv",
         {"missing": "ignore"}),
        *((f"sep: expected one character, got {re.escape(repr(sep))}", "absent.csv", {"sep": sep})
          for sep in ("", ";;", r"\t", None, b";")),
        *(("sep: expected no letter, digit, quotation mark or line break, got", "absent.csv",
           {"sep": sep}) for sep in '5e"\r\n\0'),
        *((r"decimal: expected '\.' or ',', got", "absent.csv", {"decimal": decimal})
          for decimal in ("", ";", None, "..")),
        ("sep: expected another character than the decimal mark, got ',' for both", "absent.csv",
         {"decimal": ","}),
        *((r"thousands: expected one of ',', '\.', \"'\", ' ', got", "absent.csv",
           {"thousands": thousands}) for thousands in ("", "_", ",,", 3)),
        (r"thousands: expected another mark than decimal, got '\.' for both", "absent.csv",
         {"thousands": "."}),
        *(("encoding: expected an encoding such as utf-8 or cp1252, got", "absent.csv",
           {"encoding": encoding}) for encoding in ("", "hex", "no such", "a\0", "\ud800", None)),
    ],
)  # fmt: skip
def test_bad_paths_and_options(message, path, options):
    with pytest.raises(rl.InputError, match=f"^{message}") as caught:
        rl.TrainingSet.from_csv(path, **ORDINARY | options)
    assert str(caught.value).isprintable()


# Dates


def days_between(instants):
    """Return days from the earliest of some datetimes, by exact arithmetic."""
    unit = timedelta(microseconds=1)
    return [float(Fraction((i - min(instants)) // unit, 86_400_000_000)) for i in instants]


ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    instants=st.one_of(
        st.lists(st.datetimes(), min_size=1, max_size=5),
        st.lists(
            st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES),
            min_size=1,
            max_size=5,
        ),
    ),
    blank=st.sampled_from("T "),
)
def test_dates_become_the_nearest_days_from_the_earliest(tmp_path_factory, instants, blank):
    file = tmp_path_factory.getbasetemp() / "dates.csv"
    rows = [f"{instant.isoformat(blank)},{k}\n" for k, instant in enumerate(instants)]
    file.write_text("when,y\n" + "".join(rows))
    first = min(instants)
    if first.tzinfo is not None:
        first = first.astimezone(UTC)
    with pytest.warns(UserWarning, match=r"^x: dates; counted in days from \d{4}-") as caught:
        data = rl.TrainingSet.from_csv(file, x="when", target="y")
    assert data.x.tolist() == days_between(instants)
    told = str(caught[0].message).removeprefix("x: dates; counted in days from ")
    assert data.x_scale.label == f"when (days from {told})"
    # It is the earliest that is told.
    assert (" UTC" in told) == (first.tzinfo is not None)
    assert datetime.fromisoformat(told.removesuffix(" UTC")) == first.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("texts", "told", "days"),
    [
        (["2024-02-01", "2024-01-31", "2024-03-01"], "dates DAYS 2024-01-31", [1, 0, 30]),
        (["2023-12-31T12:00", "2024-01-01"], "dates DAYS 2023-12-31 12:00:00", [0, 0.5]),
        (["2024-01-31T12:30:15Z", "2024-01-31 12:30:15+0030", "2024-01-31T12:30:15-01"],
         "dates DAYS 2024-01-31 12:00:15 UTC", [1 / 48, 0, 1.5 / 24]),
        (["0001-01-01", "9999-12-31"], "dates DAYS 0001-01-01", [0, 3652058]),
        (["1900-02-28", "1900-03-01"], "dates DAYS 1900-02-28", [0, 1]),
        (["12:30:15", "9:30:15", "23:59"], "times DAYS 09:30:15", [1 / 8, 0, 52125 / 86400]),
        (["00:00:00.000000001", "00:00:00,5"], "times DAYS 00:00:00.000000001",
         [0, 499999999 / 86400e9]),
    ],
)  # fmt: skip
def test_dates_and_times_by_hand(csv, texts, told, days):
    told = told.replace("DAYS", "; counted in days from").replace(" ;", ";")
    with pytest.warns(UserWarning, match=f"^x: {re.escape(told)}$") as caught:
        data = csv("size;price\n" + "".join(f"{text};0\n" for text in texts), sep=";")
    assert data.x.tolist() == days
    assert data.x_scale.label == f"size (days from {told.partition(' from ')[2]})"
    assert [w.filename for w in caught] == [__file__]


def test_dates_with_missing_ones_and_in_standard_units(csv):
    with pytest.warns(UserWarning, match=r"counted in days from 2024-01-31$|dropped 2 of 4 rows"):
        data = csv("size,price\nNA,1\n2024-02-02,2\n2024-01-31,\n2024-02-04,4\n",
                   missing="drop", standardize=True)  # fmt: skip
    assert_samples(data, [-1, 1], [-1, 1])
    assert data.x_scale == Scale("size (days from 2024-01-31)", 3, 1)


def frame_of(column):
    return pd.DataFrame({"when": column, "y": np.arange(len(column), dtype=float)})


@pytest.mark.parametrize(
    "dtype",
    ["datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]", "datetime64[us, UTC]",
     "datetime64[ns, America/New_York]", "timestamp[us][pyarrow]"],
)  # fmt: skip
def test_dates_in_a_table(dtype):
    days = ["2024-03-12", "2024-03-09", "2024-03-10", "2024-03-11"]
    column = pd.Series(pd.to_datetime(days)).dt.tz_localize("UTC" if "," in dtype else None)
    with pytest.warns(UserWarning, match="^x: dates; counted in days from 2024-03-09"):
        data = rl.TrainingSet.from_frame(frame_of(column.astype(dtype)), x="when", target="y")
    assert data.x.tolist() == [3, 0, 1, 2]
    zone = " 00:00:00 UTC" if "," in dtype else ""
    assert data.x_scale == Scale(f"when (days from 2024-03-09{zone})")


def test_instants_in_a_table_are_those_of_their_zone():
    local = pd.Series(pd.to_datetime(["2024-03-10 00:00", "2024-03-11 00:00", None]))
    column = local.dt.tz_localize("America/New_York")  # whose 10 March had 23 hours
    with pytest.warns(UserWarning, match=r"05:00:00 UTC$|dropped 1 of 3"):
        data = rl.TrainingSet.from_frame(frame_of(column), x="when", target="y", missing="drop")
    assert data.x.tolist() == [0, 23 / 24]


def test_nanoseconds_are_counted_exactly():
    stamps = np.array(["1700-01-01", "2260-01-01T00:00:00.000000001"], "datetime64[ns]")
    with pytest.warns(UserWarning, match="1700-01-01"):
        data = rl.TrainingSet.from_frame(frame_of(stamps), x="when", target="y")
    exact = Fraction(int(stamps[1].view("i8")) - int(stamps[0].view("i8")), 86_400 * 10**9)
    assert data.x[1] == float(exact)


@pytest.mark.parametrize(
    ("message", "texts"),
    [
        ("numbers in column 'size', got '03/04/2024' in line 2 of FILE; write this date as"
         " 2024-04-03 or 2024-03-04, whichever is meant", ["03/04/2024"]),
        ("numbers in column 'size', got '31.01.2024' in line 2 of FILE; write this date as"
         " 2024-01-31", ["31.01.2024"]),
        ("numbers in column 'size', got '4/4/2024 0:00' in line 2 of FILE; write this date as"
         " 2024-04-04", ["4/4/2024 0:00"]),
        ("numbers in column 'size', got '2024/1/31' in line 2 of FILE; write this date as"
         " 2024-01-31", ["2024/1/31"]),
        *((f"numbers in column 'size', got {text!r} in line 2 of FILE; dates are written as"
           " 2024-01-31, times as 12:30:15", [text])
          for text in ("03/04/24", "2024-02-30", "2023-02-29", "0000-01-01", "2024-01", "25:00",
                       "12:60", "12:30:60", "2024-01-31T24:00", "2024-01-31T1:00", "5-Jan-2024",
                       "2024-01-31T12:00+25:00", "12:30Z", "2024-01-31T12:30:15.0000000001")),
        ("numbers in column 'size', got '2024-01-31' in line 3 of FILE", ["5", "2024-01-31"]),
        ("dates such as 2024-01-31 or 2024-01-31T12:30, as in line 3, in column 'size', got '5' in"
         " line 4 of FILE", ["NA", "2024-01-31", "5"]),
        ("dates such as 2024-01-31 or 2024-01-31T12:30, as in line 2, in column 'size', got"
         " '2024-01-31T00:00Z' in line 3 of FILE", ["2024-01-31", "2024-01-31T00:00Z"]),
        ("dates with a time zone such as 2024-01-31T12:30Z, as in line 2, in column 'size', got"
         " '2024-01-31T00:00' in line 3 of FILE", ["2024-01-31T00:00Z", "2024-01-31T00:00"]),
        ("times such as 12:30:15, as in line 2, in column 'size', got '2024-01-31' in line 3 of"
         " FILE", ["12:00", "2024-01-31"]),
        ("dates such as 2024-01-31 or 2024-01-31T12:30, as in line 2, in column 'size', got"
         " '03/04/2024' in line 3 of FILE; write this date as 2024-04-03 or 2024-03-04, whichever"
         " is meant", ["2024-01-31", "03/04/2024"]),
    ],
)  # fmt: skip
def test_bad_dates(csv, message, texts):
    with pytest.raises(rl.InputError, match=matching(f"x: expected {message}")):
        csv("size,price\n" + "".join(f"{text},0\n" for text in texts), missing="drop")


@pytest.mark.parametrize("text", ["2024-01-31", "12:30", "03/04/2024"])
def test_targets_are_no_dates(csv, text):
    message = (
        f"target: expected numbers in column 'price', got {text!r} in line 2 of FILE;"
        " only x may be dates or times"
    )
    with pytest.raises(rl.InputError, match=matching(message)):
        csv(f"size,price\n1,{text}\n")
    frame = frame_of(pd.to_datetime(["2024-01-31"]))
    with pytest.raises(rl.InputError, match=r"^target: expected numbers in column 'when', got Tim"):
        rl.TrainingSet.from_frame(frame, x="y", target="when")


# The command line


@pytest.fixture
def told(tmp_path, capsys):
    """Return what data the options of a command line give, and what they say of it."""

    def read(content, *options, columns=("--x", "size", "--target", "price")):
        file = tmp_path / "shop.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        parser = ArgumentParser()
        add_data_options(parser)
        arguments = parser.parse_args(["--csv", str(file), *columns, *options])
        data = data_of(arguments, lambda: rl.TrainingSet.point(0, 0))
        return data.x_scale.to_user(data.x).tolist(), capsys.readouterr().err

    return read


def test_options_of_the_command_line(told):
    assert told("size;price\n1,5;2\n2,5;3\n", "--sep", ";", "--decimal", ",") == ([1.5, 2.5], "")
    assert told("size\tprice\n1\t2\n2\t3\n", "--sep", r"\t") == ([1, 2], "")
    assert told("size\tprice\n1\t2\n2\t3\n", "--sep", "\t") == ([1, 2], "")
    assert told('size,price\n"1,000",2\n"3,000",3\n', "--thousands", ",") == ([1000, 3000], "")
    content = "gr\u00f6\u00dfe,price\n1,2\n2,3\n".encode("cp1252")
    columns = ("--x", "gr\u00f6\u00dfe", "--target", "price")
    assert told(content, "--encoding", "cp1252", columns=columns) == ([1, 2], "")
    days, error = told("size,price\n2024-01-31,1\n2024-02-02,2\n,3\n", "--missing", "drop")
    assert days == [0, 2]
    assert re.fullmatch(
        r"x: dates; counted in days from 2024-01-31\n\S*shop\.csv: dropped 1 of 3 rows, without x"
        r" or target\n",
        error,
    )


# Each mistake, with what Python callers are told.
MISTAKES = {
    "--sep ';'": ("size;price\n1;2\n", {}, "sep=';'"),
    r"--sep '\t'": ("size\tprice\n1\t2\n", {}, r"sep='\t'"),
    "--sep ,": ("size,price\n1,2\n", {"sep": ";"}, "sep=','"),
    "--missing drop": ("size,price\n1,\n", {}, "missing='drop'"),
    "--thousands , reads 1234, --decimal , reads 1.234": (
        "size;price\n1,234;2\n", {"sep": ";"}, "thousands=',' reads 1234, decimal=',' reads 1.234"
    ),
    "--thousands ' ' reads 1234": ("size,price\n1 234,2\n", {}, "thousands=' ' reads 1234"),
    "--encoding cp1252": (b"size,price\n\xe4,2\n", {}, "encoding='cp1252'"),
    "only --x may be dates": ("size,price\n1,2024-01-31\n", {}, "only x may be dates"),
}  # fmt: skip


@pytest.mark.parametrize("hint", MISTAKES)
def test_messages_name_options_on_the_command_line_and_arguments_in_python(csv, told, hint):
    content, given, in_python = MISTAKES[hint]
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    with pytest.raises(rl.InputError) as caught:
        told(content, *options)
    assert hint in str(caught.value)
    with pytest.raises(rl.InputError) as caught:
        csv(content, **given)  # after the command line has been left
    assert in_python in str(caught.value)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("--sep: expected one character, got ';;'", ["--sep", ";;"]),
        ("--decimal: expected '.' or ','", ["--decimal", ""]),
        ("--thousands: expected another mark than --decimal, got '.'", ["--thousands", "."]),
        ("--encoding: expected an encoding", ["--encoding", "hex"]),
        ("--missing: expected one of refuse, drop, got 'keep'", ["--missing", "keep"]),
        ("--x: expected a column of", ["--x", "sise"]),
        ("--target: expected another column than --x", ["--target", "size"]),
        ("--target: expected values with a finite spread", []),
    ],
)
def test_mistakes_on_the_command_line(told, message, options):
    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}"):
        told("size,price\n1,2\n2,2\n", *options)


@pytest.mark.parametrize("name", ["x", "target", "missing", "sep", "decimal", "thousands"])
def test_options_without_a_file(name):
    parser = ArgumentParser()
    add_data_options(parser)
    with pytest.raises(rl.InputError, match=f"^--{name}: expected with --csv FILE, got no --csv$"):
        data_of(parser.parse_args([f"--{name}", "a"]), lambda: rl.TrainingSet.point(0, 0))
    assert data_of(parser.parse_args([]), lambda: rl.TrainingSet.point(0, 0)).n_samples == 1


# Identity


@pytest.mark.parametrize("n_samples", [3, 101])
def test_names_and_units_are_no_part_of_the_identity(n_samples):
    x, target = np.arange(n_samples) / 7, np.arange(n_samples) / 3
    plain = rl.TrainingSet(x, target).specification()
    scaled = rl.TrainingSet(x, target, x_scale=Scale("size", 2, 3), target_scale=Scale("price", 4))
    assert scaled.specification() == plain
    assert from_frame(x, target).specification() == plain
    # As results folders of version 0.1.0 have it.
    assert plain == (
        {"x": x.tolist(), "target": target.tolist()}
        if n_samples == 3
        else {
            "n_samples": 101,
            "sha256": "03f0e4068fbf82aec31e4a3ace38c80b410b0fc88c52b4052f80b8034b3b4ea8",
        }
    )


def test_pickled_with_its_units():
    data = from_frame(standardize=True)
    again = pickle.loads(pickle.dumps(data))
    assert in_bits(again) == in_bits(data)
    assert (again.x_scale, again.target_scale) == (data.x_scale, data.target_scale)


# Functions


def test_samples_of_a_function():
    data = rl.TrainingSet.from_function(np.square, -1, 2, 4)
    assert_samples(data, [-1, 0, 1, 2], [1, 0, 1, 4])
    assert (data.x_scale, data.target_scale) == (Scale("x"), Scale("target"))
    assert_samples(rl.TrainingSet.from_function(lambda x: [7], -1, 2, 1), [-1], [7])


def test_a_function_may_work_in_place():
    def double(x):
        x *= 2
        return x

    assert_samples(rl.TrainingSet.from_function(double, 0, 1, 2), [0, 1], [0, 2])


def test_noise_is_the_seeds():
    def noisy(noise, seed=0):
        return rl.TrainingSet.from_function(np.sin, -1, 1, 20_000, noise, seed)

    clean = noisy(0.0, seed=1)
    assert in_bits(clean) == in_bits(noisy(0.0, seed=2))
    assert clean.target.tobytes() == np.sin(clean.x).tobytes()
    assert in_bits(noisy(0.1)) == in_bits(noisy(0.1))
    assert not np.any(noisy(0.1, seed=1).target == noisy(0.1, seed=2).target)
    drawn = np.random.default_rng(3).standard_normal(20_000)
    assert noisy(0.1, seed=3).target.tobytes() == (np.sin(clean.x) + 0.1 * drawn).tobytes()
    assert noisy(0.1).x.tobytes() == clean.x.tobytes()


def test_a_teacher_is_the_network_of_the_formula():
    w, b, v, c = 1.7, 0.3, -2.1, 0.4
    data = rl.TrainingSet.teacher(w, b, v, c, low=-2.0, high=1.0, n_samples=31)
    assert data.x.tolist() == np.linspace(-2, 1, 31).tolist()
    for x, target in zip(data.x.tolist(), data.target.tolist(), strict=True):
        pre_activation = w * x + b
        assert target == v * (pre_activation if pre_activation > 0 else 0.0) + c
    networks = rl.Networks(w=w, b=b, v=v, c=c)
    np.testing.assert_array_equal(networks.predict(data.x)[0], data.target)


def test_a_teacher_with_noise():
    data = rl.TrainingSet.teacher(1, 0, 1, 0, noise=0.5, seed=4)
    assert (data.n_samples, data.x[0], data.x[-1]) == (100, -1, 1)
    noise = data.target - np.maximum(data.x, 0)
    np.testing.assert_allclose(noise, 0.5 * np.random.default_rng(4).standard_normal(100))


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("function: expected a function of x, got 3", lambda make: make(3)),
        ("function: expected one value for each x, shape (5,), got ()", lambda make: make(np.mean)),
        ("function: expected one value for each x, shape (1,), got ()",
         lambda make: make(np.mean, n_samples=1)),
        ("function: expected one value for each x, shape (5,), got (2,)",
         lambda make: make(lambda x: x[:2])),
        ("function: expected one dimension, got shape (5, 1)",
         lambda make: make(lambda x: x[:, None])),
        ("function: expected numbers, got ['a']", lambda make: make(lambda x: ["a"])),
        ("function: expected real numbers, got array([0.+0.j", lambda make: make(lambda x: 1j * x)),
        ("function: expected finite values, got nan at index 2",
         lambda make: make(lambda x: np.where(x == 0.5, np.nan, x))),
        ("low: expected a finite number, got nan", lambda make: make(low=np.nan)),
        ("low: expected a number, got '0'", lambda make: make(low="0")),
        ("high: expected a finite number > 0, got 0.0", lambda make: make(high=0)),
        ("high: expected a finite number > 0, got inf", lambda make: make(high=np.inf)),
        ("high - low: expected a finite number, got inf",
         lambda make: make(low=-1e308, high=1e308)),
        ("n_samples: expected a whole number >= 1, got 0", lambda make: make(n_samples=0)),
        ("n_samples: expected a whole number >= 1, got 2.0", lambda make: make(n_samples=2.0)),
        ("noise: expected a number >= 0, got -1.0", lambda make: make(noise=-1)),
        ("noise: expected a finite number, got nan", lambda make: make(noise=np.nan)),
        ("noise: expected a number that keeps targets finite, got 1.7e+308",
         lambda make: make(noise=1.7e308, seed=5)),
        ("seed: expected a whole number >= 0, got -1", lambda make: make(seed=-1)),
        ("seed: expected a whole number >= 0, got None", lambda make: make(seed=None)),
    ],
)  # fmt: skip
def test_bad_functions(message, call):
    def make(function=np.sin, low=0, high=1, n_samples=5, **options):
        return rl.TrainingSet.from_function(function, low, high, n_samples, **options)

    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}") as caught:
        call(make)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        *((f"{p}: expected a finite number, got inf",
           lambda p=p: rl.TrainingSet.teacher(**dict.fromkeys("wbvc", 1.0) | {p: np.inf}))
          for p in "wbvc"),
        ("w: expected a number, got [1, 2]", lambda: rl.TrainingSet.teacher([1, 2], 0, 1, 0)),
        ("function: expected finite values, got nan at index 0",
         lambda: rl.TrainingSet.teacher(-1e308, 1e308, 0.0, 0)),
        ("high: expected", lambda: rl.TrainingSet.teacher(1, 0, 1, 0, low=1)),
        ("x_scale: expected Scale, got 'size'",
         lambda: rl.TrainingSet([1], [2], x_scale="size")),
        ("target_scale: expected Scale, got 2",
         lambda: rl.TrainingSet([1], [2], target_scale=2)),
        ("label: expected str, got 3", lambda: Scale(3)),
        ("mean: expected a finite number, got nan", lambda: Scale("x", np.nan)),
        ("std: expected a finite number > 0, got 0.0", lambda: Scale("x", 0, 0)),
    ],
)  # fmt: skip
def test_bad_teachers_and_scales(message, call):
    with pytest.raises(rl.InputError, match=f"^{re.escape(message)}"):
        call()


def test_copies_are_the_same_to_the_bit_and_read_only():
    data = rl.TrainingSet([0.0, -0.0, 1.0], [1.0, 2.0, 4.0], x_scale=rl.Scale("size", 1, 2))
    for copied in (pickle.loads(pickle.dumps(data)), copy.copy(data), copy.deepcopy(data)):
        assert copied.x.tobytes() == data.x.tobytes()
        assert copied.target.tobytes() == data.target.tobytes()
        assert (copied.x_scale, copied.target_scale) == (data.x_scale, data.target_scale)
        with pytest.raises(ValueError, match="read-only"):
            copied.target[0] = 9
    other = dataclasses.replace(data, target=[0.0, 0.0, 1.0])
    assert rl.best_fit(other).loss != rl.best_fit(data).loss


def test_a_worker_makes_the_tables_of_a_data_set_once():
    """Its tasks come one after the other, each with a copy of its own."""
    data = rl.TrainingSet(np.linspace(-1, 1, 50), np.linspace(0, 1, 50))
    first, second = (pickle.loads(pickle.dumps(data)) for _ in range(2))
    float64 = np.dtype(np.float64)
    assert sorted_sums.tables(first, float64) is sorted_sums.tables(second, float64)
    assert sorted_sums.tables(data, float64) is sorted_sums.tables(data, float64)
    assert rl.best_fit(data) is rl.best_fit(data)
