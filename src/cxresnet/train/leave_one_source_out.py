"""Train once for each source, without that source: is it the disease or the hospital?

leave-one-source-out/
  round-00/train/   the training that never saw the first source, by name
"""

from __future__ import annotations

import logging

from cxresnet.core.config import Config
from cxresnet.core.progress import track
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import PreparedDataset
from cxresnet.data.source_rounds import SourceRound, plan_source_rounds
from cxresnet.train.fit import run_train

__all__ = ["train_source_rounds"]

_logger = logging.getLogger(__name__)


def train_source_rounds(
    dataset: PreparedDataset, *, config: Config, run: RunFolder, resume: bool = False
) -> tuple[SourceRound, ...]:
    """Train one network for each source that can be tested, from the films of the others alone.

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
    rounds = plan_source_rounds(dataset.manifest, class_names=dataset.class_names)
    testable = [one for one in rounds if not one.reason]
    for one in track(testable, "Leaving one source out"):
        _logger.info("Training without the source %s", one.source)
        run_train(
            dataset,
            config=config,
            run=RunFolder(run.get_source_round(one.number)),
            resume=resume,
            without_source=one.source,
        )
    return rounds
