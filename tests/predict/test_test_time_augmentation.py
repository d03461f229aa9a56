"""Views that are averaged at test time."""

from __future__ import annotations

import torch

from cxresnet.predict.test_time_augmentation import build_test_time_views


def test_the_first_view_for_testing_is_the_image_itself_and_none_is_mirrored() -> None:
    views = build_test_time_views()

    assert torch.equal(views[0], torch.eye(2, 3))
    assert all(torch.linalg.det(view[:, :2]) > 0 for view in views)
