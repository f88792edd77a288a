"""What runs a generator's file: ONNX Runtime, or OpenVINO with the extra `fast`."""

from __future__ import annotations

import importlib.util
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facesketch.cpu import gains_by_bfloat16
from facesketch.errors import MissingExtraError, UsageError, WeightsError
from facesketch.onnx_runtime import ort, session_options
from facesketch.parallel import num_cores
from facesketch.weights_check import read_checked
from facesketch.weights_info import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, int8_path

if TYPE_CHECKING:
    from facesketch.images import Float32Array

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
"""Device names and the ONNX Runtime execution providers they stand for."""

OPENVINO = "openvino"
"""The device name that is none of ONNX Runtime's."""

NO_DEVICES = frozenset({"AzureExecutionProvider"})
"""Providers that run a model elsewhere, not on a device here."""


class Session(Protocol):
    """One loaded network; several threads may call it at once."""

    metadata: dict[str, str]

    def run(self, batch: Float32Array) -> Float32Array:
        """Translate (B, C, H, W) in [-1, 1] to (B, C', H, W) in [-1, 1], both float32."""
        ...

    def release(self, batch: Float32Array) -> None:
        """Let go of what the largest run took, 230 MB after one of 1 MP; runs a small batch."""
        ...


def provider_name(device: str) -> str:
    """Return what ONNX Runtime calls a device, whether it is there or not; else the name itself."""
    name = PROVIDERS.get(device.lower(), device)
    return next((known for known in PROVIDERS.values() if known.lower() == name.lower()), name)


def find_provider(device: str) -> str:
    """Name what runs on a device, if it is there: no silent fallback.

    Returns:
        `OPENVINO`, or the name of an ONNX Runtime provider.

    Raises:
        MissingExtraError: If OpenVINO is wanted and not installed.
        UsageError: If ONNX Runtime cannot use the device here.
    """
    if device.lower() == OPENVINO:
        if sys.modules.get(OPENVINO) is None and not _is_installed(OPENVINO):
            raise MissingExtraError("device openvino", "fast")
        return OPENVINO
    available: list[str] = [
        name for name in ort.get_available_providers() if name not in NO_DEVICES
    ]
    wanted = provider_name(device).lower()
    for provider in available:
        if provider.lower() == wanted:
            return provider
    short = {provider: name for name, provider in PROVIDERS.items()}
    raise UsageError(
        f"device {device!r} is not there: this ONNX Runtime has "
        f"{', '.join(short.get(name, name) for name in available)}; choose one of these or install "
        "the onnxruntime build for the device."
    )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # None in sys.modules: somebody has forbidden it
        return False


def file_for(path: Path, provider: str) -> Path:
    """Return what is loaded of a generator: OpenVINO takes the int8 file, where there is one.

    Args:
        path: The exported file.
        provider: What `find_provider` returned.
    """
    int8 = int8_path(path)
    return int8 if provider == OPENVINO and int8.is_file() else path


def open_session(path: Path, provider: str, num_threads: int | None) -> Session:
    """Load a generator.

    Args:
        path: What `file_for` returned.
        provider: What `find_provider` returned.
        num_threads: CPU threads of one call; None takes all cores that this process may use.

    Raises:
        UsageError: If the device cannot be started.
        WeightsError: If the file is broken, or none that may be loaded.
    """
    if provider == OPENVINO:
        return _OpenVinoSession(path, num_threads)
    return _OnnxSession(path, provider, num_threads)


class _OnnxSession:
    def __init__(self, path: Path, provider: str, num_threads: int | None) -> None:
        options = session_options(num_threads)
        # Idle threads that spin would take the cores from those that decode and encode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        is_directml = provider == PROVIDERS["directml"]
        options.enable_mem_pattern = not is_directml  # not supported there
        data = read_checked(path)
        try:
            self._session = ort.InferenceSession(data, options, providers=[provider])
            self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise WeightsError(f"{path} cannot be loaded: {first_line(error)}") from error
        if provider not in self._session.get_providers():
            raise UsageError(
                f"{provider} could not be started; check its driver or use --device cpu."
            )
        # DirectML sessions take one call at a time; the others may be shared.
        self._turn = threading.Lock() if is_directml else nullcontext()
        self._releasing = ort.RunOptions()
        if provider == PROVIDERS["cpu"]:
            self._releasing.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, batch: Float32Array) -> Float32Array:
        with self._turn:
            (translated,) = self._session.run([OUTPUT_NAME], {INPUT_NAME: batch})
        result: Float32Array = translated
        return result

    def release(self, batch: Float32Array) -> None:
        # ONNX Runtime hands memory back at the end of a run alone. To ask for it in every run would
        # take a sixth of the time of large pictures.
        with self._turn:
            self._session.run([OUTPUT_NAME], {INPUT_NAME: batch}, self._releasing)


class _OpenVinoSession:
    """A compiled model and its idle requests: as many as calls have ever run at once.

    Heights and widths stay open. The first picture of a new shape takes a few milliseconds longer;
    OpenVINO keeps what it compiled in a cache of limited size.
    """

    def __init__(self, path: Path, num_threads: int | None) -> None:
        openvino = _import_openvino()
        threads = num_threads or num_cores()
        streams = max(1, num_cores() // threads)  # calls that run at once, each on `threads`
        settings = {
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams * threads,
            "ENABLE_CPU_PINNING": False,  # other programs and our own threads use these cores too
            "INFERENCE_PRECISION_HINT": "bf16" if gains_by_bfloat16() else "f32",
        }
        data = read_checked(path)
        try:
            model = openvino.Core().read_model(data)
            self._compiled = openvino.compile_model(model, "CPU", settings)
        except Exception as error:  # OpenVINO's errors are plain RuntimeErrors
            raise WeightsError(f"{path} cannot be loaded: {first_line(error)}") from error
        key = ["framework", METADATA_KEY]
        self.metadata = (
            {METADATA_KEY: str(model.get_rt_info(key).value)} if model.has_rt_info(key) else {}
        )
        self._idle: list[Any] = []

    def run(self, batch: Float32Array) -> Float32Array:
        try:
            request = self._idle.pop()  # atomic, as is append
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            result: Float32Array = request.infer([batch])[0].copy()  # the request is used again
        finally:
            self._idle.append(request)
        return result

    def release(self, batch: Float32Array) -> None:  # noqa: ARG002
        self._idle.clear()  # OpenVINO's own release_memory() fails where a request is under way


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report each import to its maker.

    It does without the package `openvino_telemetry` where that cannot be imported.
    """
    name = "openvino_telemetry"
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino  # noqa: PLC0415
    finally:
        if hidden:
            del sys.modules[name]
    return openvino


def first_line(error: Exception) -> str:
    """Return what an error of a library says, without where it was raised."""
    return str(error).strip().partition("\n")[0]
