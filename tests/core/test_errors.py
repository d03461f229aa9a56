from __future__ import annotations

import pickle

import pytest

from cxresnet.core import errors

ERRORS = [name for name, kind in vars(errors).items() if isinstance(kind, type)]


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_on_the_tree_and_in_its_drawing(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.CXResnetError)
    assert name in (errors.__doc__ or "")


def test_an_image_error_comes_back_whole_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(errors.ImageError("truncated", "The image ends early.")))  # noqa: S301  ours
    assert (error.code, str(error)) == ("truncated", "The image ends early.")


def test_a_missing_extra_names_the_exact_command() -> None:
    error = errors.MissingExtraError("dicom", needed_for="Reading DICOM images")
    assert str(error) == 'Reading DICOM images needs an extra: pip install "cxresnet[dicom]"'
