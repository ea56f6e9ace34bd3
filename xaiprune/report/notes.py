"""A study and its trials in Markdown, as the dashboard's notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from xaiprune.attribution.lrp.composite_io import composite_to_dict
from xaiprune.config import command
from xaiprune.registry import OBJECTIVES
from xaiprune.study import best_trial, command_of, is_feasible, recipe_of, stored_fingerprint, value_text


def trial_note(study: optuna.Study, trial: FrozenTrial, picture: str | None = None) -> str:
    """What a trial tried and found, and how to export its composite.

    Args:
        study: The trial's.
        trial: One that has ended.
        picture: Address of its picture, to be shown in the note.
    """
    attrs = trial.user_attrs
    preset = attrs.get("preset")
    lines = [f"## Trial {trial.number}" + (f": preset {preset}" if preset else ""), ""]
    if trial.state is TrialState.FAIL:
        return "\n".join([*lines, f"Failed: {attrs.get('reason', 'left unfinished')}"])
    if trial.state is TrialState.PRUNED:
        seen = sum(score["images"] for score in attrs.get("scores", ()))
        lines += [f"Stopped in a race after {seen} of {attrs.get('images', '?')} image evaluations.", ""]
    elif trial.values:
        lines += [f"**{value_text(trial)}** on the validation images" + _standing(study, trial), ""]
    if "proposal" not in attrs:
        return "\n".join([*lines, "Not made by xaiprune."])
    recipe = recipe_of(trial)
    lines += [recipe.summary(), ""]
    lines += _scores(trial, measure_of(study)) + _missed(trial)
    if attrs.get("reused_from") is not None:
        lines += [f"Removes the same units as trial {attrs['reused_from']}, whose figures these are.", ""]
    seconds = attrs.get("seconds", {})
    if seconds:
        steps = ", ".join(f"{step} {value:.2f} s" for step, value in seconds.items())
        lines += [f"Took {steps}.", ""]
    if picture is not None:
        lines += [f"![{measure_of(study)} and units kept]({picture})", ""]
    composite = yaml.safe_dump(composite_to_dict(recipe.composite), sort_keys=False)
    lines += ["```yaml", composite.rstrip(), "```", ""]
    if trial.state is TrialState.COMPLETE:
        lines += [
            "To export it:",
            "",
            "```",
            command("export", {"study.name": study.study_name, "export.trial": trial.number}),
            "```",
        ]
    return "\n".join(lines)


def study_note(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    """The best trial so far, what is searched, and on what: a table, and the command."""
    fingerprint = stored_fingerprint(study) or {}
    model, data, units = (fingerprint[key] for key in ("model", "data", "units"))
    rows: dict[str, str] = {}
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    if any(map(is_feasible, done)):
        best = best_trial(study)
        rows["best"] = f"trial {best.number}, {value_text(best)}; {recipe_of(best).summary()}"
    dense = study.user_attrs.get("dense")
    if dense:
        noun = "windows" if "window" in dense else "images"
        perplexity = f", perplexity {dense['perplexity']:.2f}" if "perplexity" in dense else ""
        rows["dense network"] = (
            f"{100 * dense['top1']:.1f} %{perplexity} of {dense['images']} validation {noun}"
        )
    rows["network"] = f"{model['name']}, weights {model['weights']}"
    rows["units"] = f"{units.get('found', '?')} {units['kind']}"
    for name in ("reference", "validation", "test"):
        if name in data:
            rows[name] = data[name]
    rows["classes"] = str(len(data["classes"]))
    rows["objective"] = fingerprint["objective"]["name"]
    rows["prune"] = ", ".join(f"{key} {value}" for key, value in fingerprint["prune"].items())
    for versions in study.user_attrs.get("versions", ())[-1:]:
        rows["made with"] = ", ".join(f"{name} {value}" for name, value in versions.items() if value)
    cells = [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items()]
    lines = [f"## {study.study_name}", "", "| | |", "|---|---|", *cells]
    command = command_of(study)
    return "\n".join([*lines, *(["", "```", command, "```"] if command else [])])


def measure_of(study: optuna.Study) -> str:
    """What the fractions of a study's trials are called: ``top-1``, or what its objective says."""
    name = (stored_fingerprint(study) or {}).get("objective", {}).get("name")
    kind = OBJECTIVES.get(name)
    return "top-1" if kind is None or not kind.fraction else str(kind.measure)


def _standing(study: optuna.Study, trial: FrozenTrial) -> str:
    dense = study.user_attrs.get("dense")
    if dense is None or "faithfulness" in trial.user_attrs:
        return ""
    if "measure" in trial.user_attrs:
        return f" (dense network: {dense[trial.user_attrs['measure']]:.2f})"
    return f" (dense network: {100 * dense['top1']:.1f} %)"


def _scores(trial: FrozenTrial, measure: str) -> list[str]:
    """A table of the rates that were measured; of a faithfulness its interval."""
    found = trial.user_attrs.get("faithfulness")
    if found and math.isfinite(found["low"]):
        return [f"95 % interval {found['low']:.3f} to {found['high']:.3f} over {found['images']} images", ""]
    scores = [score for score in trial.user_attrs["scores"] if score.get("images")]
    if not scores:
        return []
    if any("perplexity" in score for score in scores):
        return _text_scores(scores)
    rows = [f"| rate | {measure} | 95 % interval | images |", "|---|---|---|---|"]
    for score in sorted(scores, key=lambda score: float(score["rate"])):
        top1 = 100 * score["top1"] if "top1" in score else 100 * score["correct"] / score["images"]
        interval = f"{100 * score['low']:.1f} to {100 * score['high']:.1f}" if "low" in score else ""
        rows.append(f"| {score['rate']:g} | {top1:.1f} % | {interval} | {score['images']} |")
    return [*rows, ""]


def _text_scores(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same of text, by both measures."""
    rows = ["| rate | next-token top-1 | 95 % interval | perplexity | 95 % interval | windows |"]
    rows.append("|---|---|---|---|---|---|")
    for score in sorted(scores, key=lambda score: float(score["rate"])):
        rows.append(
            f"| {score['rate']:g} | {100 * score['top1']:.1f} % | "
            f"{100 * score['low']:.1f} to {100 * score['high']:.1f} | {score['perplexity']:.2f} | "
            f"{score['perplexity_low']:.2f} to {score['perplexity_high']:.2f} | "
            f"{score['images']} of {score['window']} tokens |"
        )
    return [*rows, ""]


def _missed(trial: FrozenTrial) -> list[str]:
    missed = [name for name, excess in trial.constraints.items() if excess > 0]
    return [f"Misses {', '.join(missed)}.", ""] if missed else []
