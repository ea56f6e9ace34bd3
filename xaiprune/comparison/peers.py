"""Published methods to compare with, each with its authors' settings: by name, on any network.

What a paper does beyond choosing units and folding them (fine-tuning, compensating attention's logits) is not
here. Folding is `xaiprune.pruning.compensate`, with its statistics and its choice of the ridge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch_pruning
from torch import Tensor, nn

from xaiprune.attribution import Scores
from xaiprune.comparison.methods import Method, NetworkMethod, baseline, under_each
from xaiprune.comparison.torch_pruning_peers import OneShot
from xaiprune.errors import XaipruneError, did_you_mean
from xaiprune.forward import is_text
from xaiprune.pruning import recalibrate_bn_
from xaiprune.registry import PEERS
from xaiprune.session import PruningSession

ALL = "all"
_SHOWN = 3  # layers named in a message
Methods = list[Method | NetworkMethod]
Peer = Callable[[PruningSession, Sequence[str] | None], Methods]
"""(session, compensations) -> the method, under each of them where it has no compensation of its own."""


@dataclass(frozen=True)
class _Ranked:
    """A criterion that ranks the dense network's units once.

    Attributes:
        title: As it is shown.
        criterion: By name.
        scope: ``layer``: every layer loses the same part; ``global``: all are ranked together.
        compensate: The method's own compensation, of all layers at once from the dense network's statistics;
            None: it has none and takes the configured one.
    """

    title: str
    criterion: str
    scope: str = "layer"
    compensate: str | None = None

    def __call__(self, session: PruningSession, compensations: Sequence[str] | None) -> Methods:
        method = _once(self.title, baseline(session, self.criterion)(session.model), self.scope)
        if self.compensate is not None:
            own = {**method.prune, "compensate": self.compensate, "sequential": False}
            return [replace(method, prune=own)]
        return [*under_each([method], compensations)]


def thinet(session: PruningSession, compensations: Sequence[str] | None) -> Methods:
    """The greedy choice of each layer's units by what its consumers lose, the same part of every layer.

    ThiNet (Luo et al. 2017, arXiv 1707.06342, equation 6) under ``none``; under ``linear`` the choice of
    ZipLM (Kurtic et al. 2023, arXiv 2302.04089), by what the kept units cannot predict.
    """
    found: Methods = []
    for how in compensations or [session.prune.compensate]:
        ranks = session.dense.joint_order(how).ranks()
        lacking = [unit.name for unit in session.units if unit.name not in ranks]
        if lacking:
            more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
            raise XaipruneError(
                f"it orders units by what their consumers lose, and those of {', '.join(lacking[:_SHOWN])}"
                f"{more} have none of their own; leave these layers out (units=inner_filters)"
            )
        method = _once("ThiNet", ranks, "layer")
        found += under_each([method], None if compensations is None else [how])
    return found


def flap(session: PruningSession, _: Sequence[str] | None) -> Methods:
    """Fluctuations, standardised within each layer and ranked together; biases take the dense means.

    FLAP (An et al. 2023, arXiv 2312.11983, equations 5 to 7, its "AL-AM" structure).
    """
    found = baseline(session, "fluctuation")(session.model)
    standard = {name: (s - s.mean()) / s.std().clamp_min(1e-12) for name, s in found.items()}
    method = _once("FLAP", standard, "global")
    return [replace(method, prune={**method.prune, "compensate": "mean", "sequential": False})]


@dataclass(frozen=True)
class _TorchPruning:
    """Torch-Pruning's one-shot pruning, which makes a network of its own.

    Attributes:
        title: As it is shown.
        importance: As `OneShot` takes it.
    """

    title: str
    importance: str

    def __call__(self, session: PruningSession, _: Sequence[str] | None) -> Methods:
        images, example = session.reference_images, session.example
        if not (isinstance(images, Tensor) and isinstance(example, Tensor)) or is_text(images):
            raise XaipruneError("Torch-Pruning is called on images only here")
        labels = session.dataset.reference.labels
        batch = session.batch.attribution
        made = OneShot(session.model, example, self.importance, images, labels, session.task, batch)
        made.network(0.5)  # refused here, before anything is measured

        def network(macs_left: float) -> nn.Module:
            smaller = made.network(macs_left)
            if session.prune.bn == "recalibrate":
                recalibrate_bn_(smaller, session.dense.statistics_images, session.batch.forward)
            return smaller

        version = f"torch-pruning {torch_pruning.__version__}"
        return [NetworkMethod(self.title, "peer", network, version)]


def _once(title: str, scores: Scores, scope: str) -> Method:
    return Method(
        title, "peer", scores, prune={"scope": scope, "relevance_per": "unit", "order": "score", "rounds": 1}
    )


# Wanda's score summed over units is the baseline Wanda-sp of FLAP (2312.11983), which prunes layers alike.
PEERS.register("wanda")(_Ranked("Wanda-sp", "wanda"))
PEERS.register("flap")(flap)
# Neurons of all layers compete (2507.12988), and the biases take the dense network's means.
PEERS.register("vbp")(_Ranked("VBP", "variance", "global", "mean"))
# Both fold by ridge regression, all layers at once, every layer pruned alike. The selector is free in GRAIL
# (2602.23795; magnitude is the first that its authors name); for CORP (2602.05243) activation stands in.
PEERS.register("corp")(_Ranked("CORP", "activation", compensate="linear"))
PEERS.register("grail")(_Ranked("GRAIL", "magnitude_l1", compensate="linear"))
PEERS.register("thinet")(thinet)
PEERS.register("tp_group_taylor")(_TorchPruning("TP GroupTaylor", "taylor"))
PEERS.register("tp_group_magnitude")(_TorchPruning("TP GroupMagnitude", "magnitude"))


def known_peers(names: Sequence[str] | str | None) -> list[str]:
    """Peers by name; ``all``: all; None: none.

    Raises:
        XaipruneError: There is no peer of that name.
    """
    chosen = [names] if isinstance(names, str) else list(names or ())
    for name in chosen:
        if name != ALL and name not in PEERS:
            closest = did_you_mean(name, [*PEERS, ALL]) or f"; choose from {', '.join(PEERS)} or {ALL}"
            raise XaipruneError(f"compare.peers: there is no peer '{name}'{closest}")
    return list(PEERS) if ALL in chosen else list(dict.fromkeys(chosen))


def peer_methods(
    session: PruningSession, names: Sequence[str], compensations: Sequence[str] | None = None
) -> tuple[Methods, dict[str, str]]:
    """Peers on a session.

    Args:
        session: Network, images and units.
        names: From `known_peers`.
        compensations: What those are combined with that have none of their own; None: the configured one.

    Returns:
        The methods, and the reason for each that this network cannot have.
    """
    methods: Methods = []
    left_out: dict[str, str] = {}
    for name in names:
        peer: Peer = PEERS.find(name)
        try:
            methods += peer(session, compensations)
        except XaipruneError as error:
            left_out[name] = str(error)
    return methods, left_out
