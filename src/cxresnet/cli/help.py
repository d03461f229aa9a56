"""The help of a command: its options in groups, and two examples at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

_GROUPS = {
    "Input": (
        "--classes --columns --label-pattern --label-separator --one-hot --labels --any-body-part "
        "--manifest --follow-links --dataset-preset --allow-empty-classes --no-patient --run "
        "--data --dataset --model --test-image --class --gate --fix --external-test --split"
    ),
    "Training": (
        "--folds --seeds --find-learning-rate --leave-sources-out --sets --advise-merge --resume"
    ),
    "Server": "--host --port --token-file --allow-host --aet --allow --send-to",
    "Output": "--out --force --format --json --explain --resolved --strict",
    "Advanced": (
        "--only --skip --config --set --quick --prevalence --methods --sanity-checks "
        "--sanity-checks-only --recheck-duplicates --record-checksums --side --decode-memory-mib "
        "--decode-seconds --backend --engine --ray-address --max-request-mib --queue"
    ),
}
"""Which option stands under which heading; one that is not named stands under "Options"."""

_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names.split()}


class GroupedCommand(TyperCommand):
    """A command whose help lists the options by group: what goes in, how, and what comes out."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options; see `typer`."""
        sections: dict[str, list[tuple[str, str]]] = {
            name: [] for name in ("Arguments", *_GROUPS, "Options")
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                name, text = record
                # Of an argument Typer also shows the type in Python, which tells a user nothing.
                sections[_find_group(parameter)].append((name.partition(" <")[0], text))
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


def _find_group(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    return next((_GROUP_OF[name] for name in parameter.opts if name in _GROUP_OF), "Options")


def format_examples(examples: Sequence[str]) -> str:
    """Format the end of a help; the sign at its beginning keeps the lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  cxresnet {line}" for line in examples)
