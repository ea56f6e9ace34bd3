"""``xaiprune dashboard``: what it hands to optuna-dashboard, whose server would not return."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from types import ModuleType, SimpleNamespace

import pytest

from tests.browser import chromium
from xaiprune.cli import dashboard
from xaiprune.config import compose
from xaiprune.errors import XaipruneError


def run(*overrides: str) -> None:
    dashboard.run(compose("dashboard", ["study.name=one", *overrides]))


@pytest.fixture
def served(monkeypatch):
    """Stands in for optuna-dashboard: collects what is served, and raises ``served.raises``."""
    seen = SimpleNamespace(calls=[], raises=None)

    def run_server(storage, host, port, artifact_store):
        seen.calls.append((storage, host, port))
        assert artifact_store is not None
        if seen.raises is not None:
            raise seen.raises

    module = ModuleType("optuna_dashboard")
    module.run_server = run_server
    monkeypatch.setitem(sys.modules, "optuna_dashboard", module)
    monkeypatch.setattr("xaiprune.report.dashboard.Publisher.publish", lambda _: iter(()))
    return seen


def test_without_the_extra(make_study, monkeypatch):
    make_study("one")
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(XaipruneError, match=r"pip install 'xaiprune\[dashboard\]'"):
        run()


def test_serves_the_studys_storage_on_loopback(make_study, served, capsys):
    study = make_study("one", ("taylor", 0.9, "a"))
    before = (study.user_attrs, len(study.trials))
    run()
    ((storage, host, port),) = served.calls
    assert [found.study_name for found in storage.get_all_studies()] == ["one"]
    assert (host, port) == ("127.0.0.1", 8080)
    shown = capsys.readouterr().out
    assert "http://127.0.0.1:8080/dashboard/studies/1 " in shown
    assert "warning" not in shown
    assert (study.user_attrs, len(study.trials)) == before


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "http://0.0.0.0:9000/"), ("::", "http://[::]:9000/"), ("box", "http://box:9000/")],
)
def test_other_addresses_are_warned_of(make_study, served, capsys, host, shown):
    make_study("one")
    run(f"dashboard.host='{host}'", "dashboard.port=9000")
    assert served.calls[0][1:] == (host, 9000)
    printed = capsys.readouterr().out
    assert shown in printed
    assert "can read and change every study" in printed


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_loopback(host):
    assert dashboard.is_loopback(host)


def test_an_address_that_is_taken(make_study, served):
    make_study("one")
    served.raises = OSError(98, "Address already in use")
    with pytest.raises(XaipruneError, match=r"dashboard\.port=8080: Address already in use; choose another"):
        run()


def test_ctrl_c_is_a_good_end(make_study, served):
    make_study("one")
    served.raises = KeyboardInterrupt()
    run()


def test_no_such_study(make_study, served):
    make_study("one")
    with pytest.raises(XaipruneError, match=r"two\.db does not exist"):
        run("study.name=two")
    assert not served.calls


@pytest.mark.xdist_group("browser")
def test_in_a_real_browser(searched, tmp_path):
    """The study opens, and a trial's page shows its composite and its picture."""
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    port = _free_port()
    command = [sys.executable, "-m", "xaiprune.cli", "dashboard", "study.name=one", f"dashboard.port={port}"]
    server = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        shown = _read_until(server, "dashboard  ")
        address = re.search(r"http://127\.0\.0\.1:\d+/dashboard/studies/1", shown).group()
        _wait_for_artifacts(f"http://127.0.0.1:{port}/api/studies/1", trial=0)
        with chromium() as browser:
            browser.open(address)
            browser.wait("document.body.innerText.includes('top1_at_rate (rate 0.4)')")
            browser.open(f"{address}/trials?numbers=0")
            browser.wait("document.body.innerText.includes('Trial 0: preset auto')")
            browser.wait("[...document.images].some(i => i.complete && i.naturalWidth > 500)")
            page = browser.run("return document.body.innerText")
            for text in ("rule: epsilon", "trial-0.yaml", "trial-0.png", "95 % interval", "top-1"):
                assert text in page
            assert not [line for line in browser.complaints() if "artifacts" in line]
    finally:
        server.send_signal(signal.SIGTERM)  # who runs in the background may be deaf to SIGINT
        assert server.wait(timeout=60) == 0


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _read_until(server, start):
    for line in server.stdout:
        if line.startswith(start):
            return line
    raise AssertionError("the server ended")


def _wait_for_artifacts(url, trial):
    """The newest trials come first; a page that is open does not look for files again."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=60) as answer:  # it is not up yet
            if len(json.load(answer)["trials"][trial]["artifacts"]) == 2:
                return
        time.sleep(0.5)
    raise AssertionError("no artifacts")
