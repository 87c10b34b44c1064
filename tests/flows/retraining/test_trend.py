from bertline.promotion.run_log import LoggedRun
from flows.retraining.trend import trend_markdown, week_summary

DAY = 86400
MONDAY = 4 * DAY  # 1970-01-05
PROMOTED = LoggedRun(
    at=MONDAY,
    verdict="promote",
    version="v1.0.0",
    lines_in=1700,
    duplicates=43,
    quarantined=7,
    rows=1650,
    macro_f1=0.9,
    change=0.012,
    seconds=754,
)


def failed(at: int) -> LoggedRun:
    return LoggedRun(at=at, verdict="Failed", started_by="schedule", reasons="finetune crashed", seconds=20)


def test_the_trend_has_the_newest_run_first_and_blanks_for_what_is_not_known() -> None:
    assert trend_markdown([PROMOTED, failed(MONDAY + 60)]).splitlines()[2:] == [
        "| 01-05 00:01 | failed |  |  |  |  |  | 20 s |",
        "| 01-05 00:00 | v1.0.0 | 1,700 | 43 | 7 | 1,650 | 0.900 (+0.012) | 13 min |",
        "",
        "In brackets: the difference to the champion of that time.",
        "",
        "- 01-05 00:01, schedule: finetune crashed",
        "- 01-05 00:00, v1.0.0",
    ]


def test_the_first_run_of_a_week_sums_up_the_time_since_the_week_before() -> None:
    runs = [failed(MONDAY - DAY), PROMOTED, failed(MONDAY + DAY), failed(MONDAY + 7 * DAY)]
    assert week_summary(runs) == (
        "since 1970-01-05: 1 promoted, 2 failed; macro-F1 0.900 (+0.012); 1,650 rows; the last run took 20 s"
    )
    assert week_summary(runs[:3]) is None
    assert week_summary(runs[:1]) is None


def test_a_week_in_which_all_runs_failed_says_why() -> None:
    runs = [failed(MONDAY + DAY), failed(MONDAY + 7 * DAY)]
    assert week_summary(runs) == "since 1970-01-06: 2 failed; finetune crashed; the last run took 20 s"
