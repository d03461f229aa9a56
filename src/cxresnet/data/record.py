"""One row an image: what every source yields and the manifest keeps."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ImageRecord"]


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One film as its source describes it. An empty string means: not known.

    Attributes:
        image_id: Unique in the source; by default the path of the file relative to its root.
        location: What the source needs to read the film: a relative path, a member, a row number.
        class_name: One of the class map's names.
        source: Where the film comes from: a hospital, a collection, a set of phantoms.
        patient_id: Whose film it is; "" where nobody says.
        given_split: "train", "val" or "test" as published with the films.
        view: "PA", "AP", "lateral" and the like.
        age_years: As given, digits only.
        sex: "F", "M" or "".
        lung_mask: Location of the lung mask in the same source.
        lesion_mask: Location of the lesion mask (known for phantoms).
    """

    image_id: str
    location: str
    class_name: str
    source: str
    patient_id: str = ""
    given_split: str = ""
    view: str = ""
    age_years: str = ""
    sex: str = ""
    lung_mask: str = ""
    lesion_mask: str = ""
