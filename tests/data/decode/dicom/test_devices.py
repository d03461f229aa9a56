from __future__ import annotations

import pytest

from cxresnet.data.decode.dicom.devices import OTHER_MAKER, name_device


@pytest.mark.parametrize(
    ("maker", "model", "name"),
    [
        ("SIEMENS", "Ysio Max", "Siemens Ysio"),
        ("GE MEDICAL SYSTEMS", "Definium 6000", "GE Definium"),
        ("FUJIFILM Corporation", "", "Fujifilm"),
        ("Philips Medical Systems", "digitalDIAGNOST, Jane Miller", "Philips DigitalDiagnost"),
        ("Carestream Health", "DRX-1 Jane Miller", "Carestream DRX"),
        ("KONICA\tMINOLTA", "0862", "Konica Minolta"),
        ("Canon Inc., room of Jane Miller", "Jane Miller", "Canon"),
        ("Miller^Jane", "Ysio", OTHER_MAKER),
        ("George Siemensen", "", OTHER_MAKER),
        ("", "Miller^Jane", ""),
    ],
)
def test_only_known_makers_and_families_are_named(maker: str, model: str, name: str) -> None:
    assert name_device(maker, model) == name
