from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxresnet.core.errors import UnsafePathError
from cxresnet.data.sources.safe_path import normalise_path


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../a.png", "a/../../b.png", "~/a.png", "~root/a.png", "C:\\a.png", "c:a.png",
     "\\\\host\\share\\a.png", "..\\a.png", "..", "a\0.png"],
)  # fmt: skip
def test_a_path_that_leads_out_is_refused(path):
    with pytest.raises(UnsafePathError, match="leads out of its folder"):
        normalise_path(path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/../b.png", "b.png"), ("./a//b.png", "a/b.png"), ("train\\a.png", "train/a.png"), ("", "")],
)
def test_a_path_that_stays_is_tidied(path, expected):
    assert normalise_path(path) == expected


@pytest.mark.slow
@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "~", "C:"]), max_size=6))
def test_no_path_ever_climbs_out(parts):
    try:
        tidy = normalise_path("/".join(parts))
    except UnsafePathError:
        return
    assert not tidy.startswith(("/", "..", "~"))
    assert ".." not in tidy.split("/")
