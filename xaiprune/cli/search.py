"""``xaiprune search``: run or resume a study, compare its best on the test split, print all paths."""

from __future__ import annotations

from rich.console import Console

from xaiprune.cli.common.search_display import Trials, setup_text
from xaiprune.cli.common.search_end import finish
from xaiprune.config import Config
from xaiprune.study import (
    Ending,
    best_trial,
    counts,
    dense_accuracy,
    fitting_threads,
    open_search,
    open_study,
    run_trials,
    storage_url,
    value_text,
)
from xaiprune.trial import SearchSetup


def run(config: Config) -> dict[str, str] | None:
    """Search, then compare and save; a study that has all its trials is compared at once.

    For a sweep's table it says what the study is called and its best is worth.

    One of several workers that were started by hand does not compare: the command without ``worker`` does.
    """
    console = Console(highlight=False, soft_wrap=True)
    setup = open_search(config)
    with fitting_threads(setup.session, config.threads):
        return _search(setup, console)


def _search(setup: SearchSetup, console: Console) -> dict[str, str] | None:
    config = setup.config
    study = open_study(setup)
    dense = dense_accuracy(study, setup)
    url = storage_url(config)
    console.print(setup_text(setup, dense, study, url), markup=False)
    wanted = config.study.n_trials
    with Trials(console, study, wanted, dense) as shown:
        try:
            ending = run_trials(study, setup, shown.add)
        except KeyboardInterrupt:
            ending = Ending.INTERRUPTED
    done = counts(study).text(wanted)
    if ending is Ending.INTERRUPTED:
        console.print(f"stopped: {done}; the same command continues from here")
        raise KeyboardInterrupt
    if ending is Ending.TIMEOUT:
        console.print(f"study.timeout is over: {done}; the same command continues from here")
    if ending is Ending.EXHAUSTED:
        console.print(f"the sampler has no further points: {done}")
    if config.worker is not None:
        console.print(
            f"worker {config.worker} has ended; the same command without worker= compares and saves"
        )
        return None
    finish(setup, study, url, console)
    best = best_trial(study)
    return {"study": study.study_name, "trials": str(counts(study).sampled), "best": value_text(best)}
