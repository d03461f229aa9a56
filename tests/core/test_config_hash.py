from __future__ import annotations

from cxresnet.core.config import EvaluateConfig


def test_two_configs_have_one_hash_if_and_only_if_they_are_equal() -> None:
    plain = EvaluateConfig()
    assert len(plain.compute_hash()) == 64
    assert EvaluateConfig(seed=0).compute_hash() == plain.compute_hash()
    assert EvaluateConfig(seed=1).compute_hash() != plain.compute_hash()
