from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxresnet.data.safe_csv import read_safe_csv, write_safe_csv


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.text(), st.text()), max_size=6))
def test_any_table_of_texts_comes_back(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    path = write_safe_csv(tmp_path / "t.csv", ("a", "b"), rows)
    names, columns = read_safe_csv(path)
    assert names == ["a", "b"]
    assert list(zip(*columns, strict=True)) == rows


@pytest.mark.parametrize("content", ["", 'a,b\n"x\n', "a,b\n1\n", "a,b\n1,2,3\n"])
def test_what_is_no_table_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=r".+"):
        read_safe_csv(tmp_path / "t.csv")


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    path = write_safe_csv(tmp_path / "t.csv", ("n", "t"), [(-1, "-1")])
    assert path.read_text() == '"n","t"\n-1,"\'-1"\n'
