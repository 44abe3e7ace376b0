"""How TensorFlow is started: quietly, deterministic, with the config's number of threads."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib

from digits.errors import UserError, plain


def load() -> None:
    """Import TensorFlow and Keras without what they say to that."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _without_greeting():
        import keras  # noqa: F401  # it brings TensorFlow along


def start(threads: int) -> None:
    """Import TensorFlow and give it `threads` threads in this process.

    The number decides how sums are split, and so the last bits of every weight: it is a setting of the
    config, never the number of cores.

    Raises:
        UserError: TensorFlow already runs in this process with another number.
    """
    load()
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        raise UserError(f"training.threads {threads}: TensorFlow already runs with another number") from None
    tf.config.experimental.enable_op_determinism()


def room_for(threads: int) -> int:
    """How many networks of `threads` threads each the cores of this machine hold at a time."""
    return max(1, joblib.cpu_count() // threads)


def resolve_precision(precision: str) -> str:
    """`auto` as what is fastest here: a 16-bit type where the hardware multiplies it, else float32."""
    import tensorflow as tf

    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        major = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))[0]
        return "mixed_bfloat16" if major >= 8 else "mixed_float16" if major >= 7 else "float32"
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Hold back what TensorFlow's libraries log while they load, which no setting of theirs can stop.

    It is shown after all where loading fails, unless for too little memory, of which a line tells all.
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
