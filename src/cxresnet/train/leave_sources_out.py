"""Leave-one-source-out: train once for each source, without that source.

leave-one-source-out/
  round-00/train/   the training without the first source, by name
"""

from __future__ import annotations

import logging

from cxresnet.core.config import Config
from cxresnet.core.progress import track
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import PreparedDataset
from cxresnet.data.split.source_folds import SourceFold, plan_source_folds
from cxresnet.train.fit import run_train

_logger = logging.getLogger(__name__)


def train_source_folds(
    dataset: PreparedDataset, *, config: Config, run: RunFolder, resume: bool = False
) -> tuple[SourceFold, ...]:
    """Train one network for each source that can be tested, from the images of the others alone.

    Nothing of the source is used: not for learning, not for the epoch, not for mean and sd.

    Args:
        dataset: Its test split is not looked at.
        config: Of the run; every round is trained alike, on one device.
        run: Where the rounds are written.
        resume: Go on where an earlier call stopped; rounds that are done stay.

    Returns:
        All rounds, those too that cannot be tested, with the reason.

    Raises:
        TrainingError: As of `run_train`; so are all others.
    """
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto"}
    config = config.model_copy(update={"train": config.train.model_copy(update=alone)})
    source_folds = plan_source_folds(dataset.manifest, class_names=dataset.class_names)
    testable = [one for one in source_folds if not one.reason]
    for one in track(testable, "Leaving one source out"):
        _logger.info("Training without the source %s", one.source)
        run_train(
            dataset,
            config=config,
            run=RunFolder(run.get_source_fold(one.number)),
            resume=resume,
            without_source=one.source,
        )
    return source_folds
