"""Answers about the network and its training."""

from __future__ import annotations

from cxresnet.report.checklists.evidence import Answer, Evidence, not_known, partly, yes

__all__ = [
    "describe_aims",
    "describe_augmentation",
    "describe_balance",
    "describe_code",
    "describe_initial",
    "describe_joining",
    "describe_model",
    "describe_output",
    "describe_selection",
    "describe_software",
    "describe_title",
    "describe_training",
]

_CONFIG = "train/config.json"
_METRICS = "evaluate/metrics.json"
_CHECKPOINT = "train/checkpoint"
_NOT_TRAINED = "There is no trained network."
_NOT_TESTED = "Not evaluated yet."
_NO_CONFIG = "The training wrote no config."


def describe_title(evidence: Evidence) -> Answer:
    """Say that it is a network and what it is asked."""
    record = evidence.material.record
    if record is None:
        return not_known(_NOT_TRAINED)
    classes = ", ".join(record.class_names)
    return yes(
        f"A residual convolutional network, trained from scratch, that sorts chest films into "
        f"{classes}. Research and teaching only.",
        _CHECKPOINT,
    )


def describe_aims(evidence: Evidence) -> Answer:
    """Say what the run does; the hypothesis is its author's."""
    if evidence.material.record is None:
        return not_known(_NOT_TRAINED)
    others = [one.name for one in evidence.material.externals]
    elsewhere = f", and tested on films from elsewhere ({', '.join(others)})" if others else ""
    return partly(
        f"The network is developed and tested on the same collection{elsewhere}; no clinical "
        "question or hypothesis was written down beforehand.",
        _CHECKPOINT,
    )


def describe_model(evidence: Evidence) -> Answer:
    """Say what the network is."""
    record, model = evidence.material.record, evidence.material.model
    if record is None or model is None:
        return not_known(_NOT_TRAINED)
    count = sum(parameter.numel() for parameter in model.parameters())
    members = record.model.members
    size = f"{count:,} parameters"
    if members > 1:
        size = f"{members} networks that answer together, {size} in all"
    return yes(
        f"Preset {record.model.preset}, {size}, one grey channel in, "
        f"{len(record.class_names)} classes out. Every choice stands in the checkpoint.",
        _CHECKPOINT,
    )


def describe_software(evidence: Evidence) -> Answer:
    """Say which software was used."""
    versions = evidence.material.environment.get("versions", {})
    if not versions:
        return not_known("The training wrote no environment.")
    listed = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    return yes(f"{listed}.", "train/environment.json")


def describe_initial(evidence: Evidence) -> Answer:
    """Say how the weights began."""
    if evidence.material.config.get("train", {}).get("seed") is None:
        return not_known(_NO_CONFIG)
    return yes(
        f"Drawn at random from {_name_seeds(evidence)}; no weights of others are used.", _CONFIG
    )


def _name_seeds(evidence: Evidence) -> str:
    """Name the seed of the training, or those of the networks that answer together."""
    record = evidence.material.record
    seeds = record.notes.get("seeds") if record is not None else None
    if isinstance(seeds, list):
        return f"seeds {', '.join(map(str, seeds))}"
    return f"seed {evidence.material.config['train']['seed']}"


def describe_augmentation(evidence: Evidence) -> Answer:
    """Say how training films are varied."""
    augment = evidence.material.config.get("train", {}).get("augment")
    if augment is None:
        return not_known(_NO_CONFIG)
    return yes("How far a training film may be turned, moved and toned is written down.", _CONFIG)


def describe_training(evidence: Evidence) -> Answer:
    """Say how the network was trained."""
    train = evidence.material.config.get("train")
    if train is None:
        return not_known(_NO_CONFIG)
    return yes(
        f"AdamW, learning rate {train['learning_rate']:g}, batches of {train['batch_size']}, at "
        f"most {train['epochs']} epochs, label smoothing {train['label_smoothing']:g}, "
        f"{_name_seeds(evidence)}; all other values and how films are varied stand beside.",
        _CONFIG,
    )


def describe_selection(evidence: Evidence) -> Answer:
    """Say how the final network was chosen."""
    train = evidence.material.config.get("train")
    if train is None:
        return not_known(_NO_CONFIG)
    chosen = (
        f"The epoch with the best {train['monitor']} on validation films"
        if train["monitor"] != "last"
        else "The last epoch, as was fixed beforehand"
    )
    return yes(f"{chosen}; the test split is sealed until then.", "train/history.csv")


def describe_balance(evidence: Evidence) -> Answer:
    """Say how rare classes were treated."""
    train = evidence.material.config.get("train")
    if train is None:
        return not_known(_NO_CONFIG)
    return yes(
        f"Weights of the classes in the loss: {train['class_weights']}; sampling: "
        f"{train['sampling']}. The probabilities are calibrated on validation films afterwards.",
        _CONFIG,
    )


def describe_output(evidence: Evidence) -> Answer:
    """Say what the network gives and how it becomes a class."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    point = evaluation.operating_point
    return yes(
        f"A calibrated probability a class; the class by the rule '{point.rule}', chosen on "
        f"{point.chosen_on}.",
        _METRICS,
    )


def describe_joining(evidence: Evidence) -> Answer:
    """Say whether answers of several networks or views are joined."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    views = evaluation.provenance.test_views
    seen = f"the mean of {views} views of a film" if views > 1 else "one view of a film"
    record = evidence.material.record
    members = record.model.members if record is not None else 1
    asked = f"the mean of the logits of {members} networks" if members > 1 else "one network"
    return yes(f"The answer rests on {asked} and {seen}.", _METRICS)


def describe_code(evidence: Evidence) -> Answer:
    """Say what can be had to do it again."""
    record = evidence.material.record
    if record is None:
        return not_known(_NOT_TRAINED)
    return partly(
        "Code, config, seeds and weights are in the run; whether films and weights may be given "
        "away is not known.",
        _CHECKPOINT,
    )
