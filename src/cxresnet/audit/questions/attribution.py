"""Question 4: how much of the attribution lies outside of the lungs, class by class?

The maps are those of `explain`, by the method that its report shows: one that passed its sanity
checks. What lies outside is compared with the share of the image that lies outside, which a map
without any knowledge would give.
"""

from __future__ import annotations

from scipy import special, stats

from cxresnet.audit.context import STRICT_CONFIDENCE, AuditContext, CannotBeTestedError
from cxresnet.audit.question import QuestionAnswer, build_measure, find_worst, register_question
from cxresnet.core.finding import Verdict
from cxresnet.explain.lungs import OUTSIDE
from cxresnet.explain.summary import SUMMARY_NAME, read_explanation_summary
from cxresnet.explain.zone_means import ClassZoneMeans, ZoneMean
from cxresnet.metrics.estimate import Estimate, format_estimate

_MIN_IMAGES = 6


@register_question(
    "attribution",
    number=4,
    title="How much of the attribution lies outside of the lungs?",
    threshold="Of each predicted class the share of the evidence outside of the lungs is compared "
    "with the share of the image that lies there: red where the whole 99 % interval is above it "
    "(the maps point away from the lungs), green where the 95 % interval is below, else amber.",
    next_step="Look at the maps in the report, and at what lies where they point; cut the "
    "border off or erase it in training (data.border_cut, train.augment.border_erase_share), and "
    "audit again.",
)
def answer_attribution(context: AuditContext) -> QuestionAnswer:
    """Read the mean attribution per lung zone of the method that passed its sanity checks."""
    if context.run is None:
        raise CannotBeTestedError(
            "Only maps that 'cxresnet explain RUN' made of a run's own test images are checked for "
            "sanity; others are no evidence."
        )
    if not (context.run.explain / SUMMARY_NAME).is_file():
        raise CannotBeTestedError("The run has no maps yet: 'cxresnet explain RUN' makes them.")
    means = read_explanation_summary(context.run.explain).index.zone_means
    if means is None:
        raise CannotBeTestedError(
            "No attribution method passed its sanity checks for this network, so where the maps "
            "point is no evidence."
        )
    classes = [(one, _find_outside(one)) for one in means.classes]
    measured = [(one, zone) for one, zone in classes if zone and one.images >= _MIN_IMAGES]
    if not measured:
        raise CannotBeTestedError(
            f"No class has {_MIN_IMAGES} explained images whose lungs were found."
        )
    verdicts = [_grade(zone) for _, zone in measured]
    parts = [
        f"predicted {one.class_name}: a share of {format_estimate(zone.share, digits=2)} of the "
        f"evidence lies outside of the lungs, on {zone.area:.2f} of the area"
        for one, zone in measured
    ]
    return QuestionAnswer(
        find_worst(verdicts),
        f"{means.method}, {'; '.join(parts)}.",
        tuple(
            build_measure(
                f"Share of the evidence outside of the lungs, predicted {one.class_name}",
                zone.share,
                note=f"share of the area there: {zone.area:.3f}",
            )
            for one, zone in measured
        ),
    )


def _find_outside(one: ClassZoneMeans) -> ZoneMean | None:
    return next((zone for zone in one.zones if zone.zone == OUTSIDE), None)


def _grade(zone: ZoneMean) -> Verdict:
    low, high = zone.share.low, zone.share.high
    if low is None or high is None:
        return "amber"
    if _find_strict_low(zone.share) > zone.area:
        return "red"
    return "green" if high < zone.area else "amber"


def _find_strict_low(share: Estimate) -> float:
    """Find the lower end of the 99 % interval of a share whose 95 % interval is recorded.

    Both are symmetric on the logit scale, where Student's t is the only difference.
    """
    if share.value is None or share.low is None:
        return 0.0
    if not 0 < share.low < share.value < 1:
        return share.low
    freedom = max(1, share.groups - 1)
    wider = stats.t.ppf((1 + STRICT_CONFIDENCE) / 2, freedom) / stats.t.ppf(0.975, freedom)
    middle = special.logit(share.value)
    return float(special.expit(middle - wider * (middle - special.logit(share.low))))
