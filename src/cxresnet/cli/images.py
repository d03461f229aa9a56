"""What the commands on any images share: which files, which network, and the cards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cxresnet.cli.terminal import say, say_wrote, warn
from cxresnet.core.backends import check_backend
from cxresnet.core.errors import EmptySourceError
from cxresnet.core.run_folder import open_run_folder

if TYPE_CHECKING:
    from cxresnet.api.classifier import Model
    from cxresnet.core.config import ExplainConfig
    from cxresnet.data.decode.limits import DecodeLimits


def list_files(paths: Sequence[Path]) -> Iterator[Path]:
    """List the files to classify; in a folder, all that `prepare` would not pass over as hidden.

    Only names below a named folder count: whoever names a hidden folder means it.

    Raises:
        EmptySourceError: A folder holds no file, or none of the paths is there.
    """
    if not any(holds(path.exists) for path in paths):
        raise EmptySourceError(f"There is no '{paths[0]}'. Name an image or a folder of images.")
    from cxresnet.data.sources.source import is_hidden

    for path in paths:
        if not holds(path.is_dir):
            yield path
            continue
        inside = sorted(
            file
            for file in _walk(path)
            if holds(file.is_file) and not any(map(is_hidden, file.relative_to(path).parts))
        )
        if not inside:
            raise EmptySourceError(
                f"'{path}' holds no file, or only hidden ones. Name an image or a folder of images."
            )
        yield from inside


def holds(question: Callable[[], bool]) -> bool:
    """Ask something of a path; "no" where the system cannot say, as of a name that is too long."""
    try:
        return question()
    except OSError:
        return False


def _walk(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder and below; name each folder that cannot be read."""

    def name(error: OSError) -> None:
        warn(f"The folder '{error.filename}' cannot be read: {error.strerror}. It is left out.")

    for place, _, files in os.walk(folder, onerror=name):
        yield from (Path(place, file) for file in files)


def load_network(
    run: Path | None,
    *,
    any_body_part: bool,
    gate: bool,
    fix: bool,
    limits: DecodeLimits,
    backend: str = "torch",
) -> Model:
    """Load the network of a run, or the bundled one, and say what must be known of it."""
    if run is not None:
        open_run_folder(run)  # a wrong path is told before torch is imported
    check_backend(backend)  # likewise
    from cxresnet.api.classifier import load

    model = load(run, any_body_part=any_body_part, gate=gate, fix=fix, backend=backend)
    model = replace(model, predictor=replace(model.predictor, limits=limits))
    if not gate:
        warn(
            "Nothing checks that these are frontal chest X-rays (--no-gate): for any other picture "
            "the probabilities mean nothing."
        )
    if not model.is_evaluated:
        warn(
            "This network was not evaluated yet: its probabilities are not calibrated, and it "
            "never abstains. 'cxresnet evaluate RUN' adds both."
        )
    if run is None:
        warn(f"Using the bundled network. {model.verdict}")
    elif model.verdict:
        warn(model.verdict)
    return model


def write_cards(
    model: Model,
    files: Sequence[Path],
    *,
    out: Path,
    config: ExplainConfig,
    class_name: str | None = None,
) -> None:
    """Write the cards of images, and say where they are and which images were refused.

    Raises:
        EmptySourceError: All images were refused.
    """
    from cxresnet.api.image_cards import write_image_cards

    result = write_image_cards(model, files, out=out, config=config, class_name=class_name)
    for one in result.refused:
        warn(f"Refused: '{one.file}'. {one.reason}")
    if result.kept:
        say(f"{result.kept} of {len(files)} cards were complete already.")
    say_wrote(result.page)
    if len(result.refused) == len(files):
        raise EmptySourceError(
            f"No image was explained: {len(files)} of {len(files)} were refused; the reasons stand "
            "above."
        )
