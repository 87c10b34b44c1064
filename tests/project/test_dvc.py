from bertline.project.dvc import stages_between
from tests.support.tiny import PROJECT


def test_an_ablation_runs_the_stages_that_lead_from_the_tokens_to_the_model() -> None:
    assert stages_between(PROJECT, "tokenize", "finetune") == ("adapt", "finetune")


def test_a_fold_runs_every_stage_between_the_validated_rows_and_the_scores() -> None:
    found = stages_between(PROJECT, "validate", "evaluate")
    assert set(found) == {"split", "tokenize", "adapt", "finetune", "baseline", "export", "evaluate"}


def test_stages_come_in_an_order_in_which_they_can_run() -> None:
    found = stages_between(PROJECT, "validate", "evaluate")
    assert found[0] == "split"
    assert found[-1] == "evaluate"
    assert found.index("tokenize") < found.index("adapt") < found.index("finetune")
