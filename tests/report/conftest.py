"""A run that never was: small, whole, and with hostile names where people give names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxresnet.audit.scorecard import Scorecard
from cxresnet.core.config import DataConfig, ModelConfig
from cxresnet.core.files import compute_sha256
from cxresnet.core.finding import Finding, Measure, Picture
from cxresnet.data.dataset.dataset_record import (
    DatasetRecord,
    ImageCounts,
    compute_dataset_hash,
    write_dataset_record,
)
from cxresnet.data.manifest import build_manifest, write_manifest
from cxresnet.data.prepare.preprocessing import build_preprocessing
from cxresnet.evaluate.baseline_comparison import Baseline
from cxresnet.evaluate.calibration import Calibration, ClassCalibration
from cxresnet.evaluate.clinical import (
    ClassThreshold,
    DecisionCurve,
    PredictiveValues,
    PrevalenceCurve,
)
from cxresnet.evaluate.external import ExternalTest
from cxresnet.evaluate.leave_sources_out import LeaveSourcesOut, LeftOutSet
from cxresnet.evaluate.merge_advice import MergeAdvice, SourceAdvice
from cxresnet.evaluate.record import Evaluation, Provenance
from cxresnet.evaluate.red_flags import RedFlag
from cxresnet.evaluate.results import (
    AccessLogEntry,
    BinaryScores,
    ClassResult,
    GeneralisationGap,
    Headline,
    RocCurve,
)
from cxresnet.evaluate.scores import PatientResult
from cxresnet.evaluate.selective import ClassCoverage, RiskPoint, SelectiveResult
from cxresnet.evaluate.slices import Slice
from cxresnet.evaluate.source_tasks import DecisionShares, TaskScore
from cxresnet.explain.record import Attributions, ExplainedImage, ExplanationIndex, MethodRecord
from cxresnet.explain.sanity.record import (
    AboveChance,
    MethodCard,
    SanityCard,
    SanityMeasure,
    TestResult,
)
from cxresnet.metrics.calibration import CalibrationBin, CalibrationNoise
from cxresnet.metrics.estimate import Estimate
from cxresnet.model.checkpoint import CheckpointRecord
from cxresnet.predict.decision import OperatingPoint
from cxresnet.report.artifacts import DatasetArtifacts

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}$\\frac$"
CLASS_NAMES = ("normal", "covid-19", HOSTILE)


def build_estimate(value: float | None = 0.8, low: float | None = 0.7) -> Estimate:
    high = None if low is None else 0.9
    return Estimate(value=value, low=low, high=high, n=1234, groups=17)


def _build_headline() -> Headline:
    estimate = build_estimate()
    return Headline(
        accuracy=estimate, balanced_accuracy=estimate, macro_f1=estimate, macro_auroc=estimate
    )


def _build_class(class_name: str) -> ClassResult:
    estimate, nothing = build_estimate(), build_estimate(None, None)
    curve = RocCurve(
        false_positive_rate=(0, 0.5, 1), true_positive_rate=(0, 1, 1), thresholds=(None, 0.5, 0)
    )
    return ClassResult(
        class_name=class_name,
        images=40,
        patients=9,
        sensitivity=estimate,
        specificity=estimate,
        ppv=nothing,
        npv=estimate,
        f1=estimate,
        auroc=estimate,
        average_precision=estimate,
        roc=curve,
    )


def _build_predictive_values(prevalence: float, class_name: str = HOSTILE) -> PredictiveValues:
    estimate = build_estimate()
    return PredictiveValues(
        class_name=class_name, prevalence=prevalence, ppv=estimate, npv=estimate
    )


def _build_thresholds() -> tuple[ClassThreshold, ...]:
    estimate = build_estimate()
    scores = BinaryScores(sensitivity=estimate, specificity=estimate, ppv=estimate, npv=estimate)
    return tuple(
        ClassThreshold(
            class_name=name,
            aim="sensitivity",
            goal="sensitivity at least 95 %",
            threshold=0.3,
            chosen_on="100 validation images",
            on_validation=scores,
            reached=scores,
            at_prevalence=_build_predictive_values(0.02) if name == HOSTILE else None,
        )
        for name in CLASS_NAMES
    )


def _build_prevalence_curves() -> tuple[PrevalenceCurve, ...]:
    estimate = build_estimate()
    return tuple(
        PrevalenceCurve(
            class_name=name,
            positive_likelihood_ratio=build_estimate(None, None),
            negative_likelihood_ratio=estimate,
            points=tuple(_build_predictive_values(share, name) for share in (0.001, 0.1, 0.5)),
        )
        for name in CLASS_NAMES
    )


def _build_decision_curves() -> tuple[DecisionCurve, ...]:
    return tuple(
        DecisionCurve(
            class_name=name,
            prevalence=0.3,
            thresholds=(0.1, 0.5),
            net_benefit=(build_estimate(0.2, 0.1), build_estimate(0.1, None)),
            act_on_all=(0.2, -0.4),
        )
        for name in CLASS_NAMES
    )


@pytest.fixture
def evaluation() -> Evaluation:
    estimate, headline = build_estimate(), _build_headline()
    bins = (
        CalibrationBin(low=0, high=0.5, images=0, confidence=None, accuracy=None),
        CalibrationBin(low=0.5, high=1, images=9, confidence=0.8, accuracy=0.7),
    )
    return Evaluation(
        name="test",
        class_names=CLASS_NAMES,
        images=1234,
        patients=17,
        red_flags=(
            RedFlag(rule="perfect_score", title=f"Perfect {HOSTILE}", sentence=f"Look: {HOSTILE}."),
        ),
        headline=headline,
        validation=headline,
        cohens_kappa=estimate,
        confusion_rates=((estimate,) * 3,) * 3,
        class_thresholds=_build_thresholds(),
        prevalence_curves=_build_prevalence_curves(),
        at_prevalence=(_build_predictive_values(0.02),),
        decision_curves=_build_decision_curves(),
        confusion=((30, 8, 2), (1, 39, 0), (0, 0, 0)),
        classes=tuple(_build_class(name) for name in CLASS_NAMES),
        operating_point=OperatingPoint(
            rule="argmax",
            temperature=1.5,
            weights=(1, 1, 1),
            chosen_on="100 validation images",
            scores={"argmax": 0.8},
        ),
        calibration=Calibration(
            bins=bins,
            bins_before=bins,
            noise=CalibrationNoise(0.02, 0.05),
            brier_before=estimate,
            negative_log_likelihood_before=estimate,
            by_class=tuple(
                ClassCalibration(class_name=name, slope=estimate, intercept=estimate)
                for name in CLASS_NAMES
            ),
            expected_calibration_error=estimate,
            expected_calibration_error_before=estimate,
            brier=estimate,
            negative_log_likelihood=estimate,
        ),
        by_patient=(PatientResult(class_name=HOSTILE, patients=3, recall=estimate),),
        slices=(Slice(factor="view", value=HOSTILE, images=3, patients=2, headline=headline),),
        baselines=(
            Baseline(
                name="source",
                title="Source alone",
                inputs="The source.",
                headline=headline,
                balanced_accuracy_difference=Estimate(
                    value=0.1, low=0.02, high=0.2, n=1234, groups=17
                ),
                macro_auroc_difference=None,
            ),
            Baseline(
                name="file",
                title="Files",
                inputs="The file.",
                headline=None,
                balanced_accuracy_difference=None,
                macro_auroc_difference=None,
                reason="All files are alike.",
            ),
        ),
        best_baseline="source",
        counts=(),
        warnings=(f"Beware of {HOSTILE}.",),
        provenance=Provenance(
            dataset="somewhere",
            dataset_hash="d" * 64,
            trained_on="d" * 64,
            checkpoint="c" * 64,
            version="0.1.0",
            seed=5,
            resamples=2000,
            confidence=0.95,
            interval="By bootstrap over patients.",
            test_time_augmentation=1,
            accesses=2,
            access_log=(
                AccessLogEntry(
                    number=1,
                    accessed_utc="2026-01-01T00:00:00+00:00",
                    reason="evaluate",
                    run=HOSTILE,
                    network="c" * 64,
                    config="e" * 64,
                    row_hash="f" * 64,
                ),
            ),
            config={"target_sensitivity": 0.95},
        ),
    )


def _build_score(name: str) -> GeneralisationGap:
    generalisation_gap = Estimate(value=0.1, low=-0.05, high=0.25, n=1234, groups=17)
    return GeneralisationGap(
        name=name,
        internal=build_estimate(),
        external=build_estimate(0.7),
        generalisation_gap=generalisation_gap,
    )


@pytest.fixture
def selective() -> SelectiveResult:
    estimate = build_estimate()
    return SelectiveResult(
        name="test",
        class_names=CLASS_NAMES,
        coverage=0.9,
        classes=tuple(
            ClassCoverage(
                class_name=name,
                threshold=0.25,
                calibration_images=50,
                calibration_patients=40,
                empirical_coverage=estimate,
            )
            for name in CLASS_NAMES
        ),
        decided=estimate,
        empty=estimate,
        several=estimate,
        accuracy=estimate,
        selective_accuracy=estimate,
        aurc=estimate,
        curve=(
            RiskPoint(coverage=0.5, risk=0.1, confidence=0.9),
            RiskPoint(coverage=1, risk=0.2, confidence=0.4),
        ),
        notes=(f"Beware of {HOSTILE}.",),
    )


@pytest.fixture
def left_out() -> LeaveSourcesOut:
    scores = (_build_score("macro_auroc"), _build_score(f"sensitivity/{HOSTILE}"))
    task = TaskScore(
        classes=(HOSTILE, "normal"),
        sources=(HOSTILE, "two"),
        sets=1,
        auroc=build_estimate(),
        by_seed=(0.7, 0.9),
        baseline=HOSTILE,
        baseline_auroc=build_estimate(0.6, 0.5),
        difference=build_estimate(0.2, 0.1),
    )
    alone = task.model_copy(update={"baseline": "", "baseline_auroc": None, "difference": None})
    decisions = DecisionShares(wrong=build_estimate(0.15, 0.1), abstained=build_estimate(0.4, 0.3))
    tested = LeftOutSet(
        sources=(HOSTILE, "two"),
        images=40,
        patients=20,
        classes=CLASS_NAMES,
        compared=CLASS_NAMES,
        reason="",
        internal_images=50,
        external_images=40,
        tasks=(task, alone),
        decisions=decisions,
        scores=scores,
        sentence="So it is.",
    )
    untested = tested.model_copy(
        update={
            "sources": ("one",),
            "reason": "Cannot be tested: one class.",
            "tasks": (),
            "decisions": None,
            "scores": (),
        }
    )
    return LeaveSourcesOut(
        dataset_hash="d" * 64,
        class_names=CLASS_NAMES,
        seeds=(0, 1),
        calibrate_on="validation",
        test_time_augmentation=False,
        min_images=20,
        sets=(tested, untested),
        mean_tasks=(task.model_copy(update={"sources": ()}),),
        mean_decisions=decisions,
        mean=scores[:1],
        sentence=f"At {HOSTILE} it is worse.",
        seed=0,
        resamples=2000,
        confidence=0.95,
    )


@pytest.fixture
def merge_advice() -> MergeAdvice:
    advice = SourceAdvice(
        source=HOSTILE,
        images=1234,
        verdict="helps",
        sets=(HOSTILE, "two"),
        with_source=build_estimate(),
        without_source=build_estimate(0.7),
        difference=build_estimate(0.1, 0.05),
        by_seed=(0.08, 0.12),
    )
    untested = advice.model_copy(
        update={
            "source": "two",
            "verdict": "not tested",
            "sets": (),
            "with_source": None,
            "without_source": None,
            "difference": None,
            "by_seed": (),
        }
    )
    return MergeAdvice(
        dataset_hash="d" * 64,
        seeds=(0, 1),
        sources=(advice, untested),
        note="Intervals are over patients.",
        seed=0,
        resamples=2000,
        confidence=0.95,
    )


@pytest.fixture
def external() -> ExternalTest:
    return ExternalTest(
        name=HOSTILE,
        classes=(HOSTILE,),
        missing_classes=("normal", "covid-19"),
        internal_images=50,
        external_images=243,
        external_patients=71,
        scores=(_build_score(f"sensitivity/{HOSTILE}"),),
        by_patient=(_build_score(f"patient_sensitivity/{HOSTILE}"),),
        sentence=f"It is worse in {HOSTILE}.",
    )


@pytest.fixture
def beside(
    selective: SelectiveResult, left_out: LeaveSourcesOut, external: ExternalTest
) -> tuple[SelectiveResult, LeaveSourcesOut, ExternalTest]:
    """What `evaluate` writes beside the numbers."""
    return selective, left_out, external


@pytest.fixture
def attributions() -> Attributions:
    image = ExplainedImage(
        image_id=HOSTILE,
        patient_id=HOSTILE,
        source=HOSTILE,
        true_class="normal",
        predicted_class=HOSTILE,
        probability=0.75,
        explained_class=HOSTILE,
        explained_probability=0.75,
        selection_reason="most confident incorrect",
        lung_area_share=0.25,
        lung_shares={"occlusion": 0.6},
    )
    bare = image.model_copy(
        update={"lung_area_share": None, "lung_shares": {}, "predicted_class": "normal"}
    )
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[0, 4:12, 4:12] = 255
    return Attributions(
        index=ExplanationIndex(
            scale_limit=0.2,
            class_names=CLASS_NAMES,
            methods=(
                MethodRecord(name="occlusion", title="Occlusion", interpretation="It says so."),
            ),
            images=(image, bare),
        ),
        images=np.arange(512, dtype=np.uint16).astype(np.uint8).reshape(2, 16, 16),
        lung_masks=masks,
        maps={"occlusion": np.linspace(-0.2, 0.1, 512, dtype=np.float32).reshape(2, 16, 16)},
    )


@pytest.fixture
def manifest() -> pd.DataFrame:
    """Twelve images; covid-19 is alone in its source, and the hostile class too."""
    count = 12
    return pd.DataFrame(
        {
            "image_id": [f"{HOSTILE}{row}" for row in range(count)],
            "class_name": [CLASS_NAMES[row % 3] for row in range(count)],
            "patient_id": [HOSTILE if row < 6 else "" for row in range(count)],
            "source": [("a", "b", HOSTILE)[row % 3] for row in range(count)],
            "split": [("train", "train", "val", "test")[row // 3] for row in range(count)],
            "group_id": [row // 2 for row in range(count)],
            "cluster_id": [max(0, row - 1) for row in range(count)],
            "view": [("PA", "AP", "")[row % 3] for row in range(count)],
            "age_years": [("34", "61", "")[row % 3] for row in range(count)],
            "sex": [("F", "M", "")[row % 3] for row in range(count)],
            "file_width": [512 + row for row in range(count)],
            "file_height": [500] * count,
            "file_format": ["PNG"] * count,
            "file_mode": ["L"] * count,
            "file_bytes": [1000 * (row + 1) for row in range(count)],
            "border_grey": [0.1 * (row % 3) for row in range(count)],
            "flat_patch_share": [0.05] * count,
            "bandwidth_share": [1.0] * count,
            "block_edge_strength": [1.0] * count,
        }
    )


@pytest.fixture
def dataset_artifacts(manifest: pd.DataFrame) -> DatasetArtifacts:
    training = manifest[manifest["split"] == "train"].reset_index(drop=True)
    finding = Finding(
        question="source_confounding",
        title=f"Does {HOSTILE} give it away?",
        verdict="red",
        sentence=f"Yes: {HOSTILE}.",
        measures=(Measure(name=HOSTILE, value=0.5, low=0.4, high=0.6, n=12, note=HOSTILE),),
    )
    return DatasetArtifacts(
        class_names=CLASS_NAMES,
        manifest=manifest,
        training=training,
        training_images=np.full((len(training), 16, 16), 90, np.uint8),
        side_px=16,
        counts=ImageCounts(
            scanned=len(manifest) + 5, rejected=3, conflicting=2, kept=len(manifest)
        ),
        rejected=pd.DataFrame(
            {
                "image_id": [HOSTILE] * 3,
                "code": ["blank", HOSTILE, "blank"],
                "reason": [HOSTILE] * 3,
            }
        ),
        findings=(finding,),
    )


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "train_loss": [1.0, 0.5, 0.4],
            "val_loss": [1.1, 0.7, 0.8],
            "val_balanced_accuracy": [0.4, 0.7, 0.6],
            "seconds": [30.0, 30.0, 15.0],
        }
    )


@pytest.fixture
def dataset_folder(tmp_path: Path, manifest: pd.DataFrame) -> Path:
    """A prepared dataset on the disk, without preparing."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    count = len(manifest)
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32), np.uint8)
    text = dict.fromkeys(("given_split", "content_sha256"), [""] * count)
    text["pixels_sha256"] = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    whole = dict.fromkeys(("fold", "lung_mask_row", "lesion_mask_row"), [-1] * count)
    columns = {str(name): manifest[name] for name in manifest.columns}
    write_manifest(folder / "manifest.csv", build_manifest(columns | text | whole))
    np.save(folder / "images.npy", images)
    pd.DataFrame({"image_id": [HOSTILE], "code": ["blank"]}).to_csv(
        folder / "rejected.csv", index=False
    )
    config = DataConfig(side_px=32)
    files = {name: compute_sha256(folder / name) for name in ("manifest.csv", "images.npy")}
    record = DatasetRecord(
        name=HOSTILE,
        source="by hand",
        class_names=CLASS_NAMES,
        images=ImageCounts(scanned=count + 3, rejected=1, conflicting=2, kept=count),
        counts={},
        patients_unknown_share=0.5,
        preprocessing=build_preprocessing(config),
        config=config,
        versions={},
        files=files,
        dataset_hash=compute_dataset_hash(files),
        warnings=(),
        created_utc="2026-01-01T00:00:00Z",
    )
    write_dataset_record(folder, record)
    return folder


