"""``xaiprune dashboard``: optuna-dashboard on a study, with what it shows of each trial."""

from __future__ import annotations

import ipaddress
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import optuna

from xaiprune.cli.common.stored import stored_study
from xaiprune.config.tasks import DashboardConfig
from xaiprune.errors import XaipruneError
from xaiprune.storage import shown, storage_of, study_id
from xaiprune.study import is_ours, storage_url

if TYPE_CHECKING:
    from xaiprune.report.dashboard import Publisher

log = logging.getLogger(__name__)


def run(config: DashboardConfig) -> None:
    """Serve until Ctrl-C, with a note, the composite and a picture at each trial.

    These are written beside the study's trials, which stay as they are, and as files into the study's folder.

    Raises:
        XaipruneError: The ``dashboard`` extra is not installed, there is no such study, or the address
            cannot be listened on.
    """
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise XaipruneError(
            f"the dashboard is not installed ({error}); pip install 'xaiprune[dashboard]'"
        ) from error
    from xaiprune.report.dashboard import Publisher

    host, port = config.dashboard.host, config.dashboard.port
    with stored_study(config) as study:
        publisher = Publisher(study, Path(str(config.output_dir)).absolute())
        print(f"study      {study.study_name} in {shown(storage_url(config))}")
        print(f"files      {publisher.artifacts}")
        print(f"dashboard  {address(study, host, port)} (Ctrl-C ends it)", flush=True)
        if not is_loopback(host):
            print(f"warning    whoever reaches {host}:{port} can read and change every study in this storage")
        # What another program stored is shown as it is.
        with _ending_as_with_ctrl_c(), following(publisher) if is_ours(study) else nullcontext():
            try:
                run_server(storage_of(study), host=host, port=port, artifact_store=publisher.store)
            except OSError as error:
                raise XaipruneError(
                    f"dashboard.host={host} dashboard.port={port}: {error.strerror or error}; choose another"
                ) from error
            except KeyboardInterrupt:
                pass  # how one ends a server


@contextmanager
def _ending_as_with_ctrl_c() -> Iterator[None]:
    """SIGTERM, by which service managers end what they run, does what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def following(publisher: Publisher, every: float = 5.0) -> Iterator[None]:
    """Publish the study's trials in the background, also those that end while people look.

    Args:
        publisher: Writes what is missing.
        every: Seconds between two looks.
    """
    ended = Event()

    def follow() -> None:
        while True:
            try:
                for _ in publisher.publish():
                    if ended.is_set():
                        return
            except Exception as error:  # the server goes on: its numbers do not depend on this
                log.warning("notes and pictures of the trials: %s", error)
            if ended.wait(every):
                return

    thread = Thread(target=follow, name="publisher", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)


def address(study: optuna.Study, host: str, port: int) -> str:
    """The study's page."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/dashboard/studies/{study_id(study)}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: may lead anywhere
        return False
