import pytest

from bertline.core.stage_command import ERROR_FILE
from bertline.project.dvc import Outcome, StageError, stages_between
from tests.support.tiny import PROJECT


def test_an_ablation_runs_the_stages_that_lead_from_the_tokens_to_the_model() -> None:
    assert stages_between(PROJECT, "tokenize", "finetune") == ("adapt", "finetune")


def test_a_fold_runs_every_stage_between_the_validated_rows_and_the_scores() -> None:
    found = stages_between(PROJECT, "validate", "evaluate")
    assert set(found) == {"split", "tokenize", "adapt", "finetune", "baseline", "evaluate"}


def test_stages_come_in_an_order_in_which_they_can_run() -> None:
    found = stages_between(PROJECT, "validate", "evaluate")
    assert found[0] == "split"
    assert found[-1] == "evaluate"
    assert found.index("tokenize") < found.index("adapt") < found.index("finetune")


def test_the_error_of_a_run_is_the_message_of_its_stage_with_its_name() -> None:
    error = Outcome(stage="validate", message="the batch is stopped").error(["noise"])
    assert (str(error), error.stage) == ("validate: the batch is stopped", "validate")


def test_the_error_of_a_stage_that_crashed_is_the_end_of_its_output() -> None:
    error = Outcome().error([str(number) for number in range(9)])
    assert (str(error), error.stage) == ("4\n5\n6\n7\n8", None)


def test_the_error_of_a_single_stage_that_crashed_begins_with_its_name() -> None:
    assert (
        str(Outcome().error(["KeyError"], running="finetune"))
        == "finetune crashed; its last lines:\nKeyError"
    )


def test_a_stage_error_is_an_error_of_the_user() -> None:
    with pytest.raises(ValueError, match="no rows"):
        raise StageError("no rows")
    assert ERROR_FILE.startswith("BERTLINE_")
