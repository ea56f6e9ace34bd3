"""``xaiprune dashboard``: optuna-dashboard on a study's storage."""

from __future__ import annotations

import ipaddress

import optuna

from xaiprune.cli.stored import stored_study
from xaiprune.config.tasks import DashboardConfig
from xaiprune.errors import XaipruneError
from xaiprune.search import storage_url
from xaiprune.search.urls import shown


def run(config: DashboardConfig) -> None:
    """Serve until Ctrl-C; nothing is written to the study.

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
    host, port = config.dashboard.host, config.dashboard.port
    with stored_study(config) as study:
        print(f"study      {study.study_name} in {shown(storage_url(config))}")
        print(f"dashboard  {address(study, host, port)} (Ctrl-C ends it)", flush=True)
        if not is_loopback(host):
            print(f"warning    whoever reaches {host}:{port} can read and change every study in this storage")
        try:
            run_server(study._storage, host=host, port=port)  # Optuna has no public way to a study's storage
        except OSError as error:
            raise XaipruneError(
                f"dashboard.host={host} dashboard.port={port}: {error.strerror or error}; choose another"
            ) from error
        except KeyboardInterrupt:
            pass  # how one ends a server


def address(study: optuna.Study, host: str, port: int) -> str:
    """The study's page."""
    number = study._storage.get_study_id_from_name(study.study_name)
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/dashboard/studies/{number}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: may lead anywhere
        return False
