"""Many pictures over a Ray cluster: Ray Data deals them out to processes on its machines.

Every machine has facesketch, and the same files under the same paths.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facesketch.convert.all_cores import CHUNK_SIZE, Settings, convert_chunk
from facesketch.convert.plan import Targets
from facesketch.convert.task import Task
from facesketch.errors import DataError, FacesketchError, MissingExtraError, UsageError
from facesketch.parallel import in_chunks
from facesketch.sessions import PROVIDERS, provider_name
from facesketch.translator import Translator

NUM_CHUNKS = 1000  # of one data set: what this process holds does not grow with the pictures


def convert_on_ray(
    jobs: Mapping[Path, Targets],
    settings: Settings,
    address: str,
    *,
    num_workers: int | None = None,
) -> Generator[Task]:
    """Convert pictures on a cluster; one that fails stops no other.

    A machine that is lost is no end: what it was at is done again by others.

    Args:
        jobs: The pictures and where their results go, from `plan_jobs`.
        settings: What is done with them.
        address: The cluster's head, host:port, or "auto" on one of its machines.
        num_workers: Processes, each with one core; None takes all cores of the cluster.

    Yields:
        Each picture's task, in no set order, when its results are written or it has failed.

    Raises:
        MissingExtraError: If Ray is not installed.
        UsageError: If no cluster answers, or the device or the style is not there.
        DataError: If the cluster, or a network on it, fails.
    """
    # What is wrong with the request is said here; the device is a matter of the other machines.
    Translator(settings.weights, style=settings.style)
    needs_gpu = provider_name(settings.device) == PROVIDERS["cuda"]
    with _connected(address) as (ray_data, all_cores):
        num_cores = num_workers or all_cores
        chunks = in_chunks(jobs.items(), min(CHUNK_SIZE, -(-len(jobs) // num_cores)))
        for some in in_chunks(chunks, NUM_CHUNKS):
            rows = [{"jobs": pickle.dumps(chunk)} for chunk in some]
            converted = ray_data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _convert_there,
                fn_args=(settings, Path.cwd()),
                batch_size=1,
                num_cpus=1,
                num_gpus=1 if needs_gpu else None,
                compute=ray_data.TaskPoolStrategy(num_workers),
            )
            for row in converted.iter_rows():
                tasks = pickle.loads(row["tasks"])  # noqa: S301  # from our own processes
                if isinstance(tasks, FacesketchError):
                    raise tasks
                yield from tasks


@contextmanager
def _connected(address: str) -> Iterator[tuple[Any, int]]:
    """Be on a cluster, quietly; yields the module ray.data, which is an extra, and its cores.

    Raises:
        MissingExtraError: If Ray is not installed.
        UsageError: If no cluster answers.
        DataError: If the cluster fails meanwhile.
    """
    try:
        import ray.data  # noqa: PLC0415
        from ray.exceptions import RayError  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("--ray", "ray") from error
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address}; start one with  ray start --head  and give its "
            "host:port."
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray.data, max(1, int(ray.cluster_resources()["CPU"]))
    except RayError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise DataError(
            f"the Ray cluster at {address} failed ({reason}); see to it and run the same command "
            "again."
        ) from error
    finally:
        ray.shutdown()


def _convert_there(
    batch: Mapping[str, Any], settings: Settings, working_folder: Path
) -> dict[str, list[bytes]]:
    """Convert one chunk on some machine; what ends the whole request comes in place of tasks."""
    tasks: list[Task] | FacesketchError
    try:
        os.chdir(working_folder)  # paths may be relative to it
        (chunk,) = map(pickle.loads, batch["jobs"])
        tasks = convert_chunk(chunk, settings=settings, num_threads=1)
    except FacesketchError as error:
        tasks = DataError(str(error))  # not every kind can be pickled
    except OSError as error:
        tasks = DataError(
            f"{working_folder} cannot be entered on {os.uname().nodename} ({error.strerror}); all "
            "machines of the cluster need the same files under the same paths."
        )
    return {"tasks": [pickle.dumps(tasks)]}
