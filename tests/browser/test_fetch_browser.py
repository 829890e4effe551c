from __future__ import annotations

import tarfile
from pathlib import Path

import fetch_browser
import pytest


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with no browser and an environment with no npm: with nothing but what the test puts into the folder `bin`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(fetch_browser, "PROGRAMS", programs)
    monkeypatch.delenv(fetch_browser.CHOSEN, raising=False)
    monkeypatch.setattr(fetch_browser, "HOME", tmp_path / ".browser")
    monkeypatch.setattr(fetch_browser, "FETCHED", tmp_path / ".browser" / "1")
    return programs


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_a_browser_it_is_said_what_to_do(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch_browser.main() == 1
    said = capsys.readouterr().err
    for way in ("`make install`", "`make browser`", "install Chromium or Chrome", "GENOPS_TEST_BROWSER"):
        assert way in said


def test_a_browser_of_the_machine_will_do(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(bare / "google-chrome", "exit 0")
    program(bare / "node", "exit 0")
    program(bare / "npm", "exit 7")
    assert fetch_browser.main() == 0
    assert fetch_browser.found() == (bare / "google-chrome", {})


def test_a_chosen_browser_goes_before_all_others(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(bare / "chromium", "exit 0")
    monkeypatch.setenv("GENOPS_TEST_BROWSER", "/bin/sh")
    assert fetch_browser.main() == 0
    assert fetch_browser.found()[0] == Path("/bin/sh")
    monkeypatch.setenv("GENOPS_TEST_BROWSER", "/nowhere/chromium")
    with pytest.raises(fetch_browser.NoBrowserError, match="which is no program"):
        fetch_browser.found()


def test_another_package_under_the_same_name_is_not_used(bare: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as package:
        package.add(__file__, "package/bin/chromium.br")
    program(bare / "node", "exit 0")
    program(bare / "npm", f"/bin/cp {tmp_path / 'other.tgz'} .")
    with pytest.raises(fetch_browser.NoBrowserError, match=r"npm brought another @sparticuz/chromium.*It was not used"):
        fetch_browser.fetch()
    assert not fetch_browser.FETCHED.exists()
    assert list(fetch_browser.HOME.iterdir()) == []


def test_what_npm_says_is_passed_on(bare: Path) -> None:
    program(bare / "node", "exit 0")
    program(bare / "npm", "echo 'no route to the registry' >&2; exit 7")
    with pytest.raises(fetch_browser.NoBrowserError, match="`npm pack` ended with 7: no route to the registry"):
        fetch_browser.fetch()


def test_npm_is_that_of_the_lock_whatever_the_machine_has(
    bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = tmp_path / "machine"
    machine.mkdir()
    program(machine / "npm", "echo 'the npm of the machine' >&2; exit 7")
    program(bare / "npm", "echo 'the npm of the lock' >&2; exit 7")
    monkeypatch.setenv("PATH", str(machine))
    with pytest.raises(fetch_browser.NoBrowserError, match="the npm of the lock"):
        fetch_browser.fetch()
