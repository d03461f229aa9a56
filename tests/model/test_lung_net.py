from __future__ import annotations

import pytest
import torch

from cxresnet.model.lung_net import LUNG_SIDE_PX, LungNet


def test_two_maps_of_logits_have_the_size_of_the_image() -> None:
    network = LungNet().eval()
    assert network(torch.zeros(2, 1, LUNG_SIDE_PX, 64)).shape == (2, 2, LUNG_SIDE_PX, 64)


@pytest.mark.parametrize("shape", [(1, 1, 100, 128), (1, 3, 128, 128), (1, 128, 128)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 16 px"):
        LungNet()(torch.zeros(shape))


def test_every_weight_takes_part_in_the_answer() -> None:
    torch.manual_seed(0)
    network = LungNet()
    network(torch.randn(2, 1, 32, 32)).square().sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in network.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in network.parameters())


def test_one_corner_of_the_image_can_reach_the_whole_answer() -> None:
    """At an eighth and a sixteenth of the side the network sees far: lungs are no local matter."""
    torch.manual_seed(0)
    network = LungNet().eval()
    image = torch.randn(1, 1, 128, 128, requires_grad=True)
    network(image)[0, 0, 64, 64].backward()
    assert image.grad is not None
    touched = image.grad[0, 0].abs() > 0
    assert touched.any(dim=0).sum() > 80
