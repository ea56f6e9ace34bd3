"""The page's tables and lists, as texts ready for the template."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from xaiprune.report.frames import STATES, STEPS
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.words import (
    counted,
    drawn_from,
    listed,
    percent,
    rule_text,
    seconds,
    with_interval,
)

_SHOWN_TRIALS = 10
_SHOWN_SLOWEST = 5
_SHOWN_FAILED = 20
_SHOWN_CLASSES = 12


def setup(findings: Findings) -> list[tuple[str, str]]:
    """(term, text) of what was searched and on what."""
    print_, config = findings.fingerprint, _config(findings)
    data, units, prune, objective = print_["data"], print_["units"], print_["prune"], findings.objective
    rows = [("network", f"{print_['model']['name']}, weights {print_['model']['weights']}")]
    if config:
        source = config["data"]["root"] or config["data"]["source"]
        rows.append(
            ("images", f"{source} ({config['data']['source']})" if config["data"]["root"] else source)
        )
    classes = [str(name) for name in data["classes"]]
    more = f" and {len(classes) - _SHOWN_CLASSES} more" if len(classes) > _SHOWN_CLASSES else ""
    rows.append(("classes", f"{len(classes)}: {', '.join(classes[:_SHOWN_CLASSES])}{more}"))
    for split, use in (
        ("reference", "relevance is computed on them"),
        ("validation", "trials are scored on them"),
        ("test", "seen by no trial, only by the comparison"),
    ):
        if split in data:
            rows.append((split, f"{data[split]}; {use}"))
    layers = f" in {len(findings.units)} layers" if findings.units else ""
    rows.append(("units", f"{units['found']:,} {units['kind']}{layers}{_patterns(units)}"))
    rates = ", ".join(f"{rate:g}" for rate in objective["rates"])
    rows.append(("removed", f"rate {rates} of {prune['budget']}, {prune['scope']} ranking{_extras(prune)}"))
    goal = objective["name"] + (f", minimising {objective['cost']}" if findings.cost_name else "")
    if objective.get("constraints"):
        goal += f"; keeping {', '.join(objective['constraints'])}"
    rows.append(("objective", goal))
    if config:
        rows.append(("sampler", f"{_target(config['sampler'])}; pruner {_target(config['pruner'])}"))
        seeds = {run["config"]["seed"] for run in findings.runs}
        rows.append(
            ("seed", f"{', '.join(map(str, sorted(seeds)))}; images drawn by {config['data']['seed']}")
        )
        rows.append(("device", ", ".join(sorted({run["device"] for run in findings.runs}))))
    rows.append(("study", f"{findings.name} in {findings.storage}"))
    return rows


def parameters(findings: Findings) -> list[tuple[str, str, str]]:
    """(name, what it is drawn from, trials that had it) of every parameter that a trial had."""
    ended = findings.trials[findings.trials.state.isin(["complete", "pruned"])]
    own = [name for name in findings.trials.columns if name in findings.distributions]
    return [
        (name, drawn_from(findings.distributions[name]), f"{int(ended[name].notna().sum()):,}")
        for name in own
    ]


def _shown(value: object) -> str:
    """A setting, or the factors by name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {factor:.3g}" for name, factor in value.items())
    return str(value)


def recipe(findings: Findings) -> list[tuple[str, str]]:
    """(what, setting) of the best composite."""
    recipe = findings.recipe(int(findings.best.number))
    if recipe is None:
        return []
    composite = recipe.composite
    rows = [(str(match), rule_text(rule)) for match, rule in composite.layers]
    rows.append(("other layers" if rows else "all layers", rule_text(composite.default)))
    rows += [(name, getattr(composite, name)) for name in ("softmax", "activation", "norm", "product")]
    aggregation = recipe.aggregation
    rows += [
        ("start at the logits", recipe.start),
        ("aggregated over images", aggregation.mode),
        ("weight of an image", aggregation.image_weight),
        ("layers normalised by", aggregation.normalize),
    ]
    return rows + [(key, _shown(value)) for key, value in recipe.settings.items()]


def costs(findings: Findings) -> list[tuple[str, str, str, str]]:
    """(what, before, after, part that stays) of the best trial's network."""
    if findings.cost is None:
        return []
    dense, pruned = findings.cost["dense"], findings.cost["pruned"]
    return [
        (name, counted(dense[key]), counted(pruned[key]), percent(pruned[key] / max(1, dense[key])))
        for name, key in (("parameters", "params"), ("MACs of one image", "macs"), ("bytes", "bytes"))
    ]


def best_trials(findings: Findings) -> list[tuple[str, str, str, str]]:
    """(trial, value, cost, what it tried) of the best, of those that removed the same units the earliest."""
    runs = findings.complete
    runs = runs[runs.reused_from.isna() & runs.feasible.fillna(False).astype(bool)]
    runs = runs.sort_values("value", ascending=False, kind="stable").head(_SHOWN_TRIALS)
    return [_trial(findings, row) for _, row in runs.iterrows()]


def pareto(findings: Findings) -> list[tuple[str, str, str, str]]:
    """The trials that no other beats in both objectives, cheapest first; rows as `best_trials`."""
    if findings.cost_name is None:
        return []
    runs = findings.complete
    runs = runs[runs.front].drop_duplicates(["value", f"cost.{findings.cost_name}"])
    return [_trial(findings, row) for _, row in runs.sort_values(f"cost.{findings.cost_name}").iterrows()]


