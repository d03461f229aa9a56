"""Answers about films, patients, labels and splits."""

from __future__ import annotations

from cxresnet.report.checklists.evidence import Answer, Evidence, not_known, partly, yes

__all__ = [
    "describe_attributes",
    "describe_cleaning",
    "describe_eligibility",
    "describe_flow",
    "describe_identity",
    "describe_independence",
    "describe_labels",
    "describe_missing",
    "describe_partition",
    "describe_preparation",
    "describe_shift",
    "describe_size",
    "describe_sources",
]

_RECORD = "dataset/dataset.json"
_MANIFEST = "dataset/manifest.csv"
_NOTHING = "No prepared dataset is there."


def describe_sources(evidence: Evidence) -> Answer:
    """Say where the films come from."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    counts = dataset.manifest["source"].value_counts()
    listed = ", ".join(f"{name or 'unnamed'} ({count} films)" for name, count in counts.items())
    return partly(
        f"Sources by name and size: {listed}. Why they were chosen, where and when the films were "
        "taken is not known to the tool.",
        _RECORD,
    )


def describe_eligibility(evidence: Evidence) -> Answer:
    """Say which films were let in."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    films = dataset.record.films
    return partly(
        f"Of {films.scanned} films found, {films.rejected} could not be used and "
        f"{films.conflicting} had contradicting labels. Which patients were eligible before that "
        "is not known.",
        "dataset/rejected.csv",
    )


def describe_preparation(evidence: Evidence) -> Answer:
    """Say what is done to every film."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    road = dataset.preprocessing
    return yes(
        f"Every film of every class takes the same road: {road.fit} to a square, through a common "
        f"{road.common_side_px} px, grey levels between percentiles {road.low_percentile:g} and "
        f"{road.high_percentile:g}, side {road.side_px} px. The values travel with the weights.",
        _RECORD,
    )


def describe_cleaning(evidence: Evidence) -> Answer:
    """Say which part of the films is used."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    return yes(
        "All readable films of the named classes are used. Copies are found by their picture and "
        "kept in one split; films whose copies bear another label are listed and left out.",
        "dataset/conflicts.csv",
    )


def describe_identity(evidence: Evidence) -> Answer:
    """Say how identity was protected; only the provider of the films knows the first half."""
    if evidence.material.dataset is None:
        return not_known(_NOTHING)
    return partly(
        "File names are not written to the outputs as patient names, and the manifest holds the "
        "patient ids that the source gave. Whether and how the provider removed identities is not "
        "known.",
        _MANIFEST,
    )


def describe_missing(evidence: Evidence) -> Answer:
    """Say what is missing, and what was done about it."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    shares = {
        name: float((dataset.manifest[name] == "").mean())
        for name in ("patient_id", "view", "sex", "age_years")
    }
    listed = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return yes(
        f"Nothing is filled in. Share of films without: {listed}. A film without a patient id "
        "counts as a patient of its own, together with its copies.",
        _MANIFEST,
    )


def describe_labels(evidence: Evidence) -> Answer:
    """Say what the labels are; what they rest on, only the provider knows."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    return partly(
        f"The label of a film is the class its source gives: {', '.join(dataset.class_names)}. "
        "What it rests on (a test, a report, a reader) is not known.",
        _MANIFEST,
    )


def describe_partition(evidence: Evidence) -> Answer:
    """Say how the films were dealt."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    counts = dataset.manifest["split"].value_counts()
    listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("train", "val", "test"))
    seed = dataset.record.config.seed
    return yes(
        f"At random within classes, seed {seed}: {listed}. The test split is sealed; each opening "
        "is written into a chained ledger.",
        _MANIFEST,
    )


def describe_independence(evidence: Evidence) -> Answer:
    """Say at which level the splits are apart."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    groups = dataset.manifest.groupby("group_id")["split"].nunique()
    if int(groups.max()) > 1:
        return Answer("no", "A patient or cluster of copies lies in two splits.", _MANIFEST)
    share = dataset.record.patients_unknown_share
    if share > 0:
        return partly(
            f"By patient and cluster of copies, but {share:.0%} of the films have no patient id: "
            "for these only copies are kept apart.",
            _MANIFEST,
        )
    return yes("By patient and cluster of copies: none lies in two splits.", _MANIFEST)


def describe_size(evidence: Evidence) -> Answer:
    """Say how many films there are; why so many, the tool cannot know."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    return partly(
        f"{len(dataset.manifest)} films, as many as the source holds. No size was calculated "
        "beforehand; the intervals say what it is good for.",
        _RECORD,
    )


def describe_flow(evidence: Evidence) -> Answer:
    """Say how many films came, went and stayed."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    films = dataset.record.films
    return yes(
        f"{films.scanned} films found = {films.rejected} rejected + {films.conflicting} with "
        f"contradicting labels + {films.kept} kept; each one left out is listed with its reason.",
        _RECORD,
    )


def describe_attributes(evidence: Evidence) -> Answer:
    """Say what is known of the patients in each split."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    known = [
        name
        for name in ("age_years", "sex", "view", "source")
        if (dataset.manifest[name] != "").any()
    ]
    if "age_years" not in known or "sex" not in known:
        listed = ", ".join(known)
        return partly(f"Known per film: {listed}. Age or sex is not in the source.", _MANIFEST)
    return yes("Age, sex, view and source by split stand in the manifest.", _MANIFEST)


def describe_shift(evidence: Evidence) -> Answer:
    """Say how the films that taught differ from those that judged."""
    dataset = evidence.material.dataset
    if dataset is None:
        return not_known(_NOTHING)
    if evidence.material.externals:
        names = ", ".join(one.name for one in evidence.material.externals)
        return yes(
            f"Training and sealed test come from the same sources; {names} from elsewhere.",
            f"evaluate-{evidence.material.externals[0].name}/external.json",
        )
    return partly("Training and test come from the same sources; nothing else was tried.", _RECORD)
