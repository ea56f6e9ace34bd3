"""Compensation: the same rankings with nothing, the mean or a linear prediction for the removed units."""

from __future__ import annotations

from benchmarks.proof.bench import OURS, TAYLOR, curve_images, meter_of, rankings
from benchmarks.proof.cases import Case, context_of
from benchmarks.proof.studies import found
from benchmarks.proof.tables import Table, made_of
from xaiprune.evaluate import cost
from xaiprune.search.meter import plain_figures
from xaiprune.search.methods import proposal_of_preset

NAME = "compensation"
ABOUT = (
    "Top-1 on 400 test images by rate and compensation (100 references, no labels, no training; fitted layer "
    "by layer in CNNs, all layers at once in the ViT), with what is left of parameters and multiply-adds in "
    "the network made smaller"
)
METHODS = ("none", "mean", "linear")


def run(case: Case, seed: int) -> None:
    """Measure the best found and Taylor under each compensation."""
    table, recipe = Table(NAME, ABOUT), found(case, seed).get(OURS)
    if recipe is None:
        return
    of = made_of(case, recipe, METHODS, case.compensation)
    if table.has(case, seed, of):
        return
    print(f"{NAME}: {case.name}, seed {seed}", flush=True)
    context = context_of(case, seed)
    part, dense = curve_images(meter_of(case, seed)), cost(context.model, context.reference_images[:1])
    rows = []
    for method in rankings(context, {OURS: recipe, TAYLOR: proposal_of_preset(TAYLOR)}):
        for rate in case.rates:
            plan = context.plan(method.scores, rate, method.scope)
            smaller = cost(context.pruned(plan, "none", smaller=True).model, context.reference_images[:1])
            for compensate in METHODS:
                figures = meter_of(case, seed, compensate).figures_of(plan, compensate, part)
                print(f"  {method.name:<14} {rate:g} {compensate:<7} {figures['top1']:.1%}", flush=True)
                rows.append(
                    {
                        "method": method.name,
                        "rate": rate,
                        "compensate": compensate,
                        **plain_figures(figures),
                        "params": smaller.params / dense.params,
                        "macs": smaller.macs / dense.macs,
                    }
                )
    table.replace(case, seed, of, rows)
