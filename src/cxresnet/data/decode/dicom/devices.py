"""Makers and product families of X-ray devices, recognised in free text.

Manufacturer and ManufacturerModelName (0008,0070 and 0008,1090) are free text: people have written
names of hospitals, rooms and patients there. What is passed on is never that text, but a name of
these lists that was found in it.
"""

from __future__ import annotations

import re

OTHER_MAKER = "other maker"

_MAKERS: dict[str, str] = {
    "Agfa": "agfa",
    "Canon": "canon",
    "Carestream": "carestream|kodak",
    "Delft Imaging": "delft|oldelft",
    "DRGEM": "drgem",
    "DRTECH": "drtech",
    "Fujifilm": "fuji|fujifilm",
    "GE": "ge|gems|general electric",
    "Hitachi": "hitachi",
    "Hologic": "hologic",
    "Italray": "italray",
    "Konica Minolta": "konica|minolta",
    "Listem": "listem",
    "Mindray": "mindray",
    "Neusoft": "neusoft",
    "Philips": "philips",
    "Rayence": "rayence",
    "Samsung": "samsung",
    "Sedecal": "sedecal",
    "Shimadzu": "shimadzu",
    "Siemens": "siemens",
    "Swissray": "swissray",
    "Toshiba": "toshiba",
    "Trixell": "trixell",
    "United Imaging": "united imaging",
    "Varian": "varian|varex",
    "Vieworks": "vieworks",
    "Wandong": "wandong",
}
"""From the name that we write to the words that mean it."""

_FAMILIES = (
    "AeroDR", "AXIOM", "Brivo", "CXDI", "Definium", "DigitalDiagnost", "DirectView", "Discovery",
    "DRX", "DuraDiagnost", "DX-D", "DX-M", "Essenta", "FCR", "FDR", "Fluorospot", "Luminos",
    "MobileDaRt", "MobileDiagnost", "Mobilett", "Multix", "Optima", "ProGrade", "RADspeed",
    "REGIUS", "Revolution", "Thoravision", "Vertix", "XGEO", "XR656", "Ysio",
)  # fmt: skip
"""Product families."""


def name_device(maker: str, model: str) -> str:
    """Name the maker and the family of a device; "" where the header states no maker.

    Args:
        maker: As in the header, free text.
        model: The same.

    >>> name_device("SIEMENS Healthineers", "Ysio Max, room of Dr Miller")
    'Siemens Ysio'
    >>> name_device("Miller^Jane", "DRX-1")
    'other maker'
    """
    if not maker.strip():
        return ""
    name = next((name for name, words in _MAKERS.items() if _has_word(words, maker)), "")
    if not name:
        return OTHER_MAKER
    families = (family for family in _FAMILIES if _has_start(family, model))
    return " ".join((name, *list(families)[:1]))


def _has_word(words: str, text: str) -> bool:
    return re.search(rf"(?<!\w)(?:{words})(?!\w)", text, re.IGNORECASE) is not None


def _has_start(start: str, text: str) -> bool:
    return re.search(rf"(?<!\w){start}", text, re.IGNORECASE) is not None
