"""Open what is audited: a run with its images, or somebody else's model with a dataset."""

from __future__ import annotations

from pathlib import Path

from cxresnet.audit.context import AuditContext, number_classes, require_classes
from cxresnet.audit.model import AuditedModel, open_run_model
from cxresnet.core.config import Config, read_written_config
from cxresnet.core.errors import RunFolderError
from cxresnet.core.run_folder import RunFolder
from cxresnet.data.dataset.dataset import open_dataset
from cxresnet.data.dataset.held_out import AccessRequest
from cxresnet.evaluate.evaluated_images import describe_access_request, require_same_preprocessing

AUDIT_NAME = "audit"
"""Name of the folder in a run."""


def open_run_audit(run: RunFolder, *, config: Config, dataset: Path | None = None) -> AuditContext:
    """Open a run for an audit; the access to the test set is logged.

    Args:
        run: Evaluated.
        config: Its section `audit` is used; small networks are trained as the run was.
        dataset: Another dataset, prepared as the run's own; None for the run's own test images.

    Raises:
        RunFolderError: The run is not evaluated, or its dataset is gone and no other is given.
        CheckpointError: The network is missing or damaged.
        DatasetError: The dataset was prepared in another way, or altered.
        ClassMapError: The dataset has a class that the network does not have.
    """
    model = open_run_model(run, batch_size=config.audit.batch_size)
    is_own = dataset is None or _is_own(run, dataset)
    opened = open_dataset(run.read_dataset_path() if dataset is None else dataset)
    require_same_preprocessing(opened, model.predictor)
    require_classes(opened.manifest, model.class_names)
    request = describe_access_request(run, reason="audit", config=config.audit)
    written = run.train / "config.json"
    # A network that was passed on without it, as the bundled one, still says what it is built of.
    trained_with = (
        read_written_config(written)
        if written.is_file()
        else config.model_copy(update={"model": model.predictor.record.model})
    )
    return AuditContext(
        model=model,
        dataset=opened,
        test=number_classes(opened.open_held_out_test(request), model.class_names),
        settings=trained_with.model_copy(update={"audit": config.audit}),
        folder=run.path / (AUDIT_NAME if is_own else f"{AUDIT_NAME}-{opened.record.name}"),
        run=run if is_own else None,
    )


def _is_own(run: RunFolder, dataset: Path) -> bool:
    """Decide whether a dataset is that of a run, which may have been passed on without it."""
    try:
        return dataset.resolve() == run.read_dataset_path().resolve()
    except RunFolderError:
        return False


def open_model_audit(
    model: AuditedModel, *, dataset: Path, out: Path, config: Config
) -> AuditContext:
    """Open somebody else's model for an audit; the access to the test set is logged.

    Args:
        model: Under audit.
        dataset: Prepared by `cxresnet prepare`.
        out: The folder of the audit.
        config: Its section `audit` is used, and the others for small networks.

    Raises:
        DatasetError: It is no dataset, or was altered.
        ClassMapError: The dataset has a class that the model does not have.
    """
    opened = open_dataset(dataset)
    require_classes(opened.manifest, model.class_names)  # before the test set is opened
    request = AccessRequest(
        reason=f"audit of {model.name}",
        run=out.resolve().name,
        network=model.content,
        config=config.audit.compute_hash(),
    )
    return AuditContext(
        model=model,
        dataset=opened,
        test=number_classes(opened.open_held_out_test(request), model.class_names),
        settings=config,
        folder=out,
    )
