"""A search that kills its own process in the middle of a trial: ``python killed.py NUMBER OVERRIDE...``."""

import os
import signal
import sys

from xaiprune.config import compose
from xaiprune.search import search
from xaiprune.search import trial as one_trial


def main() -> None:
    number, overrides = int(sys.argv[1]), sys.argv[2:]
    run = one_trial.run

    def deadly(context, proposal, trial, *rest):  # type: ignore[no-untyped-def]
        if trial == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(context, proposal, trial, *rest)

    one_trial.run = deadly
    search(compose("search", overrides))


if __name__ == "__main__":
    main()
