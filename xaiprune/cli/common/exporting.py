"""What recipes lead to, for `export`: code for zennit, plan, smaller network, ONNX. All open the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import optuna

from xaiprune.attribution.lrp import zennit_code
from xaiprune.cli.common.hub import for_hub
from xaiprune.cli.common.pruning import configured_plan, saved
from xaiprune.cli.common.study_setup import as_searched, require_same
from xaiprune.config import current_command_line, overridden_keys, provenance_of, use_recipe
from xaiprune.config.tasks import ExportConfig
from xaiprune.errors import XaipruneError
from xaiprune.files import replacing
from xaiprune.pruning import check_folder
from xaiprune.recipe import complete_prune, configured_recipe
from xaiprune.session import PruningSession, apply_and_measure, open_session
from xaiprune.study import notes_of


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
    for target in _network_folders(config, files, folder):
        check_folder(target)  # before the work
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


def _network_folders(config: ExportConfig, files: Mapping[str, Path], folder: Path) -> list[Path]:
    """Where smaller networks will be written.

    Raises:
        XaipruneError: Several would go into one folder.
    """
    settings = config.export
    if settings.hub is not None:
        if len(files) > 1:
            raise XaipruneError(
                f"export.hub={settings.hub} is the folder of one network, {len(files)} recipes are exported; "
                "leave out export.top and export.front, or set export.trial"
            )
        return [Path(settings.hub).expanduser().absolute()]
    if settings.pruned or settings.onnx:
        return [folder / f"{stem}-pruned" for stem in files]
    return []


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
    folders = _network_folders(config, {target.name: path}, target.parent)
    if not (settings.plan or folders):
        return
    planned = configured_plan(config, session)
    plan, _ = planned
    if expected not in (None, plan.hash):
        print(f"note        trial and file remove different units at rate {plan.rate:g}: sums differ here")
    if settings.plan:
        plan.save(target.with_suffix(".plan.json"))
        print(f"plan        {target.with_suffix('.plan.json')}")
    for folder in folders:
        outcome = apply_and_measure(session, *planned)
        about = {} if settings.hub is None else for_hub(config, session, path)
        for line in saved(config, session, outcome, folder, onnx=settings.onnx, **about):
            print(line)
