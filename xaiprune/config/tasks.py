"""The tasks of the command line and the settings that only one of them has."""

# ruff: noqa: RUF009 - the field helpers return dataclasses.field, as the rule wants but cannot see
from dataclasses import dataclass, field
from typing import Any

from xaiprune.config.fields import each_of, each_within, one_of, some_of, within
from xaiprune.config.schema import Config
from xaiprune.registry import PEERS


@dataclass
class TrainSettings:
    """How `xaiprune train` trains: AdamW, warm-up and cosine schedule, shifts and mirroring.

    Settings that are None come from the network's training recipe: the digits networks have their own, all
    others share one.

    Attributes:
        epochs: Passes over the training images.
        learning_rate: Peak of the learning rate.
        weight_decay: Weight decay of AdamW.
        label_smoothing: Label smoothing of the cross-entropy.
        shift: Random shifts by up to this fraction of the image's side.
        flip: Mirror half of the images left to right.
        batch_size: Images per step.
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
        split: Which images.
        latency: Batch sizes to time; each takes seconds.
        faithfulness_patch: With ``faithfulness``: side of the patches that are flipped, in pixels (None: a
            fourteenth of the image's side).
        faithfulness_steps: With ``faithfulness``: points of the curves after the first.
        faithfulness_images: With ``faithfulness``: number of images, spread over the classes.
    """

    split: str = one_of("test", "test", "validation", "reference")
    latency: list[int] | None = each_within(None, 1, 4096)
    faithfulness_patch: int | None = within(None, 1)
    faithfulness_steps: int = within(10, 1)
    faithfulness_images: int = within(100, 1)


@dataclass
class AttributeSettings:
    """What `xaiprune attribute` writes beside the relevance of every unit.

    Attributes:
        heatmaps: Number of test images to draw heatmaps of, before and after pruning.
        units: With a text: also relevance of every MLP neuron and attention head for it.
    """

    heatmaps: int = within(8, 0)
    units: bool = False


@dataclass
class CompareSettings:
    """What `xaiprune compare` compares the study's best (or ``recipe=FILE``) with.

    Attributes:
        rates: Rates of the curves, rising.
        criteria: Baseline criteria by name (None: all).
        presets: Composite presets by name (None: all).
        peers: Published methods as their authors use them, by name, or ``all`` (None: none).
        compensate: Measure all methods but the best and those with a compensation of their own under each of
            these (None: under ``prune.compensate``).
        seeds: Number of seeds of the random baseline.
    """

    rates: list[float] = each_within(lambda: [round(0.05 * step, 2) for step in range(20)], 0, 1, ends="[)")
    criteria: list[str] | None = None
    presets: list[str] | None = None
    peers: Any = some_of(PEERS)
    compensate: list[str] | None = each_of("none", "mean", "linear")
    seeds: int = within(3, 1)


