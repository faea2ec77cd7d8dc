import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import relulab as rl
from relulab import tables
from relulab.model.outcome import OUTCOMES


def a_table():
    return pd.DataFrame(
        {
            "outcome": pd.Categorical(["converged", "diverged"], dtype=OUTCOMES),
            "count": [1234567, 0],
            "fraction": [0.123456, np.nan],
            "learning_rate": [0.0012345678, 1e30],
            "n_runs": pd.array([20000, None], "Int64"),
            "death_step": pd.array([None, 14907], "Int64"),
            "loss": np.array([0.5, np.inf], np.float32),
        }
    )


def test_text_is_neat():
    assert tables.text(a_table()) == (
        "outcome        count    fraction    learning_rate    n_runs    death_step    loss\n"
        "converged  1,234,567      12.35%         0.001235    20,000                   0.5\n"
        "diverged           0                        1e+30                   14907     inf"
    )


def test_markdown_is_the_same_as_a_table_of_github():
    lines = tables.markdown(a_table()).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows == [
        ["outcome", "count", "fraction", "learning_rate", "n_runs", "death_step", "loss"],
        rows[1],
        ["converged", "1,234,567", "12.35%", "0.001235", "20,000", "", "0.5"],
        ["diverged", "0", "", "1e+30", "", "14907", "inf"],
    ]
    assert re.fullmatch(r":-+", rows[1][0])
    assert all(re.fullmatch(r"-+:", rule) for rule in rows[1][1:])


def test_what_would_break_a_markdown_table_is_escaped():
    table = pd.DataFrame({"a|b": ["x|y", "two\nlines", "back\\slash", None], "1": ["1.50"] * 4})
    lines = tables.markdown(table).splitlines()
    assert lines[0].startswith(r"| a\|b ")
    assert [line.split(" ")[1] for line in lines[2:]] == [r"x\|y", "two", r"back\\slash", ""]
    assert "two lines" in lines[3]
    assert all("1.50" in line for line in lines[2:])
    assert tables.text(table).splitlines()[1] == "x|y         1.50"


@pytest.mark.parametrize("show", [tables.text, tables.markdown])
def test_values_in_words(show):
    table = pd.DataFrame(
        {"converged": [True, False], "fact": [2.123456, "two"], "run": [1, 10**6], "missing": None}
    )
    words = show(table).replace("|", " ").split()
    assert [w for w in words if ":" not in w] == [
        "converged", "fact", "run", "missing", "True", "2.123", "1", "False", "two", "1000000",
    ]  # fmt: skip


@pytest.mark.parametrize("show", [tables.text, tables.markdown])
def test_tables_without_rows_or_columns(show):
    assert show(a_table().iloc[:0]).replace("|", " ").split()[:7] == list(a_table())
    assert show(pd.DataFrame()) == ""


@given(
    st.lists(st.tuples(st.text(max_size=6), st.floats(width=32), st.integers(0, 10**7)), max_size=5)
)
@example([("", 0.0, 0), ("\x01", 0.0, 0)])  # of which tabulate 0.9 makes a row of one cell
def test_every_row_is_one_line_and_every_column_is_aligned(rows):
    table = pd.DataFrame(rows, columns=["word", "loss", "n_runs"])
    lines = tables.markdown(table).splitlines()
    assert len(lines) == 2 + len(rows)
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 4 for line in lines)
    shown = tables.text(table).split("\n")
    assert len(shown) == 1 + len(rows)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", "".join((*lines, *shown)))
    # Numbers end at the right end of the line.
    assert len({len(line) for line in shown}) == 1
    assert [line.split()[-1] for line in shown[1:]] == [f"{n:,}" for _, _, n in rows]


def test_tables_of_statistics_are_shown_in_their_formats():
    runs = rl.train(
        rl.Networks(w=[0.5, -0.5], b=0.2, v=0.3, c=0.1), rl.TrainingSet.point(1, 3), 0.1
    ).to_frame()
    assert tables.text(rl.statistics.summary(runs)).split()[:2] == ["n_runs", "converged"]
    row = tables.text(rl.statistics.summary(runs)).splitlines()[1].split()
    assert row[:9] == ["2", "100.00%", *["0.00%"] * 4, "50.00%", "50.00%", "0.00%"]
    line = tables.text(rl.statistics.survival(runs)).splitlines()[1].split()
    assert line[:5] == ["0", "2", "1", "0", "50.00%"]
    assert all(cell.endswith("%") for cell in line[4:])


def test_files_are_what_their_names_say(tmp_path):
    table = a_table()
    tables.write(table, tmp_path / "table.csv")
    tables.write(table, str(tmp_path / "table.md"))
    again = pd.read_csv(tmp_path / "table.csv")
    assert list(again) == list(table)
    assert again["learning_rate"].tolist() == table["learning_rate"].tolist()
    assert again["fraction"][0] == table["fraction"][0]
    assert (tmp_path / "table.md").read_text() == tables.markdown(table) + "\n"


@pytest.mark.parametrize("file", ["table.txt", "table", "", None, 3])
def test_other_names_are_refused(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rl.InputError, match=r"^file: expected a name that ends in \.csv or \.md"):
        tables.write(a_table(), file)
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_table(tmp_path):
    for function in (tables.text, tables.markdown, lambda t: tables.write(t, tmp_path / "t.csv")):
        with pytest.raises(rl.InputError, match=r"^table: expected DataFrame, got"):
            function([1, 2])
