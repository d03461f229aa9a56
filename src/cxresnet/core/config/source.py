"""How the images of a source are read: what folders, columns and labels mean."""

from __future__ import annotations

from pydantic import Field

from cxresnet.core.config.section import Section


class SourceConfig(Section):
    """What folders, columns and labels mean, if it is not recognised automatically.

    Attributes:
        classes: From class to its folders or labels; `ignore` leaves some out.
        columns: From role (path, class, patient, source, view, age, sex, split, mask) to the
            heading of the table's column; "" if there is none.
        patterns: From class to a regular expression on the label.
        separator: Text between the labels of a list, as in "Pneumonia|Effusion".
        one_hot: Headings of columns of 0 and 1, one for each class, in place of a column of labels.
        follow_links: Read what links in a folder lead to, also outside of it.
        manifest: Use a `manifest.csv` beside the images.
        dataset_preset: Name of a public dataset; "" recognises it by its files, "none" uses no
            preset.
        labels: A table with the class of each DICOM image; "" for none.
        any_body_part: Take DICOM radiographs whatever part of the body their header names.
    """

    classes: dict[str, list[str]] = Field(default_factory=dict)
    columns: dict[str, str] = Field(default_factory=dict)
    patterns: dict[str, str] = Field(default_factory=dict)
    separator: str = Field(default="|", min_length=1)
    one_hot: list[str] = Field(default_factory=list)
    follow_links: bool = False
    manifest: bool = True
    dataset_preset: str = ""
    labels: str = ""
    any_body_part: bool = False