@dataclass
class ExportSettings:
    """What `xaiprune export` writes: recipes of a study (or ``recipe=FILE``), and what they prune.

    Attributes:
        trial: Trial number (None: the best).
        top: How many of the best trials; those that remove the same units count once.
        front: All trials of the Pareto front, if the study has a cost.
        format: ``yaml``, or ``zennit``: also Python code that builds the same composite for zennit
            (``--format zennit`` is short for it).
        plan: Write the plan at ``prune.rate`` as JSON.
        pruned: Write the smaller network with its figures, as a folder.
        onnx: Also write it as ONNX.
        hub: Folder that a model hub takes as it is: the smaller network with its configuration, recipe and
            plan, the card as ``README.md`` (with ``onnx`` also ``model.onnx``).
    """

    trial: int | None = within(None, 0)
    top: int = within(1, 1)
    front: bool = False
    format: str = one_of("yaml", "yaml", "zennit")
    plan: bool = False
    pruned: bool = False
    onnx: bool = False
    hub: str | None = None


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
        csv: Also write trials and layers as CSV, beside the page.
        network: Open network and images for cost and heatmaps that the search has not written.
    """

    output: str | None = None
    csv: bool = True
    network: bool = False


@dataclass
class DashboardSettings:
    """Where `xaiprune dashboard` listens.

    Attributes:
        host: Address; the default can be reached from this machine only.
        port: TCP port.
    """

    host: str = "127.0.0.1"
    port: int = within(8080, 1, 65535)


@dataclass
class StudiesSettings:
    """What `xaiprune studies` does with the studies of a storage.

    Attributes:
        action: List, show, repair (queue the trials of workers that died) or copy.
            ``xaiprune studies show`` is short for ``xaiprune studies studies.action=show``.
        assume_dead: With repair: assume that workers that cannot be checked from here (on other machines,
            with a journal file) are dead. Only while no search is running on the study.
        to_storage: Storage to copy to (None: ``sqlite:///studies/<to_name>.db``, where the other tasks look
            for a study of that name).
        to_name: Name of the copy (None: the same).
    """

    action: str = one_of("list", "list", "show", "repair", "copy")
    assume_dead: bool = False
    to_storage: str | None = None
    to_name: str | None = None


@dataclass
class TrainConfig(Config):
    train: TrainSettings = field(default_factory=TrainSettings)


@dataclass
class EvaluateConfig(Config):
    """The keys of `xaiprune evaluate`.

    Attributes:
        evaluate: What is measured.
        faithfulness: Also measure how well the composite explains the network, by flipping patches.
    """

    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    faithfulness: bool = False


@dataclass
class AttributeConfig(Config):
    """The keys of `xaiprune attribute`.

    Attributes:
        attribute: What is written beside the relevance of every unit.
        text: With a language model: every token of this text is explained by those before it, or ``target``
            as the one that comes next.
        prompt: With a language model: what the model writes after this is explained, token by token.
        texts: With a language model: file of several, one in each line.
        target: A single token, or a classifier's class, that is explained.
        against: A token that ``target`` is compared with.
        generate: How many tokens the model writes and has explained (None: one after a ``prompt``).
        unit: With a language model and ``data=text data.path=FILE``: a unit as LAYER:NUMBER, or several with
            commas between them, whose most relevant and most active windows of the file are shown.
    """

    text: str | None = None
    prompt: str | None = None
    texts: str | None = None
    target: str | None = None
    against: str | None = None
    generate: int | None = within(None, 1)
    unit: str | None = None
    attribute: AttributeSettings = field(default_factory=AttributeSettings)


@dataclass
class CompareConfig(Config):
    compare: CompareSettings = field(default_factory=CompareSettings)


@dataclass
class ExportConfig(Config):
    export: ExportSettings = field(default_factory=ExportSettings)

    @property
    def opens_network(self) -> bool:
        """Whether anything is asked for that needs network and images."""
        asked = self.export
        return asked.format == "zennit" or asked.plan or asked.pruned or asked.onnx or asked.hub is not None


@dataclass
class PruneTaskConfig(Config):
    export: PruneSettings = field(default_factory=PruneSettings)


@dataclass
class ReportConfig(Config):
    report: ReportSettings = field(default_factory=ReportSettings)

    @property
    def opens_network(self) -> bool:
        """Whether anything is asked for that needs network and images."""
        return self.report.network


@dataclass
class DashboardConfig(Config):
    dashboard: DashboardSettings = field(default_factory=DashboardSettings)


@dataclass
class StudiesConfig(Config):
    studies: StudiesSettings = field(default_factory=StudiesSettings)


@dataclass(frozen=True)
class TaskSchema:
    """One task.

    Attributes:
        schema: Its keys.
        help: One line.
        opens_network: Whether it always opens the network and the images.
        study: ``reads``: it is about a study; ``takes``: with ``study.name`` it takes network, images, units
            and recipe from one; ``continues``: it goes on with one; empty: it knows no studies.
    """

    schema: type[Config]
    help: str
    opens_network: bool = True
    study: str = ""


def opens_network(task: str, config: Config) -> bool:
    """Whether a run of a task opens network and images, so that it needs torch."""
    return bool(getattr(config, "opens_network", TASKS[task].opens_network))


TASKS: dict[str, TaskSchema] = {
    "search": TaskSchema(Config, "run or resume a study of LRP composites", study="continues"),
    "compare": TaskSchema(
        CompareConfig,
        "the study's best against presets and baseline criteria, on the test split",
        study="reads",
    ),
    "attribute": TaskSchema(
        AttributeConfig, "relevance per unit, and heatmaps, for one recipe", study="takes"
    ),
    "prune": TaskSchema(
        PruneTaskConfig, "recipe or plan -> a smaller network on disk, measured", study="takes"
    ),
    "evaluate": TaskSchema(
        EvaluateConfig, "top-1 and cost of a checkpoint or a pruned network", study="takes"
    ),
    "export": TaskSchema(
        ExportConfig,
        "best trial, or the best few -> recipe YAML (+ zennit code, plan, weights, ONNX)",
        False,
        study="reads",
    ),
    "report": TaskSchema(ReportConfig, "one HTML page and CSV tables of a study", False, study="reads"),
    "dashboard": TaskSchema(DashboardConfig, "optuna-dashboard on the study's storage", False, study="reads"),
    "train": TaskSchema(TrainConfig, "train a network on a data source"),
    "studies": TaskSchema(StudiesConfig, "list, show, repair and copy studies", False, study="reads"),
}
