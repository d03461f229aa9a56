"""What does ShortKit-ML say of the networks of `audit_truth.py`?

Run: python benchmarks/audit_truth.py FOLDER, then in an environment that also has ShortKit-ML
     (pip install --no-deps shortkit-ml==0.1.0; pip install statsmodels seaborn plotly):
     python benchmarks/audit_shortkit.py FOLDER [--out table.md]
Time: a few seconds a network

It detects shortcuts in embeddings. It is given what a user has: the features before the last layer
of validation and test images, their classes, and the recorded source as the group; nobody knows of
the planted shortcut. Its default methods, with its geometric analysis; the verdict is the last one
of its summary. Beside it stand the red questions of our audit of the same network.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
from shortcut_detect import ShortcutDetector

from cxresnet.audit.model import open_run_model
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.held_out import AccessRequest

METHODS = ["hbac", "probe", "statistical", "geometric"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = ["| network | ShortKit-ML 0.1.0, overall | our audit, red questions |", "|---|---|---|"]
    for path in sorted(options.folder.glob("*/audit/scorecard.json")):
        run = RunFolder(path.parents[1])
        card = json.loads(path.read_text(encoding="utf-8"))
        red = [one["question"] for one in card["findings"] if one["verdict"] == "red"]
        lines.append(f"| {run.path.name} | {ask_shortkit(run)} | {', '.join(red) or 'none'} |")
        print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ask_shortkit(run: RunFolder) -> str:
    """Give the overall assessment of ShortKit-ML in its own words."""
    dataset = open_dataset(run.read_dataset_path())
    request = AccessRequest(
        reason="benchmark of audits", run=run.path.name, network="", config="none"
    )
    sets = [dataset.select("val"), dataset.open_held_out_test(request)]
    model = open_run_model(run)
    features = np.concatenate([model.compute_features(one.images) for one in sets])
    labels = np.concatenate([one.labels for one in sets])
    sources = np.concatenate([one.manifest["source"].to_numpy(dtype=str) for one in sets])
    detector = ShortcutDetector(methods=METHODS, seed=0)
    with contextlib.redirect_stdout(io.StringIO()):
        detector.fit(features, labels, group_labels=np.unique(sources, return_inverse=True)[1])
        summary = detector.summary()
    found = re.search(r"OVERALL ASSESSMENT\s*=+\s*(.*)", summary)
    return re.sub(r"[^\w :,.()-]", "", found[1]).strip() if found else "no assessment"


if __name__ == "__main__":
    main()
