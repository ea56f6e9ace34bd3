"""The typed schemas behind the YAML files: every key with its type, default and range.

The schema of a task is registered with Hydra under ``<task>_schema`` and comes first in the defaults list
of ``conf/<task>.yaml``, so that an unknown key or a wrong type fails while the configuration is composed.
"""

# ruff: noqa: RUF009 - the field helpers return dataclasses.field, as the rule wants but cannot see
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from xaiprune.config.fields import each_within, factors_of, one_of, registered, within
from xaiprune.registry import OBJECTIVES, SOURCES, UNIT_KINDS


@dataclass
class ModelConfig:
    """Which network, and where its weights come from.

    Attributes:
        name: A timm model name (``resnet18``, ``vit_tiny_patch16_224.augreg_in21k_ft_in1k``); one of the
            small networks that are trained on the spot (``digits_vgg``, ``digits_resnet``, ``digits_vit``,
            and the language model ``help_llama``); or ``hf``.
        path: With ``model=hf``: a language model of transformers with its tokenizer. A folder, a folder with
            a GGUF file, or a name on the hub.
        pretrained: Take timm's weights from the hub. None: unless there is a checkpoint; a network to be
            trained starts with random weights. False: random weights.
        checkpoint: Weights file, safetensors or torch (opened with ``weights_only``).
        kwargs: Further arguments of ``timm.create_model``, for example ``{num_classes: 10}``.
        pruned: Folder of a pruned network; replaces all of the above.
    """

    name: str = MISSING
    path: str | None = None
    pretrained: bool | None = None
    checkpoint: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    pruned: str | None = None


@dataclass
class DataConfig:
    """Which images, which task, and how they are split and prepared.

    Attributes:
        source: Where images come from.
        root: Folder of the images, for sources that read one. Not needed where each split that the task
            uses has a folder of its own.
        reference_root: Folder of the reference images, in place of those under ``root``: one folder per
            class, or pictures alone, which have no labels (``attribution.target=predicted``).
        validation_root: Likewise, for the validation images, on which trials are scored; without labels
            they need ``objective=agreement``.
        test_root: Likewise, for the test images of the final comparison, which without labels compares
            agreement with the dense network.
        classes: Restrict the task to these classes, by selecting their logits.
        label_space: What the network's outputs are. ``imagenet-1k`` maps wnids and class names to
            ImageNet's indices; ``folders`` means output i is the i-th class folder in sorted order; None
            decides from the data and the network, and stops if that is ambiguous.
        task: ``classes`` selects the logits of the classes at hand ("10 of 1000"), ``all`` keeps every
            output ("1000-way"), ``auto`` selects where the classes are fewer than the outputs and the same in
            all splits. With every output in the task, splits may hold different classes.
        reference_per_class: Reference images per class. If every output is in the task, a class that has
            fewer gives all of them. (Without labels: this number times the number of outputs.)
        validation_per_class: Validation images per class (None: all); likewise.
        test_per_class: Test images per class (None: all); likewise.
        seed: Chooses the images, and the split of a source that has none of its own.
        on_bad_image: What to do with a file that cannot be read as an image.
        cache_dir: Where decoded images are kept (None: ``$XAIPRUNE_CACHE``, else ``xaiprune`` in
            ``$XDG_CACHE_HOME`` or ``~/.cache``).
        image_size: Side of the square that the network sees, in pixels (None: timm's for the network;
            likewise for ``interpolation``, ``crop_pct``, ``mean`` and ``std``).
        resize: Shorter side before the centre crop, in pixels; overrides ``crop_pct``.
        interpolation: How to resize.
        crop_pct: ``image_size`` as a fraction of the shorter side before the crop, in (0, 1].
        mean: Subtracted per channel, in 0..1 units of the RGB values.
        std: Divided by, per channel.
        batch_size: Images, or windows of text, in one forward pass.
        path: With ``data=text``: a file of plain text (UTF-8). Its first 40 % of windows serve for reference,
            the next 30 % for validation, the rest for test. With ``data=text_classification``: a CSV file
            with the columns ``text`` and ``label``.
        window: Tokens of a window of ``text`` or ``python_help``, each read from its own beginning. Texts
            of ``text_classification`` are cut to so many.
        reference_windows: Windows for attribution and statistics, spread evenly over their part.
        validation_windows: Windows that trials are scored on (None: all of their part).
        test_windows: Windows for the final comparison (None: all of their part).
    """

    source: str = registered("digits", SOURCES)
    root: str | None = None
    reference_root: str | None = None
    validation_root: str | None = None
    test_root: str | None = None
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
    path: str | None = None
    window: int = within(256, 2)
    reference_windows: int = within(128, 1)
    validation_windows: int | None = within(None, 1)
    test_windows: int | None = within(None, 1)


