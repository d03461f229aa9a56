"""Answers about the network and its training."""

from __future__ import annotations

from cxresnet.report.checklists.facts_data import Answer, Evidence, not_known, partly, yes

_CONFIG = "train/config.json"
_METRICS = "evaluate/metrics.json"
_CHECKPOINT = "train/checkpoint"
_NOT_TRAINED = "There is no trained model."
_NOT_TESTED = "Not evaluated yet."
_NO_CONFIG = "The training recorded no configuration."


def describe_title(evidence: Evidence) -> Answer:
    """Name the kind of model and its task."""
    record = evidence.artifacts.record
    if record is None:
        return not_known(_NOT_TRAINED)
    classes = ", ".join(record.class_names)
    return yes(
        f"A residual convolutional network, trained from scratch, that classifies chest X-rays as "
        f"{classes}. Research and teaching only.",
        _CHECKPOINT,
    )


def describe_aims(evidence: Evidence) -> Answer:
    """State what the run does; the hypothesis is its author's."""
    if evidence.artifacts.record is None:
        return not_known(_NOT_TRAINED)
    others = [one.name for one in evidence.artifacts.externals]
    external = f", and tested externally ({', '.join(others)})" if others else ""
    return partly(
        f"The model is developed and tested on the same collection{external}; no clinical question "
        "or hypothesis was recorded beforehand.",
        _CHECKPOINT,
    )


def describe_model(evidence: Evidence) -> Answer:
    """State what the network is."""
    record, model = evidence.artifacts.record, evidence.artifacts.model
    if record is None or model is None:
        return not_known(_NOT_TRAINED)
    count = sum(parameter.numel() for parameter in model.parameters())
    members = record.model.members
    size = f"{count:,} parameters"
    if members > 1:
        size = f"an ensemble of {members} networks, {size} in all"
    return yes(
        f"Preset {record.model.preset}, {size}, one grey channel in, "
        f"{len(record.class_names)} classes out. Every setting is in the checkpoint.",
        _CHECKPOINT,
    )


def describe_software(evidence: Evidence) -> Answer:
    """State which software was used."""
    versions = evidence.artifacts.environment.get("versions", {})
    if not versions:
        return not_known("The training recorded no environment.")
    listed = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    return yes(f"{listed}.", "train/environment.json")


def describe_initial(evidence: Evidence) -> Answer:
    """Describe the initialisation of the weights."""
    if evidence.artifacts.config.get("train", {}).get("seed") is None:
        return not_known(_NO_CONFIG)
    return yes(f"Random, {_name_seeds(evidence)}; no pretrained weights are used.", _CONFIG)


def _name_seeds(evidence: Evidence) -> str:
    """Name the seed of the training, or those of the members of an ensemble."""
    record = evidence.artifacts.record
    seeds = record.notes.get("seeds") if record is not None else None
    if isinstance(seeds, list):
        return f"seeds {', '.join(map(str, seeds))}"
    return f"seed {evidence.artifacts.config['train']['seed']}"


def describe_augmentation(evidence: Evidence) -> Answer:
    """Describe the augmentation of training images."""
    augment = evidence.artifacts.config.get("train", {}).get("augment")
    if augment is None:
        return not_known(_NO_CONFIG)
    return yes("The ranges of rotation, shift and change of grey levels are recorded.", _CONFIG)


def describe_training(evidence: Evidence) -> Answer:
    """State how the network was trained."""
    train = evidence.artifacts.config.get("train")
    if train is None:
        return not_known(_NO_CONFIG)
    return yes(
        f"AdamW, learning rate {train['learning_rate']:g}, batches of {train['batch_size']}, at "
        f"most {train['epochs']} epochs, label smoothing {train['label_smoothing']:g}, "
        f"{_name_seeds(evidence)}; all other settings and the augmentation are in the same file.",
        _CONFIG,
    )


def describe_selection(evidence: Evidence) -> Answer:
    """State how the final network was chosen."""
    train = evidence.artifacts.config.get("train")
    if train is None:
        return not_known(_NO_CONFIG)
    chosen = (
        f"The epoch with the best {train['monitor']} on validation images"
        if train["monitor"] != "last"
        else "The last epoch, as fixed beforehand"
    )
    return yes(f"{chosen}; the test split is held out until then.", "train/history.csv")


def describe_balance(evidence: Evidence) -> Answer:
    """State how rare classes were treated."""
    train = evidence.artifacts.config.get("train")
    if train is None:
        return not_known(_NO_CONFIG)
    return yes(
        f"Weights of the classes in the loss: {train['class_weights']}; sampling: "
        f"{train['sampling']}. The probabilities are calibrated on validation images afterwards.",
        _CONFIG,
    )


def describe_output(evidence: Evidence) -> Answer:
    """Describe the output of the model and its decision rule."""
    evaluation = evidence.artifacts.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    point = evaluation.operating_point
    return yes(
        f"A calibrated probability of each class; the decision rule '{point.rule}' was chosen on "
        f"{point.chosen_on}.",
        _METRICS,
    )


def describe_ensembling(evidence: Evidence) -> Answer:
    """Describe ensembling and test-time augmentation."""
    evaluation = evidence.artifacts.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    views = evaluation.provenance.test_time_augmentation
    seen = f"the mean of {views} views of an image" if views > 1 else "one view of an image"
    record = evidence.artifacts.record
    members = record.model.members if record is not None else 1
    asked = f"the mean of the logits of {members} networks" if members > 1 else "one network"
    return yes(f"The prediction is made from {asked} and {seen}.", _METRICS)


def describe_code(evidence: Evidence) -> Answer:
    """List what is available for reproduction."""
    record = evidence.artifacts.record
    if record is None:
        return not_known(_NOT_TRAINED)
    return partly(
        "Code version, configuration, seeds and weights are in the run; whether images and weights "
        "may be shared is not recorded.",
        _CHECKPOINT,
    )
