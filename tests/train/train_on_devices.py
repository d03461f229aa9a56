"""Trains on squares with so many processes; `test_devices.py` runs it as people run a command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest import build_squares, build_tiny_config
from cxresnet.core.run_folder import RunFolder
from cxresnet.train.fit import run_train

if __name__ == "__main__":
    out, devices = Path(sys.argv[1]), int(sys.argv[2])
    config = build_tiny_config(
        devices=devices,
        batch_size=8 // devices,
        epochs=14,
        mixup=0.0,
        learning_rate=0.02,
        ema_decay=0.8,
    )
    quiet = config.train.augment.model_copy(
        update={"rotation_degrees": 0, "scale_share": 0, "shift_share": 0}
        | {"contrast": 0, "brightness": 0, "noise": 0}
    )
    config = config.model_copy(
        update={
            # Statistics of a batch differ between one of eight and two of four; groups do not.
            "model": config.model.model_copy(update={"norm": "group", "dropout": 0.0}),
            "train": config.train.model_copy(update={"augment": quiet}),
        }
    )
    result = run_train(build_squares(), config=config, run=RunFolder(out))
    print(json.dumps(result.metrics | {"epochs": result.epochs}))  # noqa: T201