@dataclass
class UnitsConfig:
    """What is ranked and removed.

    Attributes:
        kind: What one unit is. Kinds can be combined: ``neurons+heads``. ``auto``: that of the recipe's file,
            else whichever of ``neurons`` and ``inner_filters`` has more of the network's parameters.
        include: Name patterns (``fnmatch``) of the unit layers to prune; empty: all.
        exclude: Name patterns of unit layers that are not pruned.
    """

    kind: str = registered("auto", UNIT_KINDS, "auto", combined=True)
    include: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)


@dataclass
class CompositeConfig:
    """Other LRP rules than the recipe's: a composite file, or those of a preset.

    Attributes:
        file: A composite as YAML; ``composite=FILE.yaml`` is short for it. A file with a whole recipe, as a
            study writes it, is taken as ``recipe=FILE.yaml``.
        preset: Name of a preset; not used if there is a file.
    """

    file: str | None = None
    preset: str | None = None


@dataclass
class PruneConfig:
    """How many units are removed, how they are chosen, and how the loss is compensated.

    If budget, scope, multiple, order, compensation, BatchNorm and rounds are not set, they are the recipe's.

    Attributes:
        rate: Fraction removed. That of the recipe's file holds unless you type one.
        budget: What the rate counts.
        scope: Rank all layers together, or each on its own.
        order: How a layer's units are ordered: each by its own score, or by what the layer's consumers lose
            with all removed units together (``joint``). With ``error`` this also decides how many units each
            layer loses.
        relevance_per: Rank units by their relevance, or by relevance per parameter or MAC that they cost.
        min_units: Units that every layer keeps.
        multiple: Every layer that becomes smaller keeps a multiple of so many channels (or all of them),
            because CPU kernels work in blocks. The ranking decides which layers are rounded up and which
            down; the rate is met as nearly as possible. 1: any number.
        compensate: Fold what the removed units contributed into the weights that are kept.
        coupled: Units that write into a residual stream are masked, or removed as a group.
        bn: Keep BatchNorm's statistics, or replace them by the pruned network's, estimated on the references.
        rounds: Rank and prune in this many rounds.
        sequential: Compensate layer by layer, each with the input that it gets from the pruned layers before.
        plan: A plan (JSON) to apply in place of a ranking.
        calibration_root: Folder of further pictures, from which compensation and the joint orders compute
            their statistics (None: the reference images). Class folders or pictures alone; labels are
            not used. They are read in batches, so that thousands take no memory.
        calibration_images: At most this many of them, about equally many of each class folder, chosen by
            ``data.seed`` (None: all).
    """

    rate: float = within(0.5, 0, 1, ends="[)")
    budget: str | None = one_of(None, "units", "params", "macs")
    scope: str | None = one_of(None, "global", "layer")
    order: str | None = one_of(None, "score", "joint", "error")
    relevance_per: str | None = one_of(None, "unit", "params", "macs")
    min_units: int = within(1, 0)
    multiple: int | None = within(None, 1)
    compensate: str | None = one_of(None, "none", "mean", "linear")
    coupled: str = one_of("mask", "mask", "group")
    bn: str | None = one_of(None, "keep", "recalibrate")
    rounds: int | None = within(None, 1)
    sequential: bool | None = None
    plan: str | None = None
    calibration_root: str | None = None
    calibration_images: int | None = within(None, 1)


@dataclass
class CompletePruneConfig(PruneConfig):
    """`PruneConfig` with a recipe's settings filled in, as sessions have it.

    The defaults are what studies and files mean that do not say: those from before recipes held all of this.
    """

    budget: str = "units"
    scope: str = "global"
    multiple: int = 1
    order: str = "score"
    relevance_per: str = "unit"
    compensate: str = "none"
    bn: str = "keep"
    rounds: int = 1
    sequential: bool = True


@dataclass
class AttributionConfig:
    """How relevance starts at the output and how it is summed over images. What is not set is the recipe's.

    Attributes:
        target: The class of each reference image that relevance starts at: its label (``labels``), or the
            class that the dense network predicts (``predicted``); ``auto`` takes labels where there are any.
        aggregate: ``abs_of_sum`` (PXP), ``signed`` or ``sum_of_abs`` (Yeom et al.).
        start: Relevance at the target's logit: 1, the logit, or its softmax contrast.
        image_weight: Weight of each reference image.
        normalize: Per-layer normalisation of the scores.
        scale: Depth group (low, mid, high, classifier) or unit layer -> factor of its units' scores.
        references: Use only this many reference images of each class, the first (None: the recipe's, or all).
        batch_size: Reference images in one pass.
    """

    target: str = one_of("auto", "auto", "labels", "predicted")
    aggregate: str | None = one_of(None, "abs_of_sum", "signed", "sum_of_abs")
    start: str | None = one_of(None, "one", "logit", "contrast")
    image_weight: str | None = one_of(None, "as_is", "equal", "confidence")
    normalize: str | None = one_of(None, "none", "sum", "max", "l2")
    scale: dict[str, float] = factors_of("depth groups or unit layers")
    references: int | None = within(None, 1)
    batch_size: int = within(20, 1)


