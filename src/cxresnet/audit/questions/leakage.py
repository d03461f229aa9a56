"""Question 2: does the test share patients or images with what the model learnt from?"""

from __future__ import annotations

from cxresnet.audit.context import AuditContext, CannotBeTestedError
from cxresnet.audit.question import QuestionAnswer, register_question
from cxresnet.core.finding import Measure
from cxresnet.data.dataset.verify import verify_dataset
from cxresnet.evaluate.evaluated_images import count_leaked_images

_MANY_WITHOUT_PATIENT = 0.05


@register_question(
    "leakage",
    number=2,
    title="Does the test share patients or images with the training images?",
    threshold="Red where one test image shares its patient, a near-duplicate or its pixels with "
    "another split, or where a file was altered; amber where more than 5 % of the images have no "
    "patient ID, so that patients in two splits would go unnoticed.",
    next_step="Prepare the dataset again, with a column of patients where the source has one "
    "(--columns patient=…); 'cxresnet verify DATASET' lists every problem.",
    cost=3,
)
def answer_leakage(context: AuditContext) -> QuestionAnswer:
    """Look for groups, near-duplicates and pixels in two splits, and for altered files."""
    if context.run is None and context.model.predictor is not None:
        raise CannotBeTestedError(
            "These images are not those of the run; 'cxresnet evaluate RUN --data DATASET' looks "
            "for near-duplicates of its training images among them, and leaves them out."
        )
    if context.run is None:
        raise CannotBeTestedError(
            "It is not known which images this model was trained on. The dataset itself is "
            f"checked by 'cxresnet verify {context.dataset.path}'."
        )
    manifest = context.dataset.manifest
    leaked = count_leaked_images(manifest)
    problems = verify_dataset(context.dataset.path).problems
    without = float((manifest["patient_id"] == "").mean())
    measures = (
        Measure(name="Test images shared with other splits", value=leaked, n=len(context.test)),
        Measure(name="Share of images without a patient ID", value=without, n=len(manifest)),
    )
    if leaked or problems:
        shown = f" {problems[0]}" if problems else ""
        return QuestionAnswer(
            "red",
            f"{leaked} of {len(context.test)} test images share a patient, a near-duplicate or "
            f"their pixels with other splits; the check of the files found {len(problems)} "
            f"problems.{shown}",
            measures,
        )
    clean = (
        "No patient, no near-duplicate and no image lies in two splits, and no file was altered."
    )
    if without > _MANY_WITHOUT_PATIENT:
        return QuestionAnswer(
            "amber",
            f"{clean} But {100 * without:.0f} % of the images have no patient ID: two images of "
            "one patient may lie in both training and test.",
            measures,
        )
    return QuestionAnswer("green", clean, measures)
