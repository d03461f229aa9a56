"""How the films of a source are read: what folders, columns and labels mean."""

from __future__ import annotations

from pydantic import Field

from cxresnet.core.config.section import Section

__all__ = ["SourceConfig"]


class SourceConfig(Section):
    """What folders, columns and labels mean, where the guess would be wrong.

    Attributes:
        classes: From class to its folders or labels; `ignore` leaves some out.
        columns: From role (path, class, patient, source, view, age, sex, split, mask) to the
            heading of the table's column; "" says that there is none.
        patterns: From class to a regular expression on the label.
        separator: What stands between the labels of a list, as in "Pneumonia|Effusion".
        manifest: Take what a `manifest.csv` beside the films says.
        recipe: Name of a known set; "" tells by the look of it, "none" takes films as they lie.
        labels: A table that says which DICOM film shows what; "" for none.
    """

    classes: dict[str, list[str]] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    patterns: dict[str, str] = Field(default_factory=dict)
    separator: str = Field(default="|", min_length=1)
    manifest: bool = True
    recipe: str = ""
    labels: str = ""
