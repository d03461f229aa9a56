"""Explain films and a class that somebody asked for, beside the films that the report shows."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path

from cxresnet.core.classes import build_class_map
from cxresnet.core.config import ExplainConfig
from cxresnet.core.errors import ConfigError, RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset import open_dataset
from cxresnet.evaluate.opener import describe_opener
from cxresnet.evaluate.operating_point import judge
from cxresnet.evaluate.record import read_evaluation
from cxresnet.explain.attribution import explain_choices
from cxresnet.explain.choice import Choice, choose_films
from cxresnet.explain.pictures import write_pictures
from cxresnet.explain.record import write_attributions
from cxresnet.explain.stage import CACHE_FOLDER, ExplainResult, read_test_predictions
from cxresnet.explain.trust.marks import find_card, mark_distrusted
from cxresnet.metrics.classification import Judged
from cxresnet.predict import Predictions, load_predictor

__all__ = ["ASKED_FOLDER", "choose_asked", "find_class", "run_explain_asked"]

ASKED_FOLDER = "asked"
"""In `explain/`; the report shows the films that were chosen, not those that were asked for."""


def run_explain_asked(
    run: RunFolder,
    *,
    config: ExplainConfig,
    image_ids: Sequence[str] = (),
    class_name: str | None = None,
) -> ExplainResult:
    """Explain some films of the test, or one class, and write it to `explain/asked/`.

    Args:
        run: Trained and evaluated.
        config: Methods, and how finely.
        image_ids: Films of the test; none: those that the report would show.
        class_name: The class explained, also by another name ("covid"); None: what the network
            says.

    Raises:
        RunFolderError: The run is not evaluated, or has no such film.
        ConfigError: There is no such class.
    """
    predictions = read_test_predictions(run)
    evaluation = read_evaluation(run.metrics)
    judged = judge(predictions, evaluation.operating_point)
    explained = None if class_name is None else find_class(class_name, predictions.class_names)
    choices = choose_asked(judged, predictions, image_ids=image_ids, explained=explained,
                           films_per_class=config.films_per_class)  # fmt: skip
    home = open_dataset(run.read_dataset_path())
    predictor = load_predictor(run.checkpoint)
    attributions = explain_choices(
        choices,
        judged,
        predictor=predictor,
        predictions=predictions,
        test=home.open_sealed_test(describe_opener(run, reason="explain", config=config)),
        evaluation=evaluation,
        config=config,
        cache_folder=run.explain / CACHE_FOLDER,
    )
    attributions = mark_distrusted(attributions, find_card(run.explain, predictor))
    folder = run.explain / ASKED_FOLDER
    write_attributions(folder, attributions)
    return ExplainResult(path=folder, pictures=write_pictures(folder, attributions))


def choose_asked(
    judged: Judged,
    predictions: Predictions,
    *,
    image_ids: Sequence[str],
    explained: int | None,
    films_per_class: int,
) -> tuple[Choice, ...]:
    """Choose the films asked for, or those that the report would show.

    Args:
        judged: What was decided.
        predictions: The films of the test.
        image_ids: As in the manifest, or only the file's name where that is clear; none: as
            `choose_films`.
        explained: Class index; None: what the network says.
        films_per_class: As of `choose_films`.

    Raises:
        RunFolderError: The test has no such film, or several of that file name.
    """
    if not image_ids:
        chosen = choose_films(
            judged,
            image_ids=predictions.image_ids,
            group_ids=predictions.group_ids,
            films_per_class=films_per_class,
        )
    else:
        rows = dict.fromkeys(_find_film(name, predictions.image_ids) for name in image_ids)
        decided = [int(judged.predicted[row]) for row in rows]
        chosen = tuple(
            Choice(row, predicted, "asked for", explained=predicted)
            for row, predicted in zip(rows, decided, strict=True)
        )
    if explained is None:
        return chosen
    return tuple(dataclasses.replace(choice, explained=explained) for choice in chosen)


def _find_film(name: str, image_ids: Sequence[str]) -> int:
    if name in image_ids:
        return list(image_ids).index(name)
    rows = [row for row, image_id in enumerate(image_ids) if Path(image_id).name == name]
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise RunFolderError(
            f"{len(rows)} films of the test are called '{name}'; write the whole name, for "
            f"example --film '{image_ids[rows[0]]}'."
        )
    close = difflib.get_close_matches(name, image_ids, n=1, cutoff=0.3)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise RunFolderError(
        f"The test has no film '{name}'.{hint} evaluate/predictions.csv lists all of them."
    )


def find_class(name: str, class_names: Sequence[str]) -> int:
    """Find a class by its name or one of its other names.

    Raises:
        ConfigError: There is none; says which there are.
    """
    found = build_class_map(class_names=class_names).find(name)
    if not found:
        raise ConfigError(
            f"The network knows no class '{name}'. Choose one of: {', '.join(class_names)}."
        )
    return list(class_names).index(found)
