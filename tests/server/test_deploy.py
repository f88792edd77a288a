"""The files in deploy/ are what their tools take, and ask of the server what there is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

yaml = pytest.importorskip("yaml", reason="needs the dev extra")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs the dev extra")

from facesketch.server.config import ServerConfig, build_config  # noqa: E402
from facesketch.server.options import MAX_BATCH  # noqa: E402
from server_helpers import Server  # noqa: E402

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
def test_kubernetes_takes_every_part_of_its_file(kind: str, version: str) -> None:
    kubernetes_validate.validate(part(kind), version, strict=True)


def test_an_unknown_field_of_kubernetes_would_be_found() -> None:
    wrong = part("Service") | {"spec": {"selektor": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_compose_takes_its_file(tmp_path: Path) -> None:
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
    yield {each["name"]: each.get("value", "a-long-secret-key") for each in container()["env"]}
    yield SERVICES["studio"]["environment"] | {"FACESKETCH_API_KEY": "a-long-secret-key"}


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


def test_the_health_check_of_the_container_needs_no_proxy(serve: Callable[..., Server]) -> None:
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", docker, re.MULTILINE)
    assert found
    _, *arguments = json.loads(found[1])

    def check(port: int) -> int:
        variables = {"http_proxy": "http://127.0.0.1:9", "FACESKETCH_PORT": str(port)}
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, check=False, env=os.environ | variables, timeout=60
        ).returncode

    server = serve()
    assert check(server.port) == 0
    server.stop()
    assert check(server.port) == 1


def test_balancers_let_through_what_the_server_takes() -> None:
    config = ServerConfig()
    notes = part("Ingress")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/proxy-"
    for body, seconds in (
        (notes[f"{prefix}body-size"], notes[f"{prefix}read-timeout"]),
        (nginx("client_max_body_size"), nginx("proxy_read_timeout")),
    ):
        assert int(body.removesuffix("m")) << 20 >= config.max_upload_bytes
        assert int(seconds.removesuffix("s")) >= MAX_BATCH * config.time_limit_s
    assert nginx("listen") == SERVICES["balancer"]["ports"][0].rpartition(":")[2]


def test_balancers_put_no_picture_on_a_disk() -> None:
    notes = part("Ingress")["metadata"]["annotations"]
    assert notes["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert notes["nginx.ingress.kubernetes.io/proxy-request-buffering"] == "off"
    assert nginx("proxy_max_temp_file_size") == "0"
    buffered, taken = nginx("client_body_buffer_size"), nginx("client_max_body_size")
    assert int(buffered.removesuffix("m")) >= int(taken.removesuffix("m"))
    memory = SERVICES["balancer"]["deploy"]["resources"]["limits"]["memory"]
    most = int(nginx("limit_conn").removeprefix("uploads ")) * int(buffered.removesuffix("m"))
    assert most < int(memory.removesuffix("G")) << 10


def test_the_ingress_alone_reaches_the_pods() -> None:
    policy, labels = part("NetworkPolicy")["spec"], {"app.kubernetes.io/name": "facesketch"}
    assert policy["podSelector"]["matchLabels"] == labels
    assert part("Deployment")["spec"]["template"]["metadata"]["labels"] == labels
    (rule,) = policy["ingress"]
    (source,) = rule["from"]
    (namespace,) = source["namespaceSelector"]["matchLabels"].values()
    assert namespace == "ingress-nginx"


def nginx(setting: str) -> str:
    """Return what the balancer's one setting of this name is."""
    text = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["configs"]["nginx"]["content"]
    (value,) = re.findall(rf"\b{setting} ([^;]+);", text)
    return str(value)


def test_a_container_has_no_rights_that_it_does_not_need() -> None:
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    pod = part("Deployment")["spec"]["template"]["spec"]
    assert f"USER {pod['securityContext']['runAsUser']}" in docker
    assert pod["securityContext"]["runAsNonRoot"]
    assert container()["securityContext"]["readOnlyRootFilesystem"]
    for service in SERVICES.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["deploy"]["resources"]["limits"]["memory"]
    assert "unprivileged" in SERVICES["balancer"]["image"]
