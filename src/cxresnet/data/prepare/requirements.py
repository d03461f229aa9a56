"""What must hold of the images of a dataset: each class has some, and no patient has too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import ClassMapError, EmptySourceError, SourceError
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.sources.source import Rejection

_FEW_IMAGES = 20


def require_classes(
    classes: Sequence[str],
    rejections: Sequence[Rejection],
    *,
    config: DataConfig,
    claimed: Iterable[str] = (),
) -> None:
    """Refuse to continue without images of at least two classes, and of each that is claimed.

    Args:
        classes: Of the images that are left.
        rejections: Of those that are not.
        config: With `external_test` one class is enough; with `allow_empty_classes` a class may
            have no image.
        claimed: Classes that should have an image, beside those of `rejections`.

    Raises:
        EmptySourceError: No image is left; says what most were rejected for.
        ClassMapError: All images that are left are of one class; or none is left of a class.
    """
    if not classes:
        reasons = Counter(rejection.reason for rejection in rejections).most_common(1)
        why = f" Most often: {reasons[0][0]}" if reasons else " Give a folder with images."
        raise EmptySourceError(f"No usable image is left; {len(rejections)} were rejected.{why}")
    lost = list_lost_classes(classes, rejections, claimed=claimed)
    if lost and not config.allow_empty_classes:
        raise ClassMapError(_explain_lost(lost[0], rejections))
    if len(set(classes)) == 1 and not config.external_test:
        raise ClassMapError(
            f"All {len(classes)} usable images are '{classes[0]}'; classification needs at least "
            "two classes. Add another source, name the classes of the folders with --classes, or "
            "use --external-test to test a network that was trained elsewhere."
        )


def list_lost_classes(
    classes: Sequence[str], rejections: Sequence[Rejection], *, claimed: Iterable[str]
) -> list[str]:
    """List the classes of which no image is left, though a folder, label or option names them."""
    named = {*claimed, *(rejection.class_name for rejection in rejections)} - {""}
    return sorted(named - set(classes))


def _explain_lost(name: str, rejections: Sequence[Rejection]) -> str:
    """Say what became of the images of a class, and the way out."""
    theirs = [rejection for rejection in rejections if rejection.class_name == name] or [
        rejection for rejection in rejections if not rejection.class_name
    ]
    reasons = Counter(rejection.reason for rejection in theirs).most_common(1)
    count = "1 file was" if len(theirs) == 1 else f"{len(theirs)} files were"
    why = f" {count} left out, most often because: {reasons[0][0]}" if theirs else ""
    return (
        f"No image is left of the class '{name}', which a folder, a label or --classes names.{why} "
        "Correct that, take the class out of the source, or continue without it with "
        "--allow-empty-classes."
    )


def require_plausible_patients(records: Sequence[ImageRecord], *, config: DataConfig) -> None:
    """Ask about an id that so many images of a class have that it may be a placeholder.

    As one person's, all these images go to one split; as nobody's, each goes its own way. Ids of
    fewer than 20 images are not asked about.

    Raises:
        SourceError: An id has a larger share of a class than `data.max_patient_share`.
    """
    totals = Counter(record.class_name for record in records)
    pairs = Counter((record.class_name, record.patient_id) for record in records)
    for (class_name, patient), count in pairs.most_common():
        share = count / totals[class_name]
        if patient and count >= _FEW_IMAGES and share > config.max_patient_share:
            raise SourceError(
                f"The patient '{patient}' has {count} of the {totals[class_name]} images "
                f"({share:.0%}) of the class '{class_name}'. If that stands for nobody, add "
                f"--no-patient '{patient}'; if it is one person, whose images stay in one split, "
                f"add --set data.max_patient_share={min(1.0, share + 0.01):.2f}."
            )
