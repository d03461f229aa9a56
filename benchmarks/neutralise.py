"""What do files tell about the class before `prepare`, and what is left after it?

Command:  python benchmarks/neutralise.py PATH/TO/darkcovid [--set data.side_px=160 …]
Time:     about 2 minutes on 2 cores for 1,124 images

Before: width, height, mode, format, size and border grey of every file as it came. After: the same
of the prepared images (all alike), how they compress, and six numbers of their grey levels. Each is
a random forest on patients it has not seen. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from cxresnet.core.config import read_config
from cxresnet.data.dataset.dataset_record import IMAGES_NAME
from cxresnet.data.manifest import read_manifest
from cxresnet.data.prepare.prepare import run_prepare
from cxresnet.data.sources.open import open_source
from cxresnet.metrics.estimate import Estimate
from cxresnet.shortcuts.features import describe_prepared_files
from cxresnet.shortcuts.probe import ProbeResult, probe_bytes, probe_header, probe_scalars


def main() -> None:
    """Prepare, probe, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    config = read_config(None, settings=arguments.settings).data
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "dataset"
        run_prepare(open_source(arguments.source), config=config, out=out)
        manifest = read_manifest(out / "manifest.csv")
        images = np.load(out / IMAGES_NAME, mmap_mode="r")
        results = [
            ("before", probe_header(manifest)),
            ("after", probe_header(describe_prepared_files(manifest, side_px=images.shape[1]))),
            ("after", probe_bytes(images, manifest)),
            ("after", probe_scalars(images, manifest)),
        ]
    print(f"{len(manifest)} images, {manifest['group_id'].nunique()} patients or clusters")
    print(f"{config.model_dump()}\n")
    print("| when | probe | accuracy | told best | its AUROC | chance | n |")
    print("|---|---|---|---|---|---|---|")
    for when, result in results:
        print(_format_row(when, result))


def _format_row(when: str, result: ProbeResult) -> str:
    name, auroc = result.highest_auroc
    cells = (
        when, result.name, _format(result.accuracy), name, _format(auroc),
        f"{result.majority_accuracy:.3f}", str(result.n),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _format(estimate: Estimate) -> str:
    if estimate.value is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


if __name__ == "__main__":
    main()
