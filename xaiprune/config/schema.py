"""The typed schemas below the YAML files: every key, its type, its default and its range.

The schema of a task is registered with Hydra under ``<task>_schema`` and comes first in the defaults list
of ``conf/<task>.yaml``, so that an unknown key or a wrong type fails while the configuration is composed.
"""

# ruff: noqa: RUF009 - the field helpers return dataclasses.field, as the rule wants but cannot see
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from xaiprune.config.fields import each_within, factors_of, one_of, within

UNIT_KINDS = ("filters", "inner_filters", "neurons", "heads", "neurons+heads", "linear_outputs")


@dataclass
class ModelConfig:
    """Which network, and where its weights come from.

    Attributes:
        name: A timm model name (``resnet18``, ``vit_tiny_patch16_224.augreg_in21k_ft_in1k``) or one of the
            small digits networks (``digits_vgg``, ``digits_resnet``, ``digits_vit``).
        pretrained: Take timm's weights from the hub.
        checkpoint: Weights file, safetensors or torch (opened with ``weights_only``).
        kwargs: Further arguments of ``timm.create_model``, for example ``{num_classes: 10}``.
        pruned: Folder of a pruned network; replaces all of the above.
    """

    name: str = MISSING
    pretrained: bool = False
    checkpoint: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    pruned: str | None = None


@dataclass
class DataConfig:
    """Which images, which task, and how they are split and prepared.

    Attributes:
        source: Where images come from.
        root: Folder of the images (not for digits).
        classes: Restrict the task to these classes, by selecting their logits.
        label_space: What the network's outputs are. ``imagenet-1k`` maps wnids and class names to
            ImageNet's indices; ``folders`` means output i is the i-th class folder in sorted order; None
            decides from the data and the network, and refuses where that is ambiguous.
        task: ``classes`` selects the logits of the classes at hand ("10 of 1000"), ``all`` keeps every
            output ("1000-way"), ``auto`` selects where the classes are fewer than the outputs.
        reference_per_class: Images a class for attribution.
        validation_per_class: Images a class that trials are scored on (None: all).
        test_per_class: Images a class for the final comparison (None: all).
        seed: Chooses the images, and the split of a source that has none of its own.
        on_bad_image: What to do with a file that is no readable image.
        cache_dir: Where decoded images are kept (None: ``$XAIPRUNE_CACHE``, else ``xaiprune`` in
            ``$XDG_CACHE_HOME`` or ``~/.cache``).
        image_size: Side of the square the network sees, in pixels (None: timm's for the network, as for
            all that follow).
        resize: Shorter side before the centre crop, in pixels; overrides ``crop_pct``.
        interpolation: How to resize.
        crop_pct: ``image_size`` as a part of the shorter side before the crop, in (0, 1].
        mean: Subtracted per channel, in 0..1 units of the RGB values.
        std: Divided by, per channel.
        batch_size: Images in one forward pass.
    """

    source: str = one_of("digits", "digits", "image_folder", "imagenet")
    root: str | None = None
    classes: list[str] | None = None
    label_space: str | None = one_of(None, "imagenet-1k", "folders")
    task: str = one_of("auto", "auto", "classes", "all")
    reference_per_class: int = within(10, 1)
    validation_per_class: int | None = within(None, 1)
    test_per_class: int | None = within(None, 1)
    seed: int = within(0, 0)
    on_bad_image: str = one_of("error", "error", "skip")
    cache_dir: str | None = None
    image_size: int | None = within(None, 1)
    resize: int | None = within(None, 1)
    interpolation: str | None = one_of(None, "nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
    crop_pct: float | None = within(None, 0, 1, ends="(]")
    mean: list[float] | None = each_within(None, -255, 255, length=3)
    std: list[float] | None = each_within(None, 0, 255, ends="(]", length=3)
    batch_size: int = within(50, 1)


@dataclass
class UnitsConfig:
    """What is ranked and removed.

    Attributes:
        kind: What one unit is.
        include: Name patterns (``fnmatch``) of the unit layers to prune; empty: all.
        exclude: Name patterns of unit layers to leave alone.
    """

    kind: str = one_of("filters", *UNIT_KINDS)
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)


@dataclass
class CompositeConfig:
    """Which LRP rule each layer gets: a composite file, or a preset by name.

    Attributes:
        file: A composite as YAML; ``composite=FILE.yaml`` is short for it. One that a study wrote brings the
            rest of its recipe along (start, aggregation, ...): that holds unless it is typed otherwise.
        preset: Name of a preset; a file wins over it.
    """

    file: str | None = None
    preset: str | None = None