@pytest.fixture
def checkpoint_record() -> CheckpointRecord:
    return CheckpointRecord(
        model=ModelConfig(preset="nano"),
        class_names=CLASS_NAMES,
        preprocessing=build_preprocessing(DataConfig(side_px=32)).model_dump(mode="json"),
        dataset_hash="d" * 64,
        versions={"torch": HOSTILE},
        notes={"epoch": 1},
    )


@pytest.fixture
def sanity_card() -> SanityCard:
    estimate = Estimate(value=0.83, low=0.7, high=0.9, n=12, groups=12)
    tests = tuple(
        TestResult(
            test=name,
            verdict=verdict,
            sentence=HOSTILE,
            measures=(SanityMeasure(name="signed", estimate=estimate),) if number else (),
        )
        for name, verdict, number in (
            ("weight_randomization", "fail", True),
            ("deletion", "pass", True),
            ("insertion", "pass", True),
            ("repeatability", "pass", True),
            ("lungs", "pass", True),
            ("pointing", "not tested", False),
        )
    )
    return SanityCard(
        content="c",
        images=12,
        masks_found=0,
        seed=0,
        versions={},
        above_chance=AboveChance(
            passed=True,
            macro_auroc=estimate,
            randomized_best=0.6,
            randomized_models=19,
            sentence="It knows.",
        ),
        methods=(MethodCard(name="m", title=HOSTILE, passed=False, tests=tests, steps=()),),
    )


@pytest.fixture
def scorecard() -> Scorecard:
    swaps = Finding(
        question="frame_swap",
        title="Does the decision follow the lungs?",
        verdict="red",
        sentence="It follows the <frame>.",
        measures=(Measure(name="Follows", value=-0.123, low=-0.2, high=0.3, n=40, note="a & b"),),
        threshold="Above 0.5.",
        next_step="Crop to the lungs.",
        pictures=(Picture(name="swap.png", caption="A swap."), Picture(name="no", caption="Gone")),
    )
    external = Finding(
        question="external",
        title="Elsewhere?",
        verdict="cannot be tested",
        sentence="One source.",
        next_step="Add sources.",
    )
    return Scorecard(
        model="m",
        dataset="d",
        dataset_hash="h",
        images=1200,
        patients=300,
        verdict="red",
        reason="Red because of question 6.",
        headline="The decision follows the lungs in 9 % of swaps.",
        findings=(swaps, external),
        seed=0,
        versions={},
    )