@dataclass
class ObjectiveConfig:
    """What a trial's value is.

    Attributes:
        name: The objective.
        rates: Rates at which trials are scored, for objectives that look at a whole curve.
        validation_limit: Score on at most this many validation images (None: all).
        keep_top1: Fraction of the dense network's top-1 that must remain, for ``max_rate_at_drop``.
        cost: A second value to minimise: the cost of the smaller network as a fraction of the dense one's.
            The study then has a Pareto front in place of one best trial.
        precision: Precision in which trials classify. ``bfloat16`` is several times as fast on GPUs and on
            CPUs with AMX, slower on others, and changes top-1 a little; attribution and the comparison on the
            test split always use float32.
        constraints: Bounds such as ``macs <= 0.5`` or ``top1 >= 0.7``; costs are fractions of the dense
            network's. A trial that violates one is never the best.
    """

    name: str = registered("top1_at_rate", OBJECTIVES)
    rates: list[float] | None = each_within(None, 0, 1, ends="[)")
    validation_limit: int | None = within(None, 1)
    keep_top1: float = within(0.95, 0, 1, ends="(]")
    cost: str | None = one_of(None, "params", "macs", "latency")
    precision: str = one_of("float32", "float32", "bfloat16")
    constraints: list[str] = field(default_factory=list)


@dataclass
class SearchSettings:
    """How trials are run.

    Attributes:
        batch: Trials that are sampled together and share one forward pass of the reference images.
    """

    batch: int = within(1, 1)


@dataclass
class StudyConfig:
    """Where the trials are kept and how many are wanted.

    Attributes:
        name: Name of the study (None: made of model, data, units and rate).
        n_trials: Trials that the sampler proposes after the presets; running the same command again adds
            those that are missing. With 0 only the presets are tried.
        presets: Names of the presets that are tried first (None: all that the space has; ``[]``: none).
        storage: Any Optuna storage URL (None: ``sqlite:///studies/<name>.db``).
        timeout: Stop after this many seconds.
        load_only: Open an existing study, never create one.
    """

    name: str | None = None
    n_trials: int = within(60, 0)
    presets: list[str] | None = None
    storage: str | None = None
    timeout: float | None = within(None, 0, ends="(]")
    load_only: bool = False


@dataclass
class Config:
    """The keys that every task has. Tasks with settings of their own extend it (`xaiprune.config.tasks`).

    Attributes:
        recipe: How units are ranked and how the ranking is used: ``auto`` (by the network's type), ``paper``
            (as in Pruning by Explaining Revisited), a preset, or a file: ``recipe=studies/NAME/best.yaml``.
            Keys of ``attribution``, ``composite`` and ``prune`` that are set replace what it says. A recipe
            that you type replaces that of an experiment.
        imports: Python modules to import first, by name. What they register (data sources, unit kinds, rules,
            criteria, objectives) can then be named in the configuration. They are looked for in the current
            folder, in the folder of ``--config-dir`` and beside it, and among the installed packages.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        seed: Base seed of everything random but the choice of images (``data.seed``).
        threads: CPU threads (None: torch's default, or a worker's share of the processor).
        worker: Number of this process among several that work on one study (None: it works alone). It decides
            the GPU and the sampler's seed.
        output_dir: Folder for what a task writes (None: ``studies/<name>``; for train: ``outputs``).
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    units: UnitsConfig = field(default_factory=UnitsConfig)
    recipe: str = "auto"
    composite: CompositeConfig = field(default_factory=CompositeConfig)
    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    space: dict[str, Any] = field(default_factory=dict)
    sampler: dict[str, Any] = field(default_factory=dict)
    pruner: dict[str, Any] = field(default_factory=dict)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    search: SearchSettings = field(default_factory=SearchSettings)
    imports: list[str] = field(default_factory=list)
    device: str = "auto"
    seed: int = within(0, 0)
    threads: int | None = within(None, 1)
    worker: int | None = within(None, 0)
    output_dir: str | None = None
