"""`facesketch convert --ray` and the studio in Ray Serve, on two nodes on this machine."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from facesketch.convert.all_cores import Settings, convert_all
from facesketch.convert.plan import plan_jobs
from server_helpers import encoded
from train_helpers import contents_of, free_port, write_photos

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("work_here"),
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray: make test-ray"),
    pytest.mark.filterwarnings("default"),  # Ray's own
]

ROOT = Path(__file__).parents[2]
STUDIO = ROOT / "deploy" / "ray.yaml"
PORT = free_port()
KEY = "a-long-secret-key"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each, as two machines would be."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as environment:
        # Ray's workers give way to all else; these should not wait for other tests.
        environment.setenv("RAY_worker_niceness", "0")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        nodes.add_node(num_cpus=1)
        yield nodes
        nodes.shutdown()


def command(cluster: Any, *options: object) -> list[str]:
    start = [sys.executable, "-m", "facesketch", "convert", "in", "-o", "out", "--to", "sketch"]
    return [*start, "--ray", str(cluster.address), *map(str, options)]


def run(cluster: Any, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(cluster, *options), capture_output=True, text=True, check=False, timeout=300
    )


def test_a_cluster_makes_what_one_machine_makes(cluster: Any, weights_dir: Path) -> None:
    write_photos("in", 70)
    Path("in/040.png").write_text("no picture")
    done = run(cluster, "--weights", weights_dir)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("70 pictures: 69 drawn as sketches")
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("facesketch: in/040.png is not a picture")
    plan = plan_jobs(["in"], direction="photo2sketch", output=Path("here"))
    list(convert_all(plan.jobs, Settings(weights_dir), num_workers=1))
    assert contents_of("out") == contents_of("here")

    Path("out/010.png").unlink()  # only what is missing is made
    Path("in/040.png").unlink()
    again = run(cluster, "--weights", weights_dir)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("69 pictures: 1 drawn as sketches")
    assert "68 skipped" in again.stdout


def test_what_fails_on_another_machine_is_one_sentence(cluster: Any, weights_dir: Path) -> None:
    write_photos("in", 2)
    done = run(cluster, "--weights", weights_dir, "--device", "coreml")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "coreml" in line


def test_others_do_what_a_lost_machine_was_at(cluster: Any) -> None:
    write_photos("in", 150, (256, 256))
    doomed = cluster.add_node(num_cpus=1)
    converting = subprocess.Popen(
        command(cluster), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(list(Path().glob("out/*.png"))) < 6:
        assert converting.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    cluster.remove_node(doomed, allow_graceful=False)
    output, errors = converting.communicate(timeout=300)
    assert converting.returncode == 0, errors
    assert "150 pictures: 150 drawn as sketches" in output  # Ray tells of the loss before
    assert sorted(contents_of("out")) == sorted(contents_of("in"))


def test_the_studio_answers_from_two_nodes(cluster: Any) -> None:
    deploy(cluster)
    body = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    status, answer = ask("/api/v1/convert", body + encoded() + b"\r\n--b--\r\n")
    assert (status, answer[:4]) == (200, b"\x89PNG")
    status, answer = ask("/api/v1/convert", body + b"no picture\r\n--b--\r\n")
    assert (status, b"not a picture" in answer) == (415, True)
    assert b"<title>" in ask("/")[1]
    elsewhere = f"{cluster.head_node.node_ip_address}:{PORT}"
    form = body + encoded() + b"\r\n--b--\r\n"
    assert ask("/api/v1/convert", form, elsewhere)[0] == 401
    assert ask("/api/v1/convert", form, elsewhere, Authorization=f"Bearer {KEY}")[0] == 200


def test_headers_with_underscores_are_not_taken_for_those_with_dashes() -> None:
    from facesketch.server.on_ray import DashedHeaders  # noqa: PLC0415

    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [b"seen"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(_message: dict[str, Any]) -> None:
        pass

    headers = [(b"x-forwarded-for", b"203.0.113.9"), (b"x_forwarded_for", b"127.0.0.1")]
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/"}
    scope |= {"query_string": b"", "headers": headers}
    asyncio.run(DashedHeaders(application)(scope, receive, send))
    assert seen["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"


def deploy(cluster: Any) -> None:
    """Deploy the file of the repository, where other machines may try to come in."""
    file = Path("ray.yaml")
    text = STUDIO.read_text(encoding="utf-8").replace("8000", str(PORT))
    text = text.replace("host: 127.0.0.1", "host: 0.0.0.0")
    secret = f"runtime_env: {{ env_vars: {{ FACESKETCH_API_KEY: {KEY} }} }}"
    file.write_text(text.replace("route_prefix: /", f"route_prefix: /\n    {secret}"), "utf-8")
    serve = [sys.executable, "-m", "ray.serve.scripts"]
    address = ["--address", str(cluster.address)]
    subprocess.run(
        [*serve, "run", "--non-blocking", *address, file],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while ask("/readyz")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ask(
    path: str, body: bytes | None = None, host: str = f"127.0.0.1:{PORT}", **headers: str
) -> tuple[int, bytes]:
    """Status and body; status 0 where nobody answers."""
    headers |= {"Content-Type": "multipart/form-data; boundary=b"}
    request = urllib.request.Request(f"http://{host}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""
