from __future__ import annotations

import itertools

import numpy as np

from cxresnet.core.seeding import build_generator, derive_seed


def test_no_two_purposes_share_a_stream() -> None:
    seeds = [derive_seed(s, p, i) for s, p, i in itertools.product(range(20), "ab", range(20))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_same_purpose_gives_the_same_stream() -> None:
    first, second = (build_generator(3, "split").random(4) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_global_stream_is_left_alone() -> None:
    np.random.seed(1)  # noqa: NPY002  the global stream itself is what is watched
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    build_generator(3, "split").random(4)
    assert np.random.rand() == expected  # noqa: NPY002
