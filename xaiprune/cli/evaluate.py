"""``xaiprune evaluate``: top-1 and cost of a checkpoint or a pruned network."""

from xaiprune.cli.common.study_setup import say_what_changed
from xaiprune.config import split_roots
from xaiprune.config.tasks import EvaluateConfig
from xaiprune.data import LabelledImages
from xaiprune.errors import XaipruneError
from xaiprune.evaluation import Faithfulness, accuracy, cost
from xaiprune.models import Setup, fingerprint
from xaiprune.recipe import configured_recipe
from xaiprune.session import BatchSizes, flip_patches, open_setup, opened_units


def run(config: EvaluateConfig) -> dict[str, str]:
    """Measure on one split and print; for a sweep's table the figures."""
    opened = open_setup(config)
    say_what_changed(config, fingerprint(opened.model), opened.data)
    split: LabelledImages = getattr(opened.data, config.evaluate.split)
    task = opened.data.task
    if not split.labelled:
        raise XaipruneError(
            f"the {config.evaluate.split} images have no labels, so there is no top-1; sort them into class "
            "folders"
        )
    found = accuracy(opened.model, split, task, config.data.batch_size, opened.device)
    measured = cost(opened.model, opened.example(), config.evaluate.latency or ())
    network = config.model.pruned or config.model.path or config.model.name
    choices = len(task.classes)
    folder = split_roots(config.data).get(config.evaluate.split, config.data.root)
    print(f"network  {network}")
    where = folder or config.data.path or config.data.source
    print(f"{split.noun + 's':<8} {config.evaluate.split} split of {where}")
    print(f"top-1    {found} among {choices} classes (chance {1 / choices:.1%})")
    print(f"cost     {measured}")
    if config.faithfulness:
        print(f"faithful {_faithfulness(config, opened, split)}")
    return {"top-1": f"{found.top1:.1%}", "parameters": f"{measured.params:,}", "MACs": f"{measured.macs:,}"}


def _faithfulness(config: EvaluateConfig, opened: Setup, images: LabelledImages) -> Faithfulness:
    """Of the configured recipe's heatmaps, by patch flipping."""
    wanted = config.evaluate
    _, units = opened_units(config, opened)
    return flip_patches(
        opened.model,
        images.spread(wanted.faithfulness_images),
        configured_recipe(config, opened.model, units, opened.example()),
        opened.data.task,
        BatchSizes(config.attribution.batch_size, config.data.batch_size),
        patch=wanted.faithfulness_patch,
        steps=wanted.faithfulness_steps,
    )
