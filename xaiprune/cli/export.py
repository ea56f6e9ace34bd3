"""``xaiprune export``: composites of a study as YAML files, which every task takes as ``composite=FILE``.

Also as code for zennit, and as what they lead to: plan, smaller network, ONNX.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from xaiprune.attribution import load_composite, save_composite
from xaiprune.attribution.lrp import zennit_code
from xaiprune.cli.common.pruning import configured_plan, saved
from xaiprune.cli.common.stored import require_ours, stored_study
from xaiprune.cli.common.study_setup import as_searched, require_same
from xaiprune.config import (
    RECIPE_KEYS,
    CompositeConfig,
    apply_recipe_file,
    current_command_line,
    provenance_of,
    stored_recipe,
)
from xaiprune.config.tasks import ExportConfig, ExportSettings
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.pruning import check_folder
from xaiprune.session import PruningSession, open_session
from xaiprune.study import (
    BEST_FILE,
    RUNS,
    best_trial,
    distinct_trials,
    finished_trial,
    front,
    notes_of,
    provenance,
    recipe_of,
    stored_fingerprint,
    value_text,
)

# Sections and keys that say how to search, not what is pruned.
_SEARCH_ALONE = (
    *("study", "space", "sampler", "pruner", "objective", "search", "attribution", "composite"),
    *("output_dir", "hydra", "worker"),
)


def run(config: ExportConfig) -> None:
    """Write the best, the given, or the best few trials' composites and what was asked for beside them."""
    settings = config.export
    _check(config)
    folder = Path(config.output_dir or ".").absolute()
    if config.composite.file is not None:
        path = Path(config.composite.file).expanduser().absolute()
        write_further(config, None, {path.stem: path}, path.parent)
        return
    with stored_study(config) as study:
        require_ours(study)
        chosen = choose(study, settings)
        files = {}
        for stem, trial in chosen.items():
            files[stem] = export(study, trial, folder / f"{stem}.yaml")
            print(f"trial {trial.number:>4}  {value_text(trial):>7}  {files[stem]}")
        if len(chosen) < settings.top:
            print(f"the study has only {len(chosen)} finished trials that remove different units")
        write_further(config, study, files, folder)
    first = next(iter(files.values()))
    print(f"to use it: xaiprune prune {usage(study, first)}")


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


def export(study: optuna.Study, trial: FrozenTrial, path: Path) -> Path:
    """Write one trial's composite, with where it comes from.

    Args:
        study: The trial's.
        trial: Finished.
        path: File to write; replaced where it is there.

    Returns:
        ``path``.
    """
    recipe = recipe_of(trial)
    return save_composite(path, recipe.composite, provenance(study, trial, recipe))


def write_further(
    config: ExportConfig, study: optuna.Study | None, files: Mapping[str, Path], folder: Path
) -> None:
    """Zennit's code, plan and smaller network of composite files, as far as they are asked for.

    Args:
        config: The task's.
        study: Where the composites come from; None: they were given as files.
        files: Name -> composite file.
        folder: Where to write.

    Raises:
        XaipruneError: Network, images or settings are not the study's, or a composite does not fit.
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
    typed = current_command_line()
    for stem, path in files.items():
        own = replace(
            config,
            composite=CompositeConfig(file=str(path)),
            attribution=replace(config.attribution),
            prune=replace(config.prune),
        )
        apply_recipe_file(own, () if typed is None else typed.overrides)
        _write(own, session.with_prune(**asdict(own.prune)), path, folder / stem)


def _write(config: ExportConfig, session: PruningSession, path: Path, target: Path) -> None:
    """What is asked for of one composite; ``target`` is the path of all that is written, less its ending."""
    settings = config.export
    if settings.format == "zennit":
        code = zennit_code(load_composite(path), session.model, notes_of(path))
        with replacing(target.with_name(f"{target.name}_zennit.py")) as temporary:
            temporary.write_text(code, encoding="utf-8")
        print(f"zennit      {target.with_name(f'{target.name}_zennit.py')}")
    if not (settings.plan or settings.pruned or settings.onnx):
        return
    plan = configured_plan(config, session)
    at_rate = {score["rate"]: score["plan"].split()[0] for score in provenance_of(path).get("scores", ())}
    if at_rate.get(plan.rate, plan.hash) != plan.hash:
        print(f"note        trial and file remove different units at rate {plan.rate:g}: sums differ here")
    if settings.plan:
        plan.save(target.with_suffix(".plan.json"))
        print(f"plan        {target.with_suffix('.plan.json')}")
    if settings.pruned or settings.onnx:
        folder = target.with_name(f"{target.name}-pruned")
        for line in saved(config, session, plan, folder, onnx=settings.onnx):
            print(line)


def usage(study: optuna.Study, path: Path) -> str:
    """The overrides with which `xaiprune prune` removes what the trial of a file did.

    The file brings its recipe along; network, images, units and rate are typed as the search was.
    """
    runs = study.user_attrs.get(RUNS) or [{}]
    typed = runs[-1].get("overrides")
    if typed is None:
        fingerprint = stored_fingerprint(study) or {}
        typed = [f"model={fingerprint['model']['name']}", f"units={fingerprint['units']['kind']}"]
        typed += [f"prune.{key}={value}" for key, value in fingerprint["prune"].items()]
    recipe = {RECIPE_KEYS[name] for name in stored_recipe(path)}
    kept = [o for o in typed if not _of_search_alone(o.partition("=")[0].lstrip("+"), recipe)]
    return shlex.join([f"composite={path}", *kept])


def _of_search_alone(key: str, recipe: Collection[str]) -> bool:
    return key in recipe or key.split(".")[0].split("/")[0] in _SEARCH_ALONE


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
    if config.composite.file is not None and asked:
        raise XaipruneError(
            f"{asked[0]} chooses among a study's trials, composite.file is one; set one of them"
        )