def states(findings: Findings) -> list[tuple[str, str]]:
    """(state, number of trials) of the states that occur."""
    counts = findings.trials.state.value_counts()
    names = {"pruned": "stopped in a race", "fail": "failed", "complete": "finished"}
    found = [(names.get(state, state), f"{counts[state]:,}") for state in STATES if counts[state]]
    reused = int(findings.trials.reused_from.notna().sum())
    if reused:
        found.append(("not measured: same units as an earlier one", f"{reused:,}"))
    return found


def steps(findings: Findings) -> list[tuple[str, str, str]]:
    """(step, seconds in all, median of a trial)."""
    found = []
    for step in STEPS:
        column = findings.trials[f"seconds.{step}"].dropna()
        if len(column):
            found.append((step, seconds(float(column.sum())), seconds(float(column.median()))))
    return found


def slowest(findings: Findings) -> list[tuple[str, str, str, str]]:
    """(trial, seconds, where they went, what it tried)."""
    rows = findings.trials.dropna(subset=["seconds"]).nlargest(_SHOWN_SLOWEST, "seconds")
    return [
        (str(row.number), seconds(row.seconds), _spent(row), _tried(findings, row))
        for _, row in rows.iterrows()
    ]


def failed(findings: Findings) -> list[tuple[str, str]]:
    """(trial, reason), the first of them."""
    rows = findings.trials[findings.trials.state == "fail"]
    again = findings.trials.dropna(subset=["retry_of"]).set_index("retry_of").number
    found = []
    for _, row in rows.head(_SHOWN_FAILED).iterrows():
        if pd.notna(row.reason):
            reason = str(row.reason)
        elif row.number in again.index:
            reason = f"left unfinished; tried again as trial {again.loc[[row.number]].iloc[0]}"
        else:
            reason = "no reason given"
        found.append((str(row.number), reason))
    if len(rows) > _SHOWN_FAILED:
        found.append(("…", f"and {len(rows) - _SHOWN_FAILED} more, in trials.csv"))
    return found


def commands(findings: Findings) -> list[str]:
    """What was typed to run the study, each distinct command once, the last one last."""
    found: list[str] = []
    for run in findings.runs:
        if run["overrides"] is None:
            continue
        folder = ["--config-dir", run["config_dir"]] if run.get("config_dir") else []
        line = shlex.join(["xaiprune", "search", *run["overrides"], *folder])
        step = f"cd {shlex.quote(run['folder'])}\n"
        found = [kept for kept in found if kept != step + line] + [step + line]
    return found


def next_command(findings: Findings) -> str:
    """The command that measures what a report lacks."""
    typed = commands(findings)
    return typed[-1] if typed else f"xaiprune search study.name={shlex.quote(findings.name)} …"


def version_lines(findings: Findings) -> list[str]:
    """Every combination of versions, as one line."""
    return [listed(versions) for versions in findings.versions]


def space_text(findings: Findings) -> str:
    """The space, as its YAML says it."""
    return yaml.safe_dump(dict(findings.fingerprint.get("space", {})), sort_keys=False, width=90)


def config_text(findings: Findings) -> str:
    """All settings of the last run; nothing in studies that did not note them."""
    config = {key: value for key, value in _config(findings).items() if key != "space"}
    return yaml.safe_dump(config, sort_keys=False, width=90) if config else ""


def _config(findings: Findings) -> Mapping[str, Any]:
    return findings.runs[-1]["config"] if findings.runs else {}


def _patterns(units: Mapping[str, Any]) -> str:
    parts = [f"{key} {', '.join(units[key])}" for key in ("include", "exclude") if units.get(key)]
    return f" ({'; '.join(parts)})" if parts else ""


def _extras(prune: Mapping[str, Any]) -> str:
    """What differs from plain masking."""
    shown = {key: value for key, value in prune.items() if key not in ("rate", "budget", "scope")}
    return "".join(f", {key} {value}" for key, value in shown.items())


def _target(settings: Mapping[str, Any]) -> str:
    return str(settings.get("_target_", "none")).rpartition(".")[2]


def _trial(findings: Findings, row: pd.Series) -> tuple[str, str, str, str]:
    cost = "" if findings.cost_name is None else percent(row[f"cost.{findings.cost_name}"])
    value = with_interval(row.value, row.value_low, row.value_high)
    return str(row.number), value, cost, _tried(findings, row)


def _tried(findings: Findings, row: pd.Series) -> str:
    preset = f"preset {row.preset}: " if pd.notna(row.preset) else ""
    recipe = findings.recipe(int(row.number))
    return preset + ("" if recipe is None else recipe.summary())


def _spent(row: pd.Series) -> str:
    return ", ".join(_steps_of(row)) or "–"


def _steps_of(row: pd.Series) -> Iterator[str]:
    order: Sequence[str] = sorted(STEPS, key=lambda step: -row[f"seconds.{step}"])
    for step in order:
        if pd.notna(row[f"seconds.{step}"]) and row[f"seconds.{step}"] >= 0.005:
            yield f"{step} {seconds(row[f'seconds.{step}'])}"
