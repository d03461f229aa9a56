"""Leave sources out: train once for each set of sources and seed, without those sources.

leave-sources-out/
  hannover+openist/seed-0/train/   the training without these two sources
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from cxresnet.core.config import Config
from cxresnet.core.progress import track
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.train.cross_validation import reseed
from cxresnet.train.fit import run_train

_logger = logging.getLogger(__name__)


def train_without_sources(
    dataset: PreparedDataset,
    sets: Sequence[Sequence[str]],
    *,
    config: Config,
    run: RunFolder,
    seeds: Sequence[int],
    resume: bool = False,
) -> None:
    """Train one network for each set of sources and each seed, from the other sources alone.

    Nothing of the sources is used: not for learning, not for the epoch, not for mean and sd.

    Args:
        dataset: Its test split is not looked at.
        sets: Sets of sources, each left out of one training a seed; a set that comes twice, in
            whatever order, is trained without once.
        config: Of the run; every training is alike but for the seed, and on one device.
        run: Where the trainings are written.
        seeds: One or more.
        resume: Go on where an earlier call stopped; trainings that are done stay.

    Raises:
        TrainingError: As of `run_train`; so are all others.
    """
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto"}
    config = config.model_copy(update={"train": config.train.model_copy(update=alone)})
    trainings = list(itertools.product(list_distinct_sets(sets), seeds))
    for sources, seed in track(trainings, "Training without sources"):
        _logger.info("Training without %s, seed %d", " and ".join(sources), seed)
        run_train(
            dataset,
            config=reseed(config, seed),
            run=RunFolder(run.get_source_fold(sources, seed=seed)),
            resume=resume,
            without_sources=sources,
        )


def list_distinct_sets(sets: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """List sets of sources without those that came before in another order.

    >>> list_distinct_sets([("b", "a"), ("c",), ("a", "b")])
    [('a', 'b'), ('c',)]
    """
    return list(dict.fromkeys(tuple(sorted(sources)) for sources in sets))
