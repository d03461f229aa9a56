"""CLAIM, the checklist for artificial intelligence in medical imaging, in its update of 2024."""

from __future__ import annotations

from cxresnet.report.checklists import facts_data as data
from cxresnet.report.checklists import facts_evaluation as test
from cxresnet.report.checklists import facts_model as model
from cxresnet.report.checklists.checklist import Checklist, Item, ask_authors

__all__ = ["CLAIM"]

CLAIM = Checklist(
    name="claim",
    title="CLAIM 2024",
    reference="Tejani et al. 2024, Radiology: Artificial Intelligence 6(4)",
    items=(
        Item("1", "Title", "Says that it is about AI, and which kind", model.describe_title),
        Item("2", "Abstract", "Summary of design, methods and results", ask_authors("an abstract")),
        Item("3", "Background", "Clinical need and the intended role", ask_authors("the need")),
        Item("4", "Aims", "Aims and hypotheses", model.describe_aims),
        Item("5", "Design", "Looking back or looking forward", ask_authors("how films were taken")),
        Item("6", "Design", "What kind of study it is", model.describe_aims),
        Item("7", "Data", "Where the films come from", data.describe_sources),
        Item("8", "Data", "Who and what was let in or kept out", data.describe_eligibility),
        Item("9", "Data", "What is done to the films", data.describe_preparation),
        Item("10", "Data", "Which part of the films is used", data.describe_cleaning),
        Item("11", "Data", "How identity was removed", data.describe_identity),
        Item("12", "Data", "What is missing, and how it is treated", data.describe_missing),
        Item("13", "Data", "How the films were taken", ask_authors("devices and protocols")),
        Item("14", "Labels", "What the reference standard is", data.describe_labels),
        Item("15", "Labels", "Why that one", ask_authors("the choice of the standard")),
        Item("16", "Labels", "Who labelled, and how skilled", ask_authors("who labelled")),
        Item("17", "Labels", "How the test films were labelled", ask_authors("who labelled them")),
        Item("18", "Labels", "How far labellers agree", ask_authors("their agreement")),
        Item("19", "Splits", "How films were dealt to the splits", data.describe_partition),
        Item("20", "Splits", "At which level the splits are apart", data.describe_independence),
        Item("21", "Size", "How many films were meant to be tested, and why", data.describe_size),
        Item("22", "Model", "The network, in full", model.describe_model),
        Item("23", "Model", "Software, with versions", model.describe_software),
        Item("24", "Model", "How the weights began", model.describe_initial),
        Item("25", "Training", "How it was trained and films varied", model.describe_training),
        Item("26", "Training", "How the final network was chosen", model.describe_selection),
        Item("27", "Training", "How several networks are joined, if so", model.describe_joining),
        Item("28", "Evaluation", "Which numbers, and why", test.describe_accuracy),
        Item("29", "Evaluation", "How sure the numbers are", test.describe_uncertainty),
        Item("30", "Evaluation", "How robust they are", test.describe_robustness),
        Item("31", "Evaluation", "How answers are explained", test.describe_explanation),
        Item("32", "Evaluation", "Tested on films like those learnt", test.describe_internal),
        Item("33", "Evaluation", "Tested on films from elsewhere", test.describe_external),
        Item("34", "Evaluation", "Registered, if a trial", ask_authors("a registration")),
        Item("35", "Results", "How many came, went and stayed", data.describe_flow),
        Item("36", "Results", "Who the patients are, split by split", data.describe_attributes),
        Item("37", "Results", "The numbers, with their uncertainty", test.describe_internal),
        Item("38", "Results", "Accuracy class by class", test.describe_accuracy),
        Item("39", "Results", "Where it fails", test.describe_failures),
        Item("40", "Discussion", "What stands against it", test.describe_limits),
        Item("41", "Discussion", "What it means for practice", ask_authors("the clinical role")),
        Item("42", "Other", "Where the protocol is", ask_authors("a protocol")),
        Item("43", "Other", "Where software, network and films are", model.describe_code),
        Item("44", "Other", "Who paid, and what part they had", ask_authors("the funding")),
    ),
)
