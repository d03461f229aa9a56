"""The public datasets that are known by name and recognised by their files."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable

from cxresnet.core.errors import ConfigError, SourceError
from cxresnet.data.sources.presets import DatasetPreset
from cxresnet.data.sources.table import TableOptions
from cxresnet.data.sources.table_file import Table, decode_text

_CHILDREN = "Its normal and pneumonia images are of children of one to five years (Kermany 2018)"


def _parse_covidx_list(content: bytes, *, name: str) -> Table:
    """Read `train.txt`: patient, file, class and source with blanks between, no heading."""
    folder = posixpath.splitext(posixpath.basename(name))[0]
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    for number, line in enumerate(decode_text(content, name=name).splitlines(), start=1):
        patient, _, rest = line.strip().partition(" ")
        file, *label_and_source = rest.rsplit(" ", 2)
        if not patient:
            continue
        if len(label_and_source) != 2:
            raise SourceError(f"Row {number} of '{name}' is not 'patient file class source'.")
        rows.append((patient, f"{folder}/{file}", *label_and_source, folder))
        numbers.append(number)
    columns = ("patient", "file", "class", "source", "split")
    return Table(name, columns, tuple(rows), tuple(numbers))


DATASET_PRESETS: tuple[DatasetPreset, ...] = (
    DatasetPreset(
        name="curated-covid19",
        title="Curated Chest X-Ray Image Dataset for COVID-19 (Sait et al. 2020)",
        handle="unaissait/curated-chest-xray-image-dataset-for-covid19",
        page="https://www.kaggle.com/datasets/unaissait/curated-chest-xray-image-dataset-for-covid19",
        path_patterns=(r"(^|/)COVID-19/", r"(^|/)Pneumonia-Bacterial/", r"(^|/)Pneumonia-Viral/"),
        class_table={
            "covid-19": ("COVID-19",),
            "normal": ("Normal",),
            "pneumonia": ("Pneumonia-Bacterial", "Pneumonia-Viral"),
        },
        warnings=(
            "It is gathered from many datasets, and the origin of each image is not recorded.",
        ),
    ),
    DatasetPreset(
        name="radiography",
        title="COVID-19 Radiography Database (Chowdhury et al. 2020, Rahman et al. 2021)",
        handle="tawsifurrahman/covid19-radiography-database",
        page="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
        path_patterns=(r"(^|/)COVID/", r"(^|/)Lung_Opacity/", r"(^|/)Viral Pneumonia/"),
        class_table={"pneumonia": ("Viral Pneumonia",), "ignore": ("Lung_Opacity",)},
        origins={r"(^|/)Viral Pneumonia/": "kermany"},
        warnings=(
            "Lung_Opacity is left out, for it may be anything (--classes pneumonia=Lung_Opacity).",
            "Its viral pneumonia is of children (Kermany 2018).",
        ),
    ),
    DatasetPreset(
        name="covid-qu-ex",
        title="COVID-QU-Ex Dataset (Tahir et al. 2021)",
        handle="anasmohammedtahir/covidqu",
        page="https://www.kaggle.com/datasets/anasmohammedtahir/covidqu",
        path_patterns=(
            r"(^|/)(Train|Val|Test)/COVID-19/images/",
            r"(^|/)(Train|Val|Test)/Non-COVID/images/",
            r"(^|/)(Train|Val|Test)/Normal/images/",
        ),
        class_table={
            "covid-19": ("COVID-19",),
            "normal": ("Normal",),
            "pneumonia": ("Non-COVID",),
            "ignore": ("Infection Segmentation Data",),
        },
        warnings=(
            "Its Non-COVID images show viral or bacterial pneumonia.",
            "Infection Segmentation Data is left out, for its images are among the others too.",
            "It is gathered from many datasets, and the origin of each image is not recorded.",
        ),
    ),
    DatasetPreset(
        name="kermany",
        title="Chest X-Ray Images (Pneumonia) (Kermany et al. 2018)",
        handle="paultimothymooney/chest-xray-pneumonia",
        page="https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
        path_patterns=(r"(^|/)train/PNEUMONIA/person\d+_(bacteria|virus)_", r"(^|/)train/NORMAL/"),
        # Bacterial and viral images count persons anew; to take equal numbers for one person can
        # only make the split stricter.
        patient=r"(?:^|/)(person\d+(?=_)|(?:NORMAL2-)?IM-\d+(?=-))",
        warnings=(f"{_CHILDREN}. Its val folder has 16 images, too few to choose a network on.",),
    ),
    DatasetPreset(
        name="covid19-317",
        title="COVID-19 Image Dataset of 317 images (Raikote 2020)",
        handle="pranavraikokte/covid19-image-dataset",
        page="https://www.kaggle.com/datasets/pranavraikokte/covid19-image-dataset",
        path_patterns=(r"(^|/)train/Covid/", r"(^|/)train/Viral Pneumonia/", r"(^|/)test/Covid/"),
        origins={r"(^|/)(Normal|Viral Pneumonia)/": "kermany"},
        warnings=(f"{_CHILDREN}, those with COVID-19 of adults: age predicts the class.",),
    ),
    DatasetPreset(
        name="nih",
        title="NIH ChestX-ray14 (Wang et al. 2017)",
        handle="nih-chest-xrays/data",
        page="https://www.kaggle.com/datasets/nih-chest-xrays/data",
        path_patterns=(r"(^|/)Data_Entry_2017(_v2020)?\.csv$",),
        tables=("Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"),
        split_lists={"train": "train_val_list.txt", "test": "test_list.txt"},
        warnings=(
            "Its labels were read out of reports by a program; Pneumonia is the least reliable.",
        ),
    ),
    DatasetPreset(
        name="rsna",
        title="RSNA Pneumonia Detection Challenge 2018 (Shih et al. 2019)",
        handle="competitions/rsna-pneumonia-detection-challenge",
        page="https://www.kaggle.com/competitions/rsna-pneumonia-detection-challenge",
        path_patterns=(r"(^|/)stage_2_detailed_class_info\.csv$",),
        class_table={
            "normal": ("Normal",),
            "pneumonia": ("Lung Opacity",),
            "ignore": ("No Lung Opacity / Not Normal",),
        },
        tables=("stage_2_detailed_class_info.csv",),
        table_options=TableOptions(columns={"path": "patientId", "patient": "patientId"}),
        one_row_per_image=False,
        warnings=("Its images are a part of NIH ChestX-ray14: do not join the two.",),
    ),
    DatasetPreset(
        name="covidx",
        title="COVIDx CXR (Wang et al. 2020; Pavlova et al. 2022)",
        handle="andyczhao/covidx-cxr2",
        page="https://www.kaggle.com/datasets/andyczhao/covidx-cxr2",
        path_patterns=(r"(^|/)train\.txt$", r"(^|/)test\.txt$", r"(^|/)train/[^/]+\.(png|jpe?g)$"),
        class_table={"covid-19": ("positive",), "covid-negative": ("negative",)},
        tables=("train.txt", "val.txt", "test.txt"),
        table_options=TableOptions(parse=_parse_covidx_list),
        warnings=("Where labels are positive and negative, negative may be normal or pneumonia.",),
    ),
    DatasetPreset(
        name="cohen",
        title="COVID-19 image data collection (Cohen et al. 2020)",
        handle="",
        page="https://github.com/ieee8023/covid-chestxray-dataset",
        path_patterns=(r"(^|/)metadata\.csv$", r"(^|/)annotations/", r"(^|/)images/"),
        tables=("metadata.csv",),
        table_options=TableOptions(
            columns={"path": "filename", "class": "finding", "source": ""},
            patterns={
                "covid-19": r"COVID-19",
                "normal": r"^No Finding$",
                "pneumonia": r"^Pneumonia(/|$)",
                "ignore": r".",
            },
            keep={"modality": r"^X-ray$", "view": r"^(?!L$)"},
        ),
        warnings=("CT and lateral images are left out, and findings other than pneumonia.",),
    ),
)
"""Every preset, in the order in which they are tried."""


def find_dataset_preset(name: str) -> DatasetPreset:
    """Find a dataset preset by its name.

    Raises:
        ConfigError: There is none; names those that there are.
    """
    known = {dataset_preset.name: dataset_preset for dataset_preset in DATASET_PRESETS}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise ConfigError(f"There is no dataset preset '{name}'.{hint} Known: {', '.join(known)}.")
    return known[name]


def find_dataset_preset_by_handle(handle: str) -> DatasetPreset | None:
    """Find the preset of the dataset that has a handle at Kaggle, whatever its version."""
    start = "/".join(handle.split("/")[:2]).casefold()
    return next(
        (
            dataset_preset
            for dataset_preset in DATASET_PRESETS
            if dataset_preset.handle.casefold() == start
        ),
        None,
    )


def recognise_dataset_preset(members: Iterable[str]) -> DatasetPreset | None:
    """Tell a public set by the names of its files; None if it is none of them."""
    names = tuple(members)
    return next(
        (dataset_preset for dataset_preset in DATASET_PRESETS if dataset_preset.matches(names)),
        None,
    )
