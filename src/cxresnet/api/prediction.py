"""What is predicted for one image."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path

from cxresnet import DISCLAIMER
from cxresnet.predict.decision import ABSTAIN


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for one image, or the reason why the image was refused.

    Attributes:
        path: The file; None where the image was not given as a file.
        probabilities: Calibrated probability of each class, in the network's order; empty where the
            image was refused.
        class_name: The predicted class; "" where the image was refused.
        decision: The predicted class, "abstain" where the prediction set does not hold exactly one
            class, or "" where the image was refused.
        prediction_set: The classes that cannot be ruled out at the nominal coverage.
        reason: Why the image was refused, one sentence; "" where it was not.
        code: The reason in one word, as in `rejected.csv`; "" where it was not refused.
        gate: What the check for a frontal chest X-ray found: "passed", "refused", "mended" (turned
            or inverted back), "borderline" (then no class is decided on), or "not checked".
        note: What has to be known beside the prediction, one sentence; mostly "".
        abstention_reason: Which classes remain possible, and why; "" where one was decided on.
    """

    path: Path | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    class_name: str = ""
    decision: str = ""
    prediction_set: tuple[str, ...] = ()
    reason: str = ""
    code: str = ""
    gate: str = ""
    note: str = ""
    abstention_reason: str = ""

    @property
    def abstained(self) -> bool:
        """Whether the image was classified, but no class was decided on."""
        return self.decision == ABSTAIN

    @property
    def is_weighed(self) -> bool:
        """Whether the predicted class is another than the most probable one; see `Decision`."""
        shares = self.probabilities
        return bool(shares) and shares[self.class_name] < max(shares.values())

    @property
    def refused(self) -> bool:
        """Whether the image could not be used; `reason` says why."""
        return bool(self.reason)

    def __str__(self) -> str:
        if self.refused:
            return f"refused: {self.reason}"
        shares = ", ".join(f"{name} {share:.3f}" for name, share in self.probabilities.items())
        note = f" {self.note}" if self.note else ""
        return f"{self.decision} ({shares}).{note} {DISCLAIMER}"

    def _repr_html_(self) -> str:
        """Show the prediction in a notebook."""
        title = html.escape("" if self.path is None else self.path.name)
        if self.refused:
            return f"<p><b>{title}</b> refused: {html.escape(self.reason)}</p>"
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{share:.3f}</td>"
            f'<td><div style="width:{120 * share:.0f}px;height:1em;background:#2680ff"></div></td>'
            f"<td>{'in the prediction set' if name in self.prediction_set else ''}</td></tr>"
            for name, share in self.probabilities.items()
        )
        return (
            f"<table><caption>{title} decision: <b>{html.escape(self.decision)}</b></caption>"
            f"<tr><th>class</th><th>probability</th><th></th><th></th></tr>{rows}</table>"
            f"{f'<p>{html.escape(self.note)}</p>' if self.note else ''}"
            f"<p><small>{html.escape(DISCLAIMER)}</small></p>"
        )
