"""Patient ids that stand for nobody, or that are too common to be one person's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from cxresnet.core.config.data import DataConfig
from cxresnet.core.errors import SourceError
from cxresnet.core.labels import fold_label
from cxresnet.data.manifest import ImageRecord

_FEW_IMAGES = 20


def forget_patients(
    records: Iterable[ImageRecord], placeholders: Collection[str]
) -> tuple[ImageRecord, ...]:
    """Take away the ids that the user says stand for nobody."""
    folded = set(map(fold_label, placeholders))
    return tuple(
        replace(record, patient_id="") if fold_label(record.patient_id) in folded else record
        for record in records
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
