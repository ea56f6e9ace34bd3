"""The tasks of the command line and the settings that only one of them has."""

# ruff: noqa: RUF009 - the field helpers return dataclasses.field, as the rule wants but cannot see
from dataclasses import dataclass, field

from xaiprune.config.fields import each_within, one_of, within
from xaiprune.config.schema import Config


@dataclass
class TrainSettings:
    """How `xaiprune train` trains: AdamW, warm-up and cosine schedule, shifts and mirroring.

    What is None comes from the recipe: the digits networks have their own, others the general one.

    Attributes:
        epochs: Passes over the training images.
        learning_rate: At its peak.
        weight_decay: AdamW's.
        label_smoothing: Of the cross-entropy.
        shift: Random shifts up to this part of the image's side.
        flip: Mirror half of the images left to right.
        batch_size: Images in a step.
        output: Weights file to write (None: ``<output_dir>/<model>-<data>.safetensors``).
    """

    epochs: int | None = within(None, 1)
    learning_rate: float | None = within(None, 0, 10, ends="(]")
    weight_decay: float | None = within(None, 0)
    label_smoothing: float | None = within(None, 0, 1, ends="[)")
    shift: float | None = within(None, 0, 0.5)
    flip: bool | None = None
    batch_size: int | None = within(None, 2)
    output: str | None = None


@dataclass
class EvaluateSettings:
    """What `xaiprune evaluate` measures.

    Attributes:
        split: The images.
        latency: Batch sizes to time; timing takes seconds each.
        patch: Side in pixels of the patches that faithfulness flips (None: a fourteenth of the image's).
        steps: Points of its curves after the first.
        images: It looks at this many images, spread over the classes.
    """

    split: str = one_of("test", "test", "validation", "reference")
    latency: list[int] | None = each_within(None, 1, 4096)
    patch: int | None = within(None, 1)
    steps: int = within(10, 1)
    images: int = within(100, 1)


@dataclass
class AttributeSettings:
    """What `xaiprune attribute` writes beside the relevance of every unit.

    Attributes:
        heatmaps: Test images that it draws heatmaps of, before and after pruning.
    """

    heatmaps: int = within(8, 0)


@dataclass
class CompareSettings:
    """What `xaiprune compare` compares the study's best (or ``composite=FILE``) with.

    Attributes:
        rates: Rates of the curves, rising.
        criteria: Baseline criteria by name (None: all).
        presets: Composite presets by name (None: all).
        seeds: Seeds of the random baseline.
    """

    rates: list[float] = each_within(lambda: [round(0.05 * step, 2) for step in range(20)], 0, 1, ends="[)")
    criteria: list[str] | None = None
    presets: list[str] | None = None
    seeds: int = within(3, 1)


@dataclass
class ExportSettings:
    """What `xaiprune export` writes: composites of a study (or ``composite=FILE``), and what they prune.

    Attributes:
        trial: Trial number (None: the best).
        top: The best this many; of trials that remove the same units only one counts.
        front: All trials of the Pareto front, of a study with a cost.
        format: ``yaml``, or ``zennit``: beside the YAML Python code that builds the same composite for zennit
            (also ``--format zennit``).
        plan: Write the units that go at ``prune.rate``, as JSON.
        pruned: Write the smaller network, measured, as a folder of its own.
        onnx: Write it as ONNX, too.
    """

    trial: int | None = within(None, 0)
    top: int = within(1, 1)
    front: bool = False
    format: str = one_of("yaml", "yaml", "zennit")
    plan: bool = False
    pruned: bool = False
    onnx: bool = False


@dataclass
class PruneSettings:
    """What `xaiprune prune` writes beside the pruned network.

    Attributes:
        onnx: Also ``model.onnx``, checked against onnxruntime.
    """

    onnx: bool = False


@dataclass
class ReportSettings:
    """What `xaiprune report` writes.

    Attributes:
        output: The page (None: ``<output_dir>/report.html``).
        csv: Also trials, layers and (where there is a comparison) accuracy as CSV, beside the page.
        network: Open network and images again for cost and heatmaps, where the search has not left them.
    """

    output: str | None = None
    csv: bool = True
    network: bool = False


@dataclass
class DashboardSettings:
    """Where `xaiprune dashboard` listens.

    Attributes:
        host: Address; the default is reached from this machine only.
        port: Number.
    """

    host: str = "127.0.0.1"
    port: int = within(8080, 1, 65535)


@dataclass
class StudiesSettings:
    """What `xaiprune studies` does with the studies of a storage.

    Attributes:
        action: List, show, repair (queue the trials of workers that are gone again) or copy.
            ``xaiprune studies show`` is short for ``xaiprune studies studies.action=show``.
        unseen: With repair, also trials of workers that cannot be looked up from here (on other machines,
            with a journal file): only once no search is running on the study.
        to_storage: Storage to copy to (None: ``sqlite:///studies/<to_name>.db``, where the other tasks look
            for a study of that name).
        to_name: Name of the copy (None: the same).
    """

    action: str = one_of("list", "list", "show", "repair", "copy")
    unseen: bool = False
    to_storage: str | None = None
    to_name: str | None = None


@dataclass
class TrainConfig(Config):
    train: TrainSettings = field(default_factory=TrainSettings)


@dataclass
class EvaluateConfig(Config):
    """What `xaiprune evaluate` knows beside what every task does.

    Attributes:
        evaluate: What is measured.
        faithfulness: Also measure how well the composite explains the network, by flipping patches.
    """

    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    faithfulness: bool = False


@dataclass
class AttributeConfig(Config):
    attribute: AttributeSettings = field(default_factory=AttributeSettings)


@dataclass
class CompareConfig(Config):
    compare: CompareSettings = field(default_factory=CompareSettings)


@dataclass
class ExportConfig(Config):
    export: ExportSettings = field(default_factory=ExportSettings)


@dataclass
class PruneTaskConfig(Config):
    export: PruneSettings = field(default_factory=PruneSettings)


@dataclass
class ReportConfig(Config):
    report: ReportSettings = field(default_factory=ReportSettings)


@dataclass
class DashboardConfig(Config):
    dashboard: DashboardSettings = field(default_factory=DashboardSettings)


@dataclass
class StudiesConfig(Config):
    studies: StudiesSettings = field(default_factory=StudiesSettings)


@dataclass(frozen=True)
class TaskSchema:
    """One task: its schema, one line of help, and whether it opens the network and the images."""

    schema: type[Config]
    help: str
    opens_network: bool = True


TASKS: dict[str, TaskSchema] = {
    "search": TaskSchema(Config, "run or resume a study of LRP composites"),
    "compare": TaskSchema(
        CompareConfig, "the study's best against presets and baseline criteria, on the test split"
    ),
    "attribute": TaskSchema(AttributeConfig, "relevance per unit, and heatmaps, for one composite"),
    "prune": TaskSchema(PruneTaskConfig, "composite or plan -> a smaller network on disk, measured"),
    "evaluate": TaskSchema(EvaluateConfig, "top-1 and cost of a checkpoint or a pruned network"),
    "export": TaskSchema(
        ExportConfig,
        "best trial, or the best few -> composite YAML (+ zennit code, plan, weights, ONNX)",
        False,
    ),
    "report": TaskSchema(ReportConfig, "one HTML page and CSV tables of a study", False),
    "dashboard": TaskSchema(DashboardConfig, "optuna-dashboard on the study's storage", False),
    "train": TaskSchema(TrainConfig, "train a network on a data source"),
    "studies": TaskSchema(StudiesConfig, "list, show, repair and copy studies", False),
}
