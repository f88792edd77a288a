"""`make audit` fails where nothing was audited, and where a finding is not explained."""

from __future__ import annotations

from typing import Any

import pytest

from scripts import audit

SAFE: dict[str, Any] = {"name": "safe", "version": "1.0", "vulns": []}
SKIPPED: dict[str, Any] = {"name": "ours", "skip_reason": "not found"}
FOUND = SAFE | {"name": "holed", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}


@pytest.mark.parametrize("packages", [[], [SKIPPED]], ids=["nothing", "all left out"])
def test_a_run_that_audited_nothing_failed(
    packages: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.judge(packages) == 1
    assert capsys.readouterr().err.startswith("No package was audited: ")


def test_what_was_left_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.judge([SAFE, SKIPPED]) == 0
    assert capsys.readouterr().out == "1 packages were audited; not ours.\n"


def test_a_finding_fails_until_it_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert audit.judge([SAFE, FOUND]) == 1
    assert "holed 1.0: PYSEC-1: NOT EXPLAINED; fixed in 1.1" in capsys.readouterr().out
    monkeypatch.setitem(audit.EXPLAINED, "PYSEC-1", "only its server is concerned, unused here")
    assert audit.judge([SAFE, FOUND]) == 0
    assert "only its server is concerned" in capsys.readouterr().out
