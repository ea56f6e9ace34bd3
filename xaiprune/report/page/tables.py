"""The page's tables and lists, as text for the template."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml

from xaiprune.config import command
from xaiprune.report.frames import STATES, STEPS
from xaiprune.report.page.findings import Findings
from xaiprune.report.page.format import counted, drawn_from, listed, percent, seconds
from xaiprune.study.notes import typed_in

_SHOWN_TRIALS = 10
_SHOWN_SLOWEST = 5
_SHOWN_FAILED = 20
_SHOWN_CLASSES = 12


def setup(findings: Findings) -> list[tuple[str, str]]:
    """(term, text) of what was searched and on what."""
    config, objective = _config(findings), findings.objective
    model, data, units, prune = (findings.fingerprint[key] for key in ("model", "data", "units", "prune"))
    rows = [("network", f"{model['name']}, weights {model['weights']}")]
    if config:
        # An older xaiprune has noted no folders of single splits.
        folders = [config["data"].get(f"{of}root") for of in ("", "reference_", "validation_", "test_")]
        named = ", ".join(folder for folder in folders if folder)
        source = config["data"]["source"]
        rows.append(("images", f"{named} ({source})" if named else source))
    classes = [str(name) for name in data["classes"]]
    more = f" and {len(classes) - _SHOWN_CLASSES} more" if len(classes) > _SHOWN_CLASSES else ""
    rows.append(("classes", f"{len(classes)}: {', '.join(classes[:_SHOWN_CLASSES])}{more}"))
    for split, use, by_network in (
        ("reference", "relevance is computed on them", "of the network's own predictions"),
        ("validation", "trials are scored on them", "by agreement with the dense network"),
        ("test", "seen by no trial, only by the comparison", "by agreement with the dense network"),
        ("calibration", "statistics for compensation are taken of them", ""),
    ):
        if split in data:
            how = f", {by_network}" if "-predicted" in data[split] else ""
            rows.append((split, f"{data[split]}; {use}{how}"))
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
    """A setting as text; a dictionary is factors by name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {factor:.3g}" for name, factor in value.items())
    return str(value)


def recipe(findings: Findings) -> list[tuple[str, str]]:
    """(what, setting) of the best trial's recipe."""
    recipe = findings.recipe(int(findings.best.number))
    if recipe is None:
        return []
    composite = recipe.composite
    rows = [(str(match), rule.short) for match, rule in composite.layers]
    rows.append(("other layers" if rows else "all layers", composite.default.short))
    rows += [(name, getattr(composite, name)) for name in ("softmax", "activation", "norm", "product")]
    aggregation = recipe.aggregation
    rows += [
        ("initial relevance", recipe.start),
        ("aggregation over images", aggregation.mode),
        ("weight of an image", aggregation.image_weight),
        ("normalisation of layers", aggregation.normalize),
    ]
    return rows + [(key, _shown(value)) for key, value in recipe.settings.items()]


def costs(findings: Findings) -> list[tuple[str, str, str, str]]:
    """(what, dense, pruned, part that is kept) of the best trial's network."""
    if findings.cost is None:
        return []
    dense, pruned = findings.cost["dense"], findings.cost["pruned"]
    noun = "image" if findings.comparison is None else findings.comparison.noun
    return [
        (name, counted(dense[key]), counted(pruned[key]), percent(pruned[key] / max(1, dense[key])))
        for name, key in (("parameters", "params"), (f"MACs of one {noun}", "macs"), ("bytes", "bytes"))
    ]


def best_trials(findings: Findings) -> list[tuple[str, str, str, str]]:
    """(trial, value, cost, what it tried) of the best; the earliest of those that removed the same units."""
    runs = findings.complete
    runs = runs[runs.reused_from.isna() & runs.feasible.fillna(False).astype(bool)]
    runs = runs.sort_values("value", ascending=findings.minimises, kind="stable").head(_SHOWN_TRIALS)
    return [_trial(findings, row) for _, row in runs.iterrows()]


def pareto(findings: Findings) -> list[tuple[str, str, str, str]]:
    """The trials on the Pareto front, cheapest first; rows as in `best_trials`."""
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
        found.append(("not measured: same units as an earlier trial", f"{reused:,}"))
    return found


def steps(findings: Findings) -> list[tuple[str, str, str]]:
    """(step of a trial, time in all, median over the trials)."""
    found = []
    for step in STEPS:
        column = findings.trials[f"seconds.{step}"].dropna()
        if len(column):
            found.append((step, seconds(float(column.sum())), seconds(float(column.median()))))
    return found


