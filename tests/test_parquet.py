"""Files that know themselves: whatever bit of one is struck, it is found, or harms nothing."""

import os

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow.dataset import dataset

from relulab.sweeps.files import remove_temporary_files
from relulab.sweeps.parquet import MARK, DamagedFileError, StoredTable, is_ours, write_table

FRAME = pd.DataFrame(
    {
        "run": range(8),
        "w": np.linspace(-1, 1, 8),
        "few": [1.5, 1.5, 2.5, 2.5] * 2,
        "period": pd.array([1, None] * 4, "Int64"),
        "word": ["a", "b"] * 4,
    }
)
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)
ABOUT = {"name": 'a "body": "\u00e9', "start": 0}


@pytest.fixture
def file(tmp_path):
    write_table(tmp_path, tmp_path / "t.parquet", TABLE, ABOUT, ["few", "word"])
    return tmp_path / "t.parquet"


def read_whole(file):
    stored = StoredTable.open(file)
    stored.check()
    return stored


def test_it_comes_back_with_what_it_is_about(file):
    stored = read_whole(file)
    assert stored.about == ABOUT
    assert stored.n_rows == 8
    assert stored.read(None, ["few", "word"]).equals(TABLE)
    pd.testing.assert_frame_equal(pd.read_parquet(file), FRAME)
    assert is_ours(file)


def test_columns_that_repeat_and_may_have_a_dictionary_get_one(file):
    def with_dictionary():
        group = pq.read_metadata(file).row_group(0)
        chunks = [group.column(k) for k in range(group.num_columns)]
        return [chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page]

    assert with_dictionary() == ["few", "word"]
    rng = np.random.default_rng(0)
    table = pa.table({"all": rng.random(9000), "few": rng.integers(100, size=9000) / 7})
    for allowed in (["all", "few"], ["few"], ["all"], []):
        write_table(file.parent, file, table, {}, allowed)
        assert with_dictionary() == [name for name in allowed if name == "few"]
        assert read_whole(file).read(None, allowed).equals(table)


def test_the_same_table_gives_the_same_bytes(file, tmp_path):
    again = tmp_path / "again.parquet"
    write_table(tmp_path, again, TABLE, ABOUT, ["few", "word"])
    assert again.read_bytes() == file.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"t.parquet", "again.parquet"}


@pytest.mark.slow
def test_every_flipped_bit_of_a_file_is_found(file):
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError):
            read_whole(file)


@pytest.mark.slow
def test_what_is_read_without_looking_at_the_whole_is_right_or_refused(file):
    """Of a footer every bit is looked at; of the pages, those that are read."""
    content = file.read_bytes()
    for place in range(len(content)):
        for bit in (place % 8, (place + 3) % 8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            file.write_bytes(damaged)
            try:
                read = StoredTable.open(file).read(None, ["few", "word"])
            except DamagedFileError:
                continue
            assert read.equals(TABLE), (place, bit)


def test_damage_in_a_column_harms_no_other(file):
    nested = [{"b": [k, k + 1]} for k in range(8)]
    table = TABLE.append_column("a", pa.array(nested)).append_column("ab", pa.array(FRAME["w"]))
    write_table(file.parent, file, table, {}, ["few", "word"])
    content = file.read_bytes()
    group = pq.read_metadata(file).row_group(0)
    chunks = [group.column(k) for k in range(group.num_columns)]
    assert [chunk.path_in_schema for chunk in chunks][-2:] == ["a.b.list.element", "ab"]
    for chunk in chunks:
        damaged = bytearray(content)
        damaged[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
        file.write_bytes(damaged)
        stored = StoredTable.open(file)
        for name in table.column_names:
            path = chunk.path_in_schema
            if path == name or path.startswith(f"{name}."):
                with pytest.raises(DamagedFileError):
                    stored.read([name], [name])
            else:
                assert stored.read([name], ["few", "word"]).equals(table.select([name]))


def test_all_groups_of_rows_are_looked_at(file):
    table = pa.table({"w": np.arange(2.0**20 + 5)})
    write_table(file.parent, file, table, {})
    metadata, content = pq.read_metadata(file), file.read_bytes()
    assert metadata.num_row_groups == 2
    assert read_whole(file).read().equals(table)
    for k in range(2):
        damaged = bytearray(content)
        damaged[metadata.row_group(k).column(0).data_page_offset + 40] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(DamagedFileError):
            StoredTable.open(file).read(["w"])


def test_a_table_may_have_no_rows(file):
    write_table(file.parent, file, TABLE[:0], {}, ["few"])
    assert read_whole(file).read(None, ["few"]).equals(TABLE[:0])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 4, b"\xff" * 8 + b"PAR1", b"x" * 100])
