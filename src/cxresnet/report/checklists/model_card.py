"""A model card: what the network is, for what, how good, and what is not known of it."""

from __future__ import annotations

from collections.abc import Sequence

from cxresnet import DISCLAIMER, __version__
from cxresnet.evaluate.record import Evaluation
from cxresnet.metrics.estimate import Estimate
from cxresnet.report.checklists import facts_data as data
from cxresnet.report.checklists import facts_evaluation as test
from cxresnet.report.checklists import facts_model as model
from cxresnet.report.checklists.checklist import escape_markdown
from cxresnet.report.checklists.evidence import Answer, Evidence
from cxresnet.report.material import RunMaterial
from cxresnet.report.sections.elsewhere import build_gap_rows

__all__ = ["render_model_card"]

_PARTS = (
    ("What it is", (model.describe_title, model.describe_model, model.describe_software)),
    ("Films it learnt from", (data.describe_sources, data.describe_labels, data.describe_missing,
                              data.describe_partition, data.describe_independence)),
    ("How it was trained", (model.describe_training, model.describe_selection,
                            model.describe_balance)),
    ("How it answers", (model.describe_output, test.describe_input)),
    ("How it was tested", (test.describe_internal, test.describe_external, test.describe_sites,
                           test.describe_uncertainty, test.describe_fairness)),
    ("What speaks against believing it", (test.describe_limits, test.describe_failures)),
)  # fmt: skip

_USE = """\
## Intended use

- Research and teaching: to see what such a network learns, and whether to believe it.
- **Not** for diagnosis, for ruling out, for triage, or for any decision about a person.
- Not for children, side views, CT or other pictures, unless the films it learnt from say so.

"""

_NOT_KNOWN = """\
## Not known

Not known, and for the people behind a study to say: ethical approval, consent, funding, who
labelled the films and how well they agree, devices and protocols, treatment, ethnicity, and what
happens when the network is used.
"""


def render_model_card(evidence: Evidence) -> str:
    """Render the card as Markdown; what no file shows says "not known"."""
    name = escape_markdown(evidence.material.name)
    lines = [
        f"# Model card: {name}", "",
        f"**{DISCLAIMER}** Written by CXResnet {__version__} from the files of the run.", "",
        _USE,
    ]  # fmt: skip
    for title, facts in _PARTS:
        lines += [f"## {title}", ""]
        answers = [evidence.check(fact(evidence)) for fact in facts]
        lines += [_render(answer) for answer in _drop_repeated(answers)]
        lines.append("")
    if evidence.material.evaluation is not None:
        lines += _render_numbers(evidence.material.evaluation)
    lines += _render_elsewhere(evidence.material)
    return "\n".join([*lines, _NOT_KNOWN])


def _drop_repeated(answers: Sequence[Answer]) -> list[Answer]:
    """Drop what an answer before it says word for word."""
    return [
        answer
        for place, answer in enumerate(answers)
        if not (answer.text and any(answer.text in before.text for before in answers[:place]))
    ]


def _render(answer: Answer) -> str:
    text = escape_markdown(answer.text) or "Not known."
    mark = "**Not known.** " if answer.status == "not known" else ""
    shown = f" (`{answer.artefact}`)" if answer.artefact else ""
    return f"- {mark}{text}{shown}"


def _render_numbers(evaluation: Evaluation) -> list[str]:
    lines = [
        "## Numbers on the sealed test", "",
        "| class | films | patients | sensitivity | specificity | AUROC |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for one in evaluation.classes:
        numbers = (one.sensitivity, one.specificity, one.auroc)
        cells = [escape_markdown(one.class_name), str(one.films), str(one.patients)]
        lines.append(f"| {' | '.join([*cells, *map(_show, numbers)])} |")
    return [*lines, ""]


def _render_elsewhere(material: RunMaterial) -> list[str]:
    """Render the gaps: sources left out in turn, then other datasets; nothing where none was."""
    left_out = material.left_out.sources if material.left_out is not None else ()
    tested = [(f"{one.source}, left out", one.external_films, one.scores) for one in left_out]
    tested += [(one.name, one.external_films, one.scores) for one in material.externals]
    rows = [
        (place, str(films), row.name, *map(_show, (row.score.internal, row.score.external)),
         _show(row.score.gap))
        for place, films, scores in tested
        for row in build_gap_rows(scores)
    ]  # fmt: skip
    if not rows:
        return []
    lines = [
        "## Numbers elsewhere", "",
        "| where | films | number | at home | there | gap |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in rows]
    return [*lines, ""]


def _show(estimate: Estimate) -> str:
    if estimate.value is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f} (no interval)"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
