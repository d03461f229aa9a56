"""Answers about the network, its training, its test and what is left open."""

from __future__ import annotations

from cxresnet.report.checklists.evidence import Answer, Evidence, not_known, partly, yes

__all__ = [
    "describe_accuracy",
    "describe_aims",
    "describe_augmentation",
    "describe_balance",
    "describe_calibration",
    "describe_code",
    "describe_explanation",
    "describe_external",
    "describe_failures",
    "describe_fairness",
    "describe_initial",
    "describe_input",
    "describe_internal",
    "describe_joining",
    "describe_limits",
    "describe_model",
    "describe_output",
    "describe_robustness",
    "describe_selection",
    "describe_sites",
    "describe_software",
    "describe_title",
    "describe_training",
    "describe_uncertainty",
]

_CONFIG = "train/config.json"
_METRICS = "evaluate/metrics.json"
_CHECKPOINT = "train/checkpoint"
_NOT_TRAINED = "There is no trained network."
_NOT_TESTED = "Not evaluated yet."


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
    return partly(
        "The network is developed and tested on the same collection; no clinical question or "
        "hypothesis was written down beforehand.",
        _CHECKPOINT,
    )


def describe_model(evidence: Evidence) -> Answer:
    """Say what the network is."""
    record, model = evidence.material.record, evidence.material.model
    if record is None or model is None:
        return not_known(_NOT_TRAINED)
    count = sum(parameter.numel() for parameter in model.parameters())
    return yes(
        f"Preset {record.model.preset}, {count:,} parameters, one grey channel in, "
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
    seed = evidence.material.config.get("train", {}).get("seed")
    if seed is None:
        return not_known("The training wrote no config.")
    return yes(f"Drawn at random from seed {seed}; no weights of others are used.", _CONFIG)


def describe_augmentation(evidence: Evidence) -> Answer:
    """Say how training films are varied."""
    augment = evidence.material.config.get("train", {}).get("augment")
    if augment is None:
        return not_known("The training wrote no config.")
    return yes("How far a training film may be turned, moved and toned is written down.", _CONFIG)


def describe_training(evidence: Evidence) -> Answer:
    """Say how the network was trained."""
    train = evidence.material.config.get("train")
    if train is None:
        return not_known("The training wrote no config.")
    return yes(
        f"AdamW, learning rate {train['learning_rate']:g}, batches of {train['batch_size']}, at "
        f"most {train['epochs']} epochs, label smoothing {train['label_smoothing']:g}, seed "
        f"{train['seed']}; all other values and how films are varied stand beside.",
        _CONFIG,
    )


def describe_selection(evidence: Evidence) -> Answer:
    """Say how the final network was chosen."""
    train = evidence.material.config.get("train")
    if train is None:
        return not_known("The training wrote no config.")
    return yes(
        f"The epoch with the best {train['monitor']} on validation films; the test split is sealed "
        "until then.",
        "train/history.csv",
    )


def describe_balance(evidence: Evidence) -> Answer:
    """Say how rare classes were treated."""
    train = evidence.material.config.get("train")
    if train is None:
        return not_known("The training wrote no config.")
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
    joined = f"the mean of {views} views of a film" if views > 1 else "one view of a film"
    return yes(f"The answer rests on one checkpoint and {joined}.", _METRICS)


def describe_uncertainty(evidence: Evidence) -> Answer:
    """Say how numbers and their intervals are made."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    how = evaluation.provenance
    return yes(
        f"Each number has its n and a {how.confidence:.0%} interval, {how.resamples} resamples. "
        f"{how.interval}",
        _METRICS,
    )


def describe_internal(evidence: Evidence) -> Answer:
    """Say what the sealed test gave."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    number = evaluation.headline.balanced_accuracy
    shown = "not defined" if number.value is None else f"{number.value:.3f}"
    interval = ""
    if number.low is not None and number.high is not None:
        interval = f" ({number.low:.3f} to {number.high:.3f})"
    openings = evaluation.provenance.openings
    return yes(
        f"Balanced accuracy {shown}{interval} on {evaluation.films} sealed films of "
        f"{evaluation.patients} patients; the seal was opened {openings} times.",
        _METRICS,
    )


def describe_accuracy(evidence: Evidence) -> Answer:
    """Say that accuracy is given class by class."""
    if evidence.material.evaluation is None:
        return not_known(_NOT_TESTED)
    return yes(
        "Sensitivity, specificity, predictive values, F1, AUROC and average precision of each "
        "class, the confusion matrix, and rules without lungs on the same films.",
        _METRICS,
    )


def describe_calibration(evidence: Evidence) -> Answer:
    """Say whether probabilities mean what they say."""
    if evidence.material.evaluation is None:
        return not_known(_NOT_TESTED)
    return yes("Calibration curve, calibration error and Brier score, with intervals.", _METRICS)


def describe_external(evidence: Evidence) -> Answer:
    """Say what happened on films from elsewhere."""
    externals = evidence.material.externals
    if externals:
        sentences = " ".join(one.test.sentence for one in externals)
        return yes(sentences, f"evaluate-{externals[0].test.name}/external.json")
    left_out = evidence.material.left_out
    if left_out is not None and left_out.headline is not None:
        return partly(
            f"No other dataset, but sources left out in turn. {left_out.sentence}",
            "evaluate/leave_one_source_out.json",
        )
    return Answer("no", "No films from elsewhere were tried.", _METRICS)


def describe_sites(evidence: Evidence) -> Answer:
    """Say how far the network differs between sources."""
    left_out = evidence.material.left_out
    if left_out is not None:
        return yes(left_out.sentence, "evaluate/leave_one_source_out.json")
    if evidence.material.evaluation is None:
        return not_known(_NOT_TESTED)
    return partly("Results by source, but no source was left out of the training.", _METRICS)


def describe_robustness(evidence: Evidence) -> Answer:
    """Say how sensitive the numbers are."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    count = len(evaluation.slices)
    return partly(
        f"Results in {count} slices (source, view, sex, age, image size). Films were not altered "
        "on purpose.",
        _METRICS,
    )


def describe_fairness(evidence: Evidence) -> Answer:
    """Say what is known of groups of patients."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    factors = sorted({one.factor for one in evaluation.slices} & {"sex", "age"})
    if not factors:
        return not_known("The films do not say sex or age of their patients.")
    return partly(
        f"Results by {' and '.join(factors)}; nothing is known of ethnicity, income or place.",
        _METRICS,
    )


def describe_explanation(evidence: Evidence) -> Answer:
    """Say how answers are explained."""
    attributions = evidence.material.attributions
    if attributions is None:
        return not_known("Not explained yet.")
    names = ", ".join(method.title for method in attributions.index.methods)
    return yes(f"{names}, for the surest right and wrong films and the unsurest right ones.",
               "explain/index.json")  # fmt: skip


def describe_failures(evidence: Evidence) -> Answer:
    """Say where the network fails."""
    attributions = evidence.material.attributions
    if attributions is None:
        return not_known("Not explained yet.")
    wrong = sum(film.why == "most confident wrong" for film in attributions.index.films)
    return yes(
        f"The {wrong} surest mistakes, class by class, each with its map, and the worst slice.",
        "explain/index.json",
    )


def describe_input(evidence: Evidence) -> Answer:
    """Say what happens to a film that cannot be used."""
    if evidence.material.selective is None:
        return not_known(_NOT_TESTED)
    return yes(
        "A file that is no readable film is refused with a reason; a film whose set of classes is "
        "not exactly one class is answered with 'cannot tell'.",
        "evaluate/selective.json",
    )


def describe_limits(evidence: Evidence) -> Answer:
    """Say what stands against believing the numbers."""
    evaluation = evidence.material.evaluation
    if evaluation is None:
        return not_known(_NOT_TESTED)
    found = [evaluation.data_verdict, *evaluation.warnings]
    return yes(" ".join(sentence for sentence in found if sentence) or "None was found.", _METRICS)


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
