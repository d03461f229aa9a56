from __future__ import annotations

import pytest

from cxresnet.core.config import DataConfig
from cxresnet.core.errors import SourceError
from cxresnet.data.manifest import ImageRecord
from cxresnet.data.prepare.requirements import require_plausible_patients
from cxresnet.data.sources.source import forget_patients


def make_records(counts: dict[str, int], *, class_name: str = "normal") -> list[ImageRecord]:
    return [
        ImageRecord(
            image_id=f"{class_name}/{patient}-{number}", location="", class_name=class_name,
            source="north", patient_id=patient,
        )
        for patient, count in counts.items()
        for number in range(count)
    ]  # fmt: skip


def test_an_id_with_a_large_share_of_a_class_is_asked_about() -> None:
    records = make_records({"": 50, "TEMP": 30, "p1": 5})
    with pytest.raises(SourceError) as caught:
        require_plausible_patients(records, config=DataConfig())
    message = str(caught.value)
    assert "'TEMP' has 30 of the 85 images (35%) of the class 'normal'" in message
    assert "--no-patient 'TEMP'" in message
    assert "--set data.max_patient_share=0.36" in message
    require_plausible_patients(records, config=DataConfig(max_patient_share=0.36))
    require_plausible_patients(
        forget_patients(records, ["temp"]), config=DataConfig(no_patients=("temp",))
    )


@pytest.mark.parametrize("counts", [{"p1": 19}, {"p1": 20, "": 80}, {"": 100}])
def test_few_images_a_small_share_and_nobody_are_not_asked_about(counts: dict[str, int]) -> None:
    require_plausible_patients(make_records(counts), config=DataConfig())


def test_the_share_is_that_of_one_class() -> None:
    records = make_records({"x": 25, "": 75}) + make_records({"": 900}, class_name="covid-19")
    with pytest.raises(SourceError, match="25 of the 100 images"):
        require_plausible_patients(records, config=DataConfig())
