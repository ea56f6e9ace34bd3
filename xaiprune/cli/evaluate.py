"""``xaiprune evaluate``: top-1 and cost of a checkpoint or a pruned network."""

from pathlib import Path

from xaiprune.config import Config
from xaiprune.config.tasks import EvaluateConfig
from xaiprune.data import LabelledImages
from xaiprune.evaluate import accuracy, cost
from xaiprune.models import Setup, setup


def run(config: EvaluateConfig) -> None:
    """Measure on one split and print."""
    opened = open_setup(config)
    split: LabelledImages = getattr(opened.data, config.evaluate.split)
    task = opened.data.task
    found = accuracy(opened.model, split, task, config.data.batch_size, opened.device)
    measured = cost(opened.model, opened.example(), config.evaluate.latency or ())
    network = config.model.pruned or config.model.name
    choices = len(task.classes)
    print(f"network  {network}")
    print(f"images   {config.evaluate.split} split of {config.data.root or config.data.source}")
    print(f"top-1    {found} among {choices} classes (chance {1 / choices:.1%})")
    print(f"cost     {measured}")


def open_setup(config: Config) -> Setup:
    """Network and images, also where the network is a pruned one."""
    if config.model.pruned is None:
        return setup(config.model, config.data, device=config.device)
    from xaiprune.prune import load_pruned

    network = load_pruned(Path(config.model.pruned).expanduser())
    return setup(config.model, config.data, device=config.device, network=network)
