"""Choose and start Keras' backend: quietly, deterministic, with the config's number of threads."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import joblib

from digits.errors import UserError, plain

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}  # by Keras' names; the first that is installed is the default
JAX_THREADS = "DIGITS_JAX_THREADS"  # set once JAX's environment is
# Packages whose versions decide a result: of each backend, and of both.
PACKAGES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}
RECORDED = ("keras", "numpy", "albumentations", "opencv-python-headless", "scikit-learn")
UNDETERMINED = "DIGITS_NONDETERMINISTIC"  # set where an accelerator cannot compute deterministically
CPUINFO = Path("/proc/cpuinfo")


def name() -> str:
    """Keras backend of this process: KERAS_BACKEND, else TensorFlow where it is installed, else JAX.

    Raises:
        UserError: it is none that this project trains with, or it is not installed.
    """
    asked = os.environ.get("KERAS_BACKEND")
    if asked and asked not in BACKENDS:
        raise UserError(f"KERAS_BACKEND={asked}: choose {' or '.join(BACKENDS)} (make BACKEND=...)")
    installed = [backend for backend in BACKENDS if importlib.util.find_spec(backend)]
    if not installed:
        raise UserError("neither TensorFlow nor JAX is installed here; install one: make")
    if asked and asked not in installed:
        raise UserError(f"{BACKENDS[asked]} is not installed here; install it: make BACKEND={asked} ...")
    return asked or installed[0]


def load() -> None:
    """Import Keras with its backend, without what they print.

    Raises:
        UserError: see `name`.
    """
    os.environ["KERAS_BACKEND"] = name()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "avx2" in _cpu_flags():
        # by itself TensorFlow does so only where there is AVX512-VNNI or better; docs/speed-and-scale.md has the gain
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # several processes may share a GPU, so that none takes all of its memory at once
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with _hidden_stderr():
        import keras  # noqa: F401  # it brings the backend along


def start(threads: int) -> None:
    """Import Keras and give its backend `threads` threads in this process.

    The number decides how sums are split, and so the last bits of every weight: it is a setting of the
    config, never the number of cores.

    Raises:
        UserError: the backend already runs in this process with another number, or see `name`.
    """
    if name() == "jax":
        _start_jax(threads)
    else:
        _start_tensorflow(threads)


def _start_tensorflow(threads: int) -> None:
    load()
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        raise UserError(f"training.threads {threads}: TensorFlow already runs with another number") from None
    if is_deterministic():
        tf.config.experimental.enable_op_determinism()


def _start_jax(threads: int) -> None:
    """JAX reads its number of threads and XLA's flags from the environment, once."""
    if os.environ.get(JAX_THREADS) != str(threads):
        if "jax" in sys.modules:
            raise UserError(f"training.threads {threads}: JAX already runs with another number")
        os.environ[JAX_THREADS] = str(threads)
        flags = [os.environ.get("XLA_FLAGS", ""), f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()}"]
        if is_deterministic():
            flags.append("--xla_gpu_deterministic_ops=true")
        os.environ.update(NPROC=str(threads), XLA_FLAGS=" ".join(flags).strip())
    load()


def room_for(threads: int) -> int:
    """Networks of `threads` threads each that the cores of this machine hold at a time."""
    return max(1, joblib.cpu_count() // threads)


def resolve_precision(precision: str) -> str:
    """Replace `auto` by what is fastest here: a 16-bit type where the hardware multiplies it, else float32."""
    if precision != "auto":
        return precision
    if gpu := _gpu():
        _, capability = gpu
        return "mixed_bfloat16" if capability >= 8 else "mixed_float16" if capability >= 7 else "float32"
    sixteen_bits = {"avx512_bf16", "amx_bf16"} & _cpu_flags() and name() == "tensorflow"  # XLA has no such kernels
    return "mixed_bfloat16" if sixteen_bits else "float32"


def device() -> str | None:
    """Name of the GPU that this process computes on; None where it is the processor."""
    gpu = _gpu()
    return gpu[0] if gpu else None


def is_deterministic() -> bool:
    """The same training gives the same bytes again on this machine."""
    return UNDETERMINED not in os.environ


def _gpu() -> tuple[str, float] | None:
    """Name and NVIDIA's compute capability, such as 8.6, of the first GPU; None without a GPU."""
    if name() == "jax":
        import jax

        first = jax.devices()[0]
        return (first.device_kind, float(first.compute_capability)) if first.platform == "gpu" else None
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    details = tf.config.experimental.get_device_details(gpus[0])
    major, minor = details.get("compute_capability", (0, 0))
    return details.get("device_name", "GPU"), major + minor / 10


@contextmanager
def _hidden_stderr() -> Iterator[None]:
    """Hold back what the backend's libraries log while they load, which no setting of theirs can stop.

    It is shown after all where loading fails, unless for too little memory, for which one line is enough.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if plain(error) is None:
                held.seek(0)
                os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def versions() -> dict[str, str]:
    """Installed version of every package that decides a result; of the backends the one in use."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES[name()], *RECORDED):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def machine() -> dict[str, Any]:
    """System, processor and cores of this machine; `onednn`: TensorFlow computes with it."""
    facts = {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()}
    if name() == "tensorflow":
        facts["onednn"] = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0" and "avx2" in _cpu_flags()
    return facts


def processor() -> str:
    """Model name of the processor, where the system knows it."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_flags() -> set[str]:
    """Instruction sets of the processor, as Linux names them; empty elsewhere."""
    return set(CPUINFO.read_text().split()) if CPUINFO.exists() else set()