def slowest(findings: Findings) -> list[tuple[str, str, str, str]]:
    """(trial, time, the same by step, what it tried)."""
    rows = findings.trials.dropna(subset=["seconds"]).nlargest(_SHOWN_SLOWEST, "seconds")
    return [
        (str(row.number), seconds(row.seconds), _spent(row), _tried(findings, row))
        for _, row in rows.iterrows()
    ]


def failed(findings: Findings) -> list[tuple[str, str]]:
    """(trial, reason) of the first failed ones."""
    rows = findings.trials[findings.trials.state == "fail"]
    retries = findings.trials.dropna(subset=["retry_of"]).set_index("retry_of").number
    found = []
    for _, row in rows.head(_SHOWN_FAILED).iterrows():
        if pd.notna(row.reason):
            reason = str(row.reason)
        elif row.number in retries.index:
            reason = f"left unfinished; tried again as trial {retries.loc[[row.number]].iloc[0]}"
        else:
            reason = "no reason given"
        found.append((str(row.number), reason))
    if len(rows) > _SHOWN_FAILED:
        found.append(("…", f"and {len(rows) - _SHOWN_FAILED} more, in trials.csv"))
    return found


def commands(findings: Findings) -> list[str]:
    """What was typed to run the study: each distinct command once, the latest last."""
    found: dict[str, None] = {}
    for run in findings.runs:
        if (typed := typed_in(run)) is None:
            continue
        command = f"cd {shlex.quote(run['folder'])}\n{typed}"
        found.pop(command, None)
        found[command] = None
    return list(found)


def next_command(findings: Findings) -> str:
    """The command that measures what the report lacks."""
    typed = commands(findings)
    return typed[-1] if typed else of_study("compare", findings)


def of_study(task: str, findings: Findings, **settings: object) -> str:
    """A command on the study, wherever it is stored; ``settings`` by key."""
    return command(task, {"study.name": findings.name, "study.storage": findings.storage, **settings})


def best_in_a_line(findings: Findings) -> str:
    """What the best trial tried; empty where that was not stored."""
    recipe = findings.recipe(int(findings.best.number))
    return "" if recipe is None else recipe.summary()


def version_lines(findings: Findings) -> list[str]:
    """Every combination of versions, as one line."""
    return [listed(versions) for versions in findings.versions]


def space_text(findings: Findings) -> str:
    """The space as YAML."""
    return yaml.safe_dump(dict(findings.fingerprint.get("space", {})), sort_keys=False, width=90)


def config_text(findings: Findings) -> str:
    """All settings of the last run as YAML; empty in older studies, which did not store them."""
    config = {key: value for key, value in _config(findings).items() if key != "space"}
    return yaml.safe_dump(config, sort_keys=False, width=90) if config else ""


def _config(findings: Findings) -> Mapping[str, Any]:
    return findings.runs[-1]["config"] if findings.runs else {}


def _patterns(units: Mapping[str, Any]) -> str:
    parts = [f"{key} {', '.join(units[key])}" for key in ("include", "exclude") if units.get(key)]
    return f" ({'; '.join(parts)})" if parts else ""


def _extras(prune: Mapping[str, Any]) -> str:
    """The other pruning settings."""
    shown = {key: value for key, value in prune.items() if key not in ("rate", "budget", "scope")}
    return "".join(f", {key} {value}" for key, value in shown.items())


def _target(settings: Mapping[str, Any]) -> str:
    return str(settings.get("_target_", "none")).rpartition(".")[2]


def _trial(findings: Findings, row: pd.Series) -> tuple[str, str, str, str]:
    cost = "" if findings.cost_name is None else percent(row[f"cost.{findings.cost_name}"])
    value = findings.shown(row.value, row.value_low, row.value_high)
    return str(row.number), value, cost, _tried(findings, row)


def _tried(findings: Findings, row: pd.Series) -> str:
    preset = f"preset {row.preset}: " if pd.notna(row.preset) else ""
    recipe = findings.recipe(int(row.number))
    return preset + ("" if recipe is None else recipe.summary())


def _spent(row: pd.Series) -> str:
    """The time of each step, the longest first."""
    took = {step: float(row[f"seconds.{step}"]) for step in STEPS}
    shown = sorted((step for step in STEPS if took[step] >= 0.005), key=lambda step: -took[step])
    return ", ".join(f"{step} {seconds(took[step])}" for step in shown) or "–"
