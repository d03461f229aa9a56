"""TRIPOD+AI, the reporting guideline for clinical prediction models, of 2024."""

from __future__ import annotations

from cxresnet.report.checklists import facts_data as data
from cxresnet.report.checklists import facts_evaluation as test
from cxresnet.report.checklists import facts_model as model
from cxresnet.report.checklists.checklist import Checklist, Item, ask_authors

__all__ = ["TRIPOD_AI"]

TRIPOD_AI = Checklist(
    name="tripod_ai",
    title="TRIPOD+AI",
    reference="Collins et al. 2024, BMJ 385:e078378",
    items=(
        Item("1", "Title", "Says that a model is developed or tested", model.describe_title),
        Item("2", "Abstract", "A structured abstract", ask_authors("an abstract")),
        Item("3a", "Introduction", "Clinical context, and models before", ask_authors("context")),
        Item("3b", "Introduction", "For whom and for whose use", ask_authors("the intended use")),
        Item("3c", "Introduction", "Known inequalities in health", ask_authors("inequalities")),
        Item("4", "Introduction", "Aims", model.describe_aims),
        Item("5a", "Data", "Sources of the data", data.describe_sources),
        Item("5b", "Data", "From when to when", ask_authors("the dates")),
        Item("6a", "Participants", "Where they were seen", ask_authors("centres and setting")),
        Item("6b", "Participants", "Who was let in", data.describe_eligibility),
        Item("6c", "Participants", "What treatment they had", ask_authors("treatments")),
        Item("7", "Data", "What is done to the data", data.describe_preparation),
        Item("8a", "Outcome", "What is predicted, and how it was found", data.describe_labels),
        Item("8b", "Outcome", "Who judged it", ask_authors("who judged the outcome")),
        Item("8c", "Outcome", "Whether they were blind", ask_authors("blinding")),
        Item("9a", "Predictors", "Why these inputs", ask_authors("the choice of the film alone")),
        Item("9b", "Predictors", "What the inputs are", data.describe_preparation),
        Item("9c", "Predictors", "Who measured them", ask_authors("who took the films")),
        Item("10", "Size", "How the size was reached", data.describe_size),
        Item("11", "Missing data", "How missing data are treated", data.describe_missing),
        Item("12a", "Analysis", "How data were split", data.describe_partition),
        Item("12b", "Analysis", "How inputs are treated", model.describe_augmentation),
        Item("12c", "Analysis", "Kind of model, and how it is built", model.describe_training),
        Item("12d", "Analysis", "Differences between places", test.describe_sites),
        Item("12e", "Analysis", "Which measures, with plots", test.describe_uncertainty),
        Item("12f", "Analysis", "Whether it was updated", ask_authors("an update")),
        Item("12g", "Analysis", "How predictions are computed", model.describe_output),
        Item("13", "Imbalance", "How rare classes are treated", model.describe_balance),
        Item("14", "Fairness", "What was done for fairness", test.describe_fairness),
        Item("15", "Output", "What it gives, and thresholds", model.describe_output),
        Item("16", "Development", "How development and test differ", data.describe_shift),
        Item("17", "Ethics", "Approval and consent", ask_authors("ethical approval")),
        Item("18a", "Open science", "Funding", ask_authors("the funding")),
        Item("18b", "Open science", "Interests", ask_authors("conflicts of interest")),
        Item("18c", "Open science", "Protocol", ask_authors("a protocol")),
        Item("18d", "Open science", "Registration", ask_authors("a registration")),
        Item("18e", "Open science", "Where the data are", ask_authors("where the films are")),
        Item("18f", "Open science", "Where the code is", model.describe_code),
        Item("19", "Public", "Part of patients and public", ask_authors("their part")),
        Item("20a", "Results", "Flow of participants", data.describe_flow),
        Item("20b", "Results", "Who they are", data.describe_attributes),
        Item("20c", "Results", "Development against test data", data.describe_shift),
        Item("21", "Results", "Numbers in each analysis", data.describe_partition),
        Item("22", "Results", "The whole model, to be used", model.describe_model),
        Item("23a", "Results", "Performance with intervals", test.describe_internal),
        Item("23b", "Results", "Performance place by place", test.describe_sites),
        Item("24", "Results", "Results of an update", ask_authors("an update, if there was one")),
        Item("25", "Discussion", "What it means", ask_authors("the interpretation")),
        Item("26", "Discussion", "What stands against it", test.describe_limits),
        Item("27a", "Use", "What happens to poor or missing input", test.describe_input),
        Item("27b", "Use", "What users must know", ask_authors("users and their skill")),
        Item("27c", "Use", "What should come next", ask_authors("next steps")),
    ),
)
