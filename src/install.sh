#!/bin/sh
# install.sh VENV LOCK: build VENV where it is missing and install LOCK and this project into it.
# Uses uv where it is on the PATH, else venv and pip. PYTHON names the interpreter.
set -eu
venv=$1 lock=$2

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 to 3.13 found${PYTHON:+ under PYTHON=$PYTHON}; install one, or name it: make PYTHON=/path/to/python3.12" >&2
    return 1
}

if ! [ -x "$venv/bin/python" ] || ! fits "$venv/bin/python"; then
    python=$(find_python)
    echo "building $venv with $("$python" --version)"
    rm -rf "$venv"
    if command -v uv >/dev/null; then uv venv -q --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"; else "$python" -m venv "$venv"; fi
fi
case $lock in # the sizes: of the wheels for Linux, Python 3.11
requirements.txt) what="TensorFlow for the processor" size="1 GB" ;;
*/jax.txt) what="JAX for the processor" size="0.4 GB" ;;
*/cuda.txt) what="TensorFlow with CUDA (GPU=0: without)" size="3.8 GB" ;;
*/jax-cuda.txt) what="JAX with CUDA (GPU=0: without)" size="3.6 GB" ;;
*/explore.txt) what="the explorer" size="0.1 GB" ;;
*/dev.txt) what="what the tests need" size="0.4 GB" ;;
esac
echo "installing $what into $venv from $lock: $size to download, a few minutes the first time"
if command -v uv >/dev/null; then
    # as pip does: where PYTHONDONTWRITEBYTECODE is set, every start would compile TensorFlow anew, for seconds
    uv pip install -q --compile-bytecode --python "$venv/bin/python" --require-hashes -r "$lock"
    uv pip install -q --python "$venv/bin/python" --no-deps -e .
else
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps -e .
fi