@dataclass
class PruneConfig:
    """How many units go, which may go together, and what is done about the loss.

    Attributes:
        rate: Fraction removed.
        budget: What the rate counts.
        scope: Rank all layers together, or each for itself.
        order: Of a layer's units: each by its own score, or by what consumers lose of all that leave (joint).
        min_units: Units that every layer keeps.
        compensate: Fold what the removed units contributed into what stays.
        coupled: Units that write into a residual stream are masked, or removed as a group.
        bn: Keep BatchNorm's statistics or measure them again on the reference images.
        rounds: Rank and prune in this many rounds.
        sequential: Compensate layer after layer, each on the already pruned input.
        plan: A plan (JSON) to carry out, in place of a ranking.
    """

    rate: float = within(0.5, 0, 1, ends="[)")
    budget: str = one_of("units", "units", "params", "macs")
    scope: str = one_of("global", "global", "layer")
    order: str = one_of("score", "score", "joint")
    min_units: int = within(1, 0)
    compensate: str = one_of("none", "none", "mean", "linear")
    coupled: str = one_of("mask", "mask", "group")
    bn: str = one_of("keep", "keep", "recalibrate")
    rounds: int = within(1, 1)
    sequential: bool = True
    plan: str | None = None


@dataclass
class AttributionConfig:
    """How relevance starts and how it is summed up over images.

    Attributes:
        aggregate: ``abs_of_sum`` (PXP), ``signed`` or ``sum_of_abs`` (Yeom et al.).
        start: Relevance at the target's logit: 1, the logit, or its softmax contrast.
        image_weight: What each reference image counts.
        normalize: Per-layer normalisation of the scores.
        scale: Factor of the scores of a depth group's (low, mid, high, classifier) or a unit layer's units.
        references: Reference images a class that are used, the first so many (None: all).
        batch_size: Reference images in one pass.
    """

    aggregate: str = one_of("abs_of_sum", "abs_of_sum", "signed", "sum_of_abs")
    start: str = one_of("one", "one", "logit", "contrast")
    image_weight: str = one_of("as_is", "as_is", "equal", "confidence")
    normalize: str = one_of("none", "none", "sum", "max", "l2")
    scale: dict[str, float] = factors_of("depth groups or unit layers")
    references: int | None = within(None, 1)
    batch_size: int = within(20, 1)


@dataclass
class ObjectiveConfig:
    """What a trial's value is.

    Attributes:
        name: The objective.
        rates: Rates of the objectives that look at a whole curve.
        validation_limit: Score on at most this many validation images (None: all).
        keep: Part of the dense top-1 that ``max_rate_at_drop`` keeps.
        cost: A second value to minimise: what the smaller network costs, as a part of the dense one's. The
            study then has a Pareto front in place of one best trial.
        precision: Of the networks that trials classify with. ``bfloat16`` is several times as fast on GPUs
            and on CPUs with AMX, slower on others, and moves top-1 a little; attribution and the comparison
            on the test split stay in float32.
        constraints: Bounds such as ``macs <= 0.5`` or ``top1 >= 0.7``, all fractions, costs as a part of
            the dense network's. A trial that misses one is never the best.
    """

    name: str = "top1_at_rate"
    rates: list[float] | None = each_within(None, 0, 1, ends="[)")
    validation_limit: int | None = within(None, 1)
    keep: float = within(0.95, 0, 1, ends="(]")
    cost: str | None = one_of(None, "params", "macs", "latency")
    precision: str = one_of("float32", "float32", "bfloat16")
    constraints: list[str] = field(default_factory=list)


@dataclass
class SearchSettings:
    """How trials are run.

    Attributes:
        batch: Trials that are asked for together and share one forward pass of the reference images.
    """

    batch: int = within(1, 1)


@dataclass
class StudyConfig:
    """Where the trials are kept and how many are wanted.

    Attributes:
        name: Name of the study (None: made of model, data, units and rate).
        n_trials: Trials wanted in total; the same command again runs what is missing.
        storage: Any Optuna storage URL (None: ``sqlite:///studies/<name>.db``).
        timeout: Stop after this many seconds.
        load_only: Open an existing study, never create one.
    """

    name: str | None = None
    n_trials: int = within(20, 1)
    storage: str | None = None
    timeout: float | None = within(None, 0, ends="(]")
    load_only: bool = False


@dataclass
class Config:
    """What every task knows. Tasks with settings of their own extend it (`xaiprune.config.tasks`).

    Attributes:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        seed: Base seed of everything that draws (the images are drawn by ``data.seed``).
        threads: CPU threads (None: torch's default, or a worker's share of the processor).
        worker: Number of this process among several that work on one study (None: it works alone). It chooses
            the GPU and the sampler's seed.
        output_dir: Folder of what a task writes (None: ``studies/<name>``; for train: ``outputs``).
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    units: UnitsConfig = field(default_factory=UnitsConfig)
    composite: CompositeConfig = field(default_factory=CompositeConfig)
    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    space: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)
    pruner: dict[str, Any] = field(default_factory=dict)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    search: SearchSettings = field(default_factory=SearchSettings)
    device: str = "auto"
    seed: int = within(0, 0)
    threads: int | None = within(None, 1)
    worker: int | None = within(None, 0)
    output_dir: str | None = None
