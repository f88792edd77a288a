"""The files in deploy/ are what their tools take, and ask of the server what there is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

yaml = pytest.importorskip("yaml", reason="needs the dev extra")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs the dev extra")

from facesketch.server.config import build_config  # noqa: E402

pytestmark = pytest.mark.dev

ROOT = Path(__file__).parents[2]
COMPOSE, KUBERNETES = ROOT / "deploy" / "compose.yaml", ROOT / "deploy" / "kubernetes.yaml"
VERSIONS = ("1.30", "1.37")
"""Kubernetes: the first that has all of this, and the newest whose schemas the package has."""

PARTS: list[dict[str, Any]] = list(yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8")))
SERVICES = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]


def part(kind: str) -> dict[str, Any]:
    (found,) = (each for each in PARTS if each["kind"] == kind)
    return found


def container() -> dict[str, Any]:
    (only,) = part("Deployment")["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", [each["kind"] for each in PARTS])
def test_kubernetes_takes_it(kind: str, version: str) -> None:
    kubernetes_validate.validate(part(kind), version, strict=True)


def test_a_field_that_there_is_not_would_be_found() -> None:
    wrong = part("Service") | {"spec": {"selektor": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_compose_takes_it(tmp_path: Path) -> None:
    assert checked(COMPOSE).returncode == 0, checked(COMPOSE).stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("expose:", "exposed:"), "utf-8")
    assert checked(wrong).returncode == 1


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    """Compare with the schema of the Compose Specification that comes with check-jsonschema."""
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=120, check=False
    )


def environments() -> Iterator[dict[str, str]]:
    yield {each["name"]: each.get("value", "a-long-secret") for each in container()["env"]}
    yield SERVICES["studio"]["environment"] | {"FACESKETCH_API_KEY": "a-long-secret"}


def test_every_variable_is_a_setting_of_the_server() -> None:
    for environment in environments():
        config = build_config({"host": "0.0.0.0"}, environment)  # noqa: S104  # as the container does
        assert all(name.removeprefix("FACESKETCH_").lower() in config.model_fields_set
                   for name in environment)  # fmt: skip
        assert (config.threads, config.proxies) == (2, 1)


def test_the_service_does_not_set_the_servers_port() -> None:
    assert part("Service")["metadata"]["name"] == "facesketch"  # Docker's links of old: NAME_PORT
    assert part("Deployment")["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_probes_ask_for_what_the_server_answers_without_a_key(client: FlaskClient) -> None:
    probes = [each for name, each in container().items() if name.endswith("Probe")]
    assert len(probes) == 3
    for probe in probes:
        elsewhere = {"REMOTE_ADDR": "10.1.2.3", "HTTP_HOST": "10.1.2.4:8000"}
        path = probe["httpGet"]["path"]
        assert client.get(path, environ_base=elsewhere).status_code == 200


def test_a_container_has_no_rights_that_it_does_not_need() -> None:
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    pod = part("Deployment")["spec"]["template"]["spec"]
    assert f"USER {pod['securityContext']['runAsUser']}" in docker
    assert pod["securityContext"]["runAsNonRoot"]
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    assert SERVICES["studio"]["read_only"]
    assert SERVICES["studio"]["cap_drop"] == ["ALL"]
