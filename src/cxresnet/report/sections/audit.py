"""The audit: questions asked of the network, each with its answer and evidence."""

from __future__ import annotations

from dataclasses import dataclass

from cxresnet.core.finding import Finding
from cxresnet.report.section import Section

__all__ = ["AuditView", "build_audit_section"]


@dataclass(frozen=True)
class AuditView:
    """What the template shows: the findings, in the order in which they were asked."""

    findings: tuple[Finding, ...]


def build_audit_section(findings: tuple[Finding, ...]) -> Section:
    """Build the section."""
    return Section("audit", "Whether to believe it", "Audit", view=AuditView(findings))
