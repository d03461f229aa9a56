"""Judge each source by the network that never saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxresnet.core.config.evaluate import EvaluateConfig
from cxresnet.core.errors import DatasetError
from cxresnet.core.progress import track
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import FilmSet, PreparedDataset
from cxresnet.data.source_rounds import SourceRound, find_other_films, take_films
from cxresnet.evaluate.gap import (
    JudgedSide,
    choose_headline_score,
    describe_gap,
    measure_gaps,
)
from cxresnet.evaluate.left_out_sources import (
    LEAVE_ONE_SOURCE_OUT_NAME,
    LeaveOneSourceOut,
    LeftOutSource,
    write_leave_one_source_out,
)
from cxresnet.evaluate.opener import describe_opener
from cxresnet.evaluate.operating_point import choose_operating_point, judge
from cxresnet.evaluate.record import OperatingPoint
from cxresnet.evaluate.results import GapScore
from cxresnet.predict.predictions import (
    Predictions,
    concatenate_predictions,
    write_predictions,
)
from cxresnet.predict.predictor import Predictor, load_predictor

__all__ = ["judge_left_out_sources"]

_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Splits:
    """The opened dataset."""

    dataset: PreparedDataset
    films: Mapping[str, FilmSet]

    def take_others(self, split: str, source: str) -> FilmSet:
        """Take the films of a split that have nothing to do with a source."""
        films = self.films[split]
        return take_films(films, find_other_films(self.dataset.manifest, source, of=films.manifest))

    def take_source(self, source: str) -> list[FilmSet]:
        """Take the films of a source, split by split."""
        return [
            take_films(films, (films.manifest["source"] == source).to_numpy())
            for films in self.films.values()
        ]


def judge_left_out_sources(
    run: RunFolder,
    dataset: PreparedDataset,
    rounds: Sequence[SourceRound],
    *,
    config: EvaluateConfig,
) -> LeaveOneSourceOut:
    """Judge each source by the network that was trained without it, and write what was found.

    Opens the sealed test once, for all rounds, and only if a source can be tested. Writes
    `predictions.csv` into each round's folder and `leave_one_source_out.json` into `run.evaluate`.

    Args:
        run: Its rounds are trained.
        dataset: That they were trained on.
        rounds: As planned; those with a reason are passed over.
        config: Of the operating point and the intervals.

    Raises:
        CheckpointError: A round is not trained, or damaged.
        DatasetError: A round was trained on another dataset, or the ledger was altered.
        StorageError: The results cannot be written.
    """
    testable = [one for one in rounds if not one.reason]
    sides = {}
    if testable:
        opened = _open_splits(run, dataset, config=config)
        for one in track(testable, "Judging left-out sources"):
            sides[one.source] = _judge_round(run, one, opened, config=config)
    found = measure_gaps(sides, config=config) if sides else None
    by_name = found.by_name if found else {}
    sources = tuple(_describe_source(one, sides, by_name.get(one.source, ())) for one in rounds)
    result = LeaveOneSourceOut(
        dataset_hash=dataset.dataset_hash,
        class_names=dataset.class_names,
        sources=sources,
        mean=found.mean if found else (),
        sentence=_summarise(sources, found.mean if found else ()),
        seed=config.seed,
        resamples=config.bootstrap_resamples,
        confidence=config.confidence,
    )
    write_leave_one_source_out(run.evaluate / LEAVE_ONE_SOURCE_OUT_NAME, result)
    return result


def _open_splits(run: RunFolder, dataset: PreparedDataset, *, config: EvaluateConfig) -> _Splits:
    opener = describe_opener(run, reason="evaluate: leave one source out", config=config)
    films = {split: dataset.select(split) for split in _SPLITS[:2]}
    films["test"] = dataset.open_sealed_test(opener)
    return _Splits(dataset, films)


def _judge_round(
    run: RunFolder, one: SourceRound, opened: _Splits, *, config: EvaluateConfig
) -> tuple[JudgedSide, JudgedSide]:
    """Judge the other sources' test films and the source's own, (internal, external)."""
    folder = RunFolder(run.get_source_round(one.number))
    predictor = load_predictor(folder.checkpoint)
    if predictor.record.dataset_hash != opened.dataset.dataset_hash:
        raise DatasetError(
            f"The round without {one.source} was trained on another dataset. "
            "Leave out --resume to train the rounds again."
        )
    point = _choose_point(predictor, one.source, opened, config=config)
    tables = [
        _predict(predictor, film_sets, config=config)
        for film_sets in ([opened.take_others("test", one.source)], opened.take_source(one.source))
    ]
    write_predictions(
        folder.path / "predictions.csv",
        concatenate_predictions(tables),
        verdict=opened.dataset.verdict,
    )
    internal, external = (
        JudgedSide(judged=judge(table, point), image_ids=table.image_ids, group_ids=table.group_ids)
        for table in tables
    )
    return internal, external


def _choose_point(
    predictor: Predictor, source: str, opened: _Splits, *, config: EvaluateConfig
) -> OperatingPoint:
    labels = opened.take_others("train", source).labels
    shares = np.bincount(labels, minlength=len(opened.dataset.class_names)) / len(labels)
    validation = _predict(predictor, [opened.take_others("val", source)], config=config)
    return choose_operating_point(
        validation, class_shares=shares, rule=config.operating_point, seed=config.seed
    )


def _predict(
    predictor: Predictor, film_sets: Sequence[FilmSet], *, config: EvaluateConfig
) -> Predictions:
    return concatenate_predictions(
        [
            predictor.predict_film_set(
                film_set, batch_size=config.batch_size, test_views=config.test_views
            )
            for film_set in film_sets
            if len(film_set)
        ]
    )


def _describe_source(
    one: SourceRound,
    sides: Mapping[str, tuple[JudgedSide, JudgedSide]],
    scores: tuple[GapScore, ...],
) -> LeftOutSource:
    counts = [0, 0]
    if one.source in sides:
        for place, side in enumerate(sides[one.source]):
            names = np.array(side.judged.class_names)[side.judged.truth]
            counts[place] = int(np.isin(names, one.compared).sum())
    where = f"in {one.source}, which it never saw"
    sentence = describe_gap(choose_headline_score(scores), where=where) if scores else one.reason
    return LeftOutSource(
        source=one.source,
        films=one.films,
        patients=one.patients,
        classes=one.classes,
        compared=one.compared,
        reason=one.reason,
        internal_films=counts[0],
        external_films=counts[1],
        scores=scores,
        sentence=sentence,
    )


def _summarise(sources: Sequence[LeftOutSource], mean: tuple[GapScore, ...]) -> str:
    tested = [one for one in sources if one.scores]
    if not tested:
        return (
            "No source can be tested: nothing here says whether the network would work at a "
            "hospital that it never saw."
        )
    untested = len(sources) - len(tested)
    if len(tested) == 1:
        sentence = tested[0].sentence
    elif mean:
        where = f"in the source left out, on average over {len(tested)} sources"
        sentence = describe_gap(choose_headline_score(mean), where=where)
    else:
        sentence = f"{len(tested)} sources were tested; they have no score in common."
    if not untested:
        return sentence
    return f"{sentence} {untested} of {len(sources)} sources cannot be tested."
