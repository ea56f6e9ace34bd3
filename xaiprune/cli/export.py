"""``xaiprune export``: recipes of a study as YAML files, which every task takes as ``recipe=FILE``.

Also as code for zennit, and as what they lead to: plan, smaller network, ONNX.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from xaiprune.attribution.lrp import zennit_code
from xaiprune.cli.common.pruning import configured_plan, saved
from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.cli.common.study_setup import as_searched, given_file, require_same
from xaiprune.config import (
    RECIPE_KEYS,
    RENAMED,
    as_override,
    current_command_line,
    overridden_keys,
    provenance_of,
    use_recipe,
)
from xaiprune.config.tasks import ExportConfig, ExportSettings
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.pruning import check_folder
from xaiprune.recipe import complete_prune, configured_recipe
from xaiprune.session import PruningSession, open_session
from xaiprune.study import (
    BEST_FILE,
    RUNS,
    best_trial,
    distinct_trials,
    finished_trial,
    front,
    notes_of,
    save_trial,
    stored_fingerprint,
    value_text,
)
from xaiprune.study.notes import config_dir_of

# Sections and keys that say how to search, not what is pruned.
_SEARCH_ALONE = (
    *("study", "space", "sampler", "pruner", "objective", "search", "attribution", "composite", "recipe"),
    *("output_dir", "hydra", "worker"),
)


def run(config: ExportConfig) -> None:
    """Write the best, the given, or the best few trials' recipes and what was asked for beside them."""
    settings = config.export
    _check(config)
    folder = Path(config.output_dir or ".").absolute()
    if (file := given_file(config)) is not None:
        path = Path(file).expanduser().absolute()
        write_further(config, None, {path.stem: path}, path.parent)
        return
    with stored_study(config) as study:
        require_ours(study)
        chosen = choose(study, settings)
        files = {}
        for stem, trial in chosen.items():
            files[stem] = save_trial(study, trial, folder / f"{stem}.yaml")
            print(f"trial {trial.number:>4}  {value_text(trial):>7}  {files[stem]}")
        if len(chosen) < settings.top:
            print(f"the study has only {len(chosen)} finished trials that remove different units")
        write_further(config, study, files, folder)
    first = next(iter(files.values()))
    print(f"to use it: {usage(study, first)}")


def choose(study: optuna.Study, settings: ExportSettings) -> dict[str, FrozenTrial]:
    """Name of the file -> trial, as the settings ask."""
    if settings.trial is not None:
        return {f"trial-{settings.trial}": finished_trial(study, settings.trial)}
    if settings.front:
        return {f"front-{rank:02d}": trial for rank, trial in enumerate(front(study), start=1)}
    if settings.top > 1:
        trials = distinct_trials(study, settings.top)
        return {f"top-{rank:02d}": trial for rank, trial in enumerate(trials, start=1)}
    return {Path(BEST_FILE).stem: best_trial(study)}


def write_further(
    config: ExportConfig, study: optuna.Study | None, files: Mapping[str, Path], folder: Path
) -> None:
    """Zennit's code, plan and smaller network of recipe files, as far as they are asked for.

    Args:
        config: The task's.
        study: Where the recipes come from; None: they were given as files.
        files: Name -> recipe file.
        folder: Where to write.

    Raises:
        XaipruneError: Network, images or settings are not the study's, or a recipe does not fit.
    """
    settings = config.export
    if not (settings.format == "zennit" or settings.plan or settings.pruned or settings.onnx):
        return
    if settings.pruned or settings.onnx:
        for stem in files:
            check_folder(folder / f"{stem}-pruned")  # before the work
    config = config if study is None else as_searched(config, study, "export")
    session = open_session(config)
    if study is not None:
        require_same(study, config, session)
    for stem, path in files.items():
        if study is None:  # the session is opened with it
            _write(config, session, path, folder / stem)
            continue
        own = _with_recipe(config, path)
        recipe = configured_recipe(own, session.model, session.units, session.example)
        under = replace(session, recipe=recipe, prune=complete_prune(own.prune, recipe))
        _write(own, under, path, folder / stem, provenance_of(path).get("plan"))


def _with_recipe(config: ExportConfig, path: Path) -> ExportConfig:
    """The configuration with another recipe; what was typed replaces parts of it."""
    typed = current_command_line()
    own = replace(
        config,
        attribution=replace(config.attribution),
        prune=replace(config.prune),
        units=replace(config.units),
    )
    use_recipe(own, str(path), overridden_keys(() if typed is None else typed.overrides))
    return own


def _write(
    config: ExportConfig, session: PruningSession, path: Path, target: Path, expected: str | None = None
) -> None:
    """What is asked for of one recipe.

    Args:
        config: The task's.
        session: Opened with the recipe.
        path: The recipe's file.
        target: Path of all that is written, less its ending.
        expected: Hash of the plan that the trial had; None: unknown.
    """
    settings = config.export
    if settings.format == "zennit":
        code = zennit_code(session.recipe.composite, session.model, notes_of(path))
        with replacing(target.with_name(f"{target.name}_zennit.py")) as temporary:
            temporary.write_text(code, encoding="utf-8")
        print(f"zennit      {target.with_name(f'{target.name}_zennit.py')}")
    if not (settings.plan or settings.pruned or settings.onnx):
        return
    planned = configured_plan(config, session)
    plan, _ = planned
    if expected not in (None, plan.hash):
        print(f"note        trial and file remove different units at rate {plan.rate:g}: sums differ here")
    if settings.plan:
        plan.save(target.with_suffix(".plan.json"))
        print(f"plan        {target.with_suffix('.plan.json')}")
    if settings.pruned or settings.onnx:
        folder = target.with_name(f"{target.name}-pruned")
        for line in saved(config, session, planned, folder, onnx=settings.onnx):
            print(line)


def usage(study: optuna.Study, path: Path) -> str:
    """The command that removes what the trial of a file did.

    The file has the recipe, with its units and its rate; network, images and what else was typed for the
    search are typed again, in the folder in which it was typed.
    """
    run = (study.user_attrs.get(RUNS) or [{}])[-1]
    typed = run.get("overrides")
    if typed is None:
        fingerprint = stored_fingerprint(study) or {}
        typed = [as_override("model", fingerprint["model"]["name"])]
        typed += [as_override(f"prune.{key}", value) for key, value in fingerprint["prune"].items()]
    kept = [o for o in typed if not _is_left_out(o.partition("=")[0].lstrip("+"))]
    line = ["xaiprune", "prune", as_override("recipe", str(path)), *kept, *config_dir_of(run)]
    folder = run.get("folder", str(Path.cwd()))
    return (
        shlex.join(line) if folder == str(Path.cwd()) else f"cd {shlex.quote(folder)} && {shlex.join(line)}"
    )


def _is_left_out(key: str) -> bool:
    in_file = key == "units" or RENAMED.get(key, key) in RECIPE_KEYS.values()
    return in_file or key.split(".")[0].split("/")[0] in _SEARCH_ALONE


def _check(config: ExportConfig) -> None:
    settings = config.export
    asked = [
        key
        for key, is_set in (
            ("export.trial", settings.trial is not None),
            ("export.top", settings.top > 1),
            ("export.front", settings.front),
        )
        if is_set
    ]
    if len(asked) > 1:
        raise XaipruneError(f"{' and '.join(asked)} name different trials; set one of them")
    if (file := given_file(config)) is not None and asked:
        raise XaipruneError(f"{asked[0]} chooses among a study's trials, {file} is one; set one of them")