def test_what_is_no_parquet_file_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(DamagedFileError):
        StoredTable.open(file)
    assert not is_ours(file)


def test_every_shortened_file_is_refused(file):
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(DamagedFileError):
            read_whole(file)


def test_files_of_others_are_refused(file):
    FRAME.to_parquet(file)
    with pytest.raises(DamagedFileError, match="not a relulab file"):
        StoredTable.open(file)
    assert not is_ours(file)
    table = TABLE.replace_schema_metadata({MARK: b"1"})  # as format 2 wrote them
    pq.write_table(table, file)
    with pytest.raises(DamagedFileError, match="not a relulab file, or of another version"):
        StoredTable.open(file)
    assert is_ours(file)


def test_a_file_that_unpacks_to_more_memory_than_disk_is_refused(file, monkeypatch):
    """A few kilobytes of zeros: compressed, or in a dictionary where there should be none."""
    zeros = pa.table({"w": np.zeros(1_000_000)})
    write_table(file.parent, file, zeros, {}, ["w"])
    assert file.stat().st_size < 10_000
    with pytest.raises(DamagedFileError, match="compressed"):
        read_whole(file).read()
    assert read_whole(file).read(None, ["w"]).num_rows == 1_000_000

    def compressed(*arguments, real=pq.ParquetWriter, **options):
        return real(*arguments, **options | {"compression": "zstd"})

    monkeypatch.setattr(pq, "ParquetWriter", compressed)
    write_table(file.parent, file, zeros, {})
    monkeypatch.undo()
    assert file.stat().st_size < 100_000
    with pytest.raises(DamagedFileError, match="compressed"):
        read_whole(file).read()


def test_only_half_written_files_of_ours_are_deleted(tmp_path):
    ours = tmp_path / f".relulab-{'0123456789abcdef' * 2}.tmp"
    kept = [".relulab-1.tmp", ".part-00000.parquet.1.tmp", ".x.tmp", "relulab.tmp",
            f".relulab-{'g' * 32}.tmp", f".relulab-{'0' * 32}.tmp.txt"]  # fmt: skip
    for name in (ours.name, *kept):
        (tmp_path / name).write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    if os.name == "posix":
        kept.append(f".relulab-{'1' * 32}.tmp")
        (tmp_path / kept[-1]).symlink_to(elsewhere)
    remove_temporary_files(tmp_path)
    assert not ours.exists()
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "elsewhere"}


def test_a_filter_on_missing_or_nan_numbers_finds_them(file):
    """Statistics of a column leave NaN out, and readers would skip what they say is not there."""
    numbers = np.where(np.arange(100) % 10, 0.5, np.nan)
    write_table(file.parent, file, pa.table({"loss": numbers}), {}, ["loss"])
    found = dataset(file).to_table(filter=pc.is_nan(pc.field("loss")))
    assert found.num_rows == 10
    assert duckdb.sql(f"select * from '{file}' where isnan(loss)").shape[0] == 10
    assert len(pl.scan_parquet(file).filter(pl.col("loss").is_nan()).collect()) == 10
