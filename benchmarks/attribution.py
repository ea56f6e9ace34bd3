"""What LRP costs, as a ratio to one plain forward and input gradient of the same batch.

    python -m benchmarks.attribution --networks resnet18 vgg16 --rules gamma --batch 8 --repeats 7

Everything of one network is measured in turn in one process, round by round, so that a busy machine
disturbs all contenders alike; a round's times are divided by the same round's plain gradient. Shown are
medians over the rounds with the quartiles. Peak memory is what the computation adds to the network and the
batch, each measured in a fresh process. ``--write`` stores the table in docs/results/attribution.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from benchmarks.shared import added_at_peak
from xaiprune.attribution.lrp import AlphaBeta, Composite, Epsilon, Gamma, Recording, Rule, TapPoint, ZPlus
from xaiprune.attribution.lrp.engine.linear_call import WeightCache
from xaiprune.units import UnitLayer, find_units

NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    # name: (constructor, units whose relevance is read)
    "vgg16": (lambda: torchvision.models.vgg16(), "filters"),
    "resnet18": (lambda: torchvision.models.resnet18(), "filters"),
    "resnet50": (lambda: torchvision.models.resnet50(), "filters"),
    "vit_tiny": (lambda: timm.create_model("vit_tiny_patch16_224"), "neurons+heads"),
    "vit_b16": (lambda: timm.create_model("vit_base_patch16_224"), "neurons+heads"),
}
RULES: dict[str, Rule] = {
    "epsilon": Epsilon(1e-6),
    "gamma": Gamma(0.25),
    "zplus": ZPlus(),
    "alphabeta": AlphaBeta(2.0, 1.0),
}
CLASSES = 1000
RESULTS = Path("docs/results/attribution.md")


class Bench:
    """One network with one batch, and everything that is timed on it."""

    def __init__(self, network: str, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        build, kind = NETWORKS[network]
        self.model = build().eval().requires_grad_(False).to(device)
        self.device = device
        self.images = torch.randn(batch, 3, 224, 224, device=device)
        self.onehot = torch.eye(CLASSES, device=device)[torch.arange(batch) % CLASSES]
        self.units = find_units(self.model, kind, example=self.images[:1])
        self.taps = [TapPoint(unit.tap, unit.where) for unit in self.units]
        self.weights = WeightCache()  # W+ and folded weights outlive a batch, as they do in `attribute`

    def plain(self) -> None:
        """One forward, gradient of the logits with respect to the image."""
        x = self.images.clone().requires_grad_()
        torch.autograd.grad((self.model(x) * self.onehot).sum(), x)

    def ours(self, rule: Rule) -> None:
        """One forward, relevance of every unit under one composite."""
        recording = Recording(self.model, self.images, self.taps, weights=self.weights)
        recording.backward(Composite(rule), self.onehot, self._read, last=True)

    def shared(self, rule: Rule) -> Recording:
        """A recording with one composite behind it, ready for further ones."""
        recording = Recording(self.model, self.images, self.taps, weights=self.weights, several=True)
        self.further(recording, rule)
        return recording

    def further(self, recording: Recording, rule: Rule) -> None:
        """Relevance of every unit under one more composite."""
        recording.backward(Composite(rule), self.onehot, self._read)

    def _read(self, index: int, _: int, activation: Tensor, g: Tensor) -> None:
        unit: UnitLayer = self.units[index]
        relevance = (activation.detach() * g).movedim(unit.dim, -1)
        relevance = relevance.reshape(len(self.images), -1, unit.units, unit.width)
        relevance.sum((1, 3))
        relevance.abs().sum((1, 3))

    def zennit(self, rule: str) -> Callable[[], Any] | None:
        """Zennit's attribution down to the image, set up beforehand; None where it has no way."""
        if importlib.util.find_spec("zennit") is None or not isinstance(
            self.model, torchvision.models.VGG | torchvision.models.ResNet
        ):
            return None
        from zennit import rules as zrules
        from zennit.attribution import Gradient
        from zennit.composites import LayerMapComposite
        from zennit.layer import Sum
        from zennit.torchvision import ResNetCanonizer, VGGCanonizer
        from zennit.types import Activation, AvgPool, Convolution, Linear

        theirs = {
            "epsilon": lambda: zrules.Epsilon(epsilon=1e-6),
            "gamma": lambda: zrules.Gamma(gamma=0.25),
            "zplus": zrules.ZPlus,
            "alphabeta": lambda: zrules.AlphaBeta(alpha=2.0, beta=1.0),
        }[rule]()
        is_vgg = isinstance(self.model, torchvision.models.VGG)
        canonizer = VGGCanonizer() if is_vgg else ResNetCanonizer()
        between = [(Activation, zrules.Pass()), (AvgPool, zrules.Norm()), (Sum, zrules.Norm())]
        composite = LayerMapComposite(
            [*between, (Convolution, theirs), (Linear, theirs)], canonizers=[canonizer]
        )

        def run() -> float:
            with Gradient(self.model, composite) as attributor:
                return self._timed(lambda: attributor(self.images, self.onehot))

        return run

    def _timed(self, call: Callable[[], Any]) -> float:
        self._synchronize()
        start = time.perf_counter()
        call()
        self._synchronize()
        return time.perf_counter() - start

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def rounds(self, rule: str, repeats: int) -> dict[str, list[float]]:
        """Seconds of every contender in every round; one more round beforehand warms up."""
        mine = RULES[rule]
        zennit = self.zennit(rule)
        times: dict[str, list[float]] = {"plain": [], "ours": [], "further": [], "zennit": []}
        for _ in range(repeats + 1):
            times["plain"].append(self._timed(self.plain))
            times["ours"].append(self._timed(lambda: self.ours(mine)))
            recording = self.shared(mine)
            times["further"].append(self._timed(partial(self.further, recording, mine)))
            del recording
            if zennit is not None:
                times["zennit"].append(zennit())
        return {key: values[1:] for key, values in times.items()}


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, times: Sequence[float], base: Sequence[float]) -> Ratio | None:
        """Of times divided by the same round's base; None without times."""
        if not times:
            return None
        ratios = [t / b for t, b in zip(times, base, strict=True)]
        low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        return cls(median(ratios), low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def memory(network: str, what: str, batch: int, device: torch.device) -> int:
    """Bytes that a measurement adds at its peak; needs a fresh process, and Linux where it is not CUDA.

    Args:
        network: Name in NETWORKS.
        what: ``plain`` or the name of a rule.
        batch: Images.
        device: Where.
    """
    bench = Bench(network, 1, device)
    run = bench.plain if what == "plain" else lambda: bench.ours(RULES[what])
    run()  # with one image: libraries set up, derived weights made
    bench.images = torch.randn(batch, 3, 224, 224, device=device)
    bench.onehot = torch.eye(CLASSES, device=device)[torch.arange(batch) % CLASSES]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - held
    return added_at_peak(run)


def memory_in_fresh_process(network: str, what: str, batch: int, device: str) -> int:
    """`memory` in a process of its own, since a process's peak never falls."""
    command = [sys.executable, "-m", "benchmarks.attribution", "--memory-of", network, what]
    command += ["--batch", str(batch), "--device", device]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return int(done.stdout.split()[-1])


def rows(
    network: str, rules: Sequence[str], batch: int, repeats: int, device: str, with_memory: bool
) -> list[str]:
    """Table rows of one network."""
    found = []
    base = memory_in_fresh_process(network, "plain", batch, device) if with_memory else 0
    bench = Bench(network, batch, torch.device(device))
    for rule in rules:
        times = bench.rounds(rule, repeats)
        against = ("ours", "further", "zennit")
        ours, further, zennit = (Ratio.of(times[key], times["plain"]) for key in against)
        faster = Ratio.of(times["zennit"], times["ours"])
        peak = f"{memory_in_fresh_process(network, rule, batch, device) / base:.1f}" if with_memory else "-"
        cells = [network, rule, f"{median(times['plain']):.2f}", ours, further, zennit, faster, peak]
        found.append("| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |")
        print(found[-1], flush=True)
    return found


HEADER = """| network | rule | plain, s | ours / plain | further composite / plain | zennit / plain \
| zennit / ours | peak memory / plain |
|---|---|---|---|---|---|---|---|"""


def machine(device: str) -> str:
    """What the figures were measured on."""
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}, TF32 off"
    return f"{torch.get_num_threads()} CPU cores, torch {torch.__version__}, float32"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; see the module's docstring."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    usual = [name for name in NETWORKS if name != "vit_b16"]
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=usual)
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory")
    parser.add_argument("--write", action="store_true", help=f"store the table in {RESULTS}")
    parser.add_argument("--memory-of", nargs=2, metavar=("NETWORK", "WHAT"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.batch < 1 or options.repeats < 1:
        parser.error("--batch and --repeats must be at least 1")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if options.memory_of:
        network, what = options.memory_of
        print(memory(network, what, options.batch, torch.device(options.device)))
        return
    about = f"{machine(options.device)}, batch {options.batch}, 224 px, {options.repeats} rounds"
    print(f"{about}\n\n{HEADER}", flush=True)
    table = [
        row
        for network in options.networks
        for row in rows(
            network, options.rules, options.batch, options.repeats, options.device, not options.no_memory
        )
    ]
    if options.write:
        command = "python -m benchmarks.attribution " + " ".join(arguments or sys.argv[1:])
        text = f"# What attribution costs\n\n{__doc__}\nMeasured on: {about}.\nCommand: `{command}`\n\n"
        RESULTS.write_text(f"{text}{HEADER}\n" + "\n".join(table) + "\n")
        print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
