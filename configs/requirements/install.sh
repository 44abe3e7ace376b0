#!/bin/sh
# install.sh VENV REQUIREMENTS: build the environment VENV if there is none, and install the requirements file into it.
# Ends at once if that is done. Uses uv if it is on the PATH, else venv and pip. PYTHON names the interpreter.
#
# VENV/installed-* hold the checksums of what was installed, VENV/folder the folder that `activate` names.
set -eu
venv=$1 requirements=$2
name=${requirements##*/}
name=${name%.txt}
stamp=$venv/installed-$name
checksum=$(cat "$0" "$requirements" | cksum)
folder=$(pwd -P)

holds() {
    [ "$(cat "$1" 2>/dev/null)" = "$2" ]
}

is_current() {
    [ -x "$venv/bin/python" ] && holds "$stamp" "$checksum" && holds "$venv/folder" "$folder"
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

is_usable() { # without any stamp, its first installation did not end: it may lack anything
    ls "$venv"/installed* >/dev/null 2>&1 && fits "$venv/bin/python"
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

wait_for_others() { # The lock is this file, opened as 9: it is free when this process and what it started have ended.
    if is_usable; then python=$venv/bin/python; else python=$(find_python); fi
    exec 9<"$0"
    "$python" -c '
import fcntl
try:
    fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waiting for another make, which is installing", flush=True)
    fcntl.flock(0, fcntl.LOCK_EX)' <&9
}

build() {
    python=$(find_python)
    echo "building $venv with $("$python" --version)"
    rm -rf "$venv"
    if command -v uv >/dev/null; then
        uv venv -q --python "$("$python" -c 'import sys; print(sys.executable)')" "$venv"
    else
        "$python" -m venv "$venv"
    fi
}

install() {
    hashes=--require-hashes
    case $name in # the sizes: of the wheels for Linux, Python 3.11
    requirements) what="TensorFlow for the processor" size="1 GB" ;;
    jax) what="JAX for the processor" size="0.4 GB" ;;
    cuda) what="TensorFlow with CUDA (GPU=0: without)" size="3.8 GB" ;;
    jax-cuda) what="JAX with CUDA (GPU=0: without)" size="3.6 GB" ;;
    explore) what="the explorer" size="0.1 GB" ;;
    dev) what="what the tests need" size="0.4 GB" ;;
    kaggle-image) what="what Kaggle's image has" size="1 GB" hashes= ;;
    esac
    echo "installing $what into $venv from $requirements: $size to download, a few minutes the first time"
    if command -v uv >/dev/null; then
        # as pip does: if PYTHONDONTWRITEBYTECODE is set, every start would compile TensorFlow anew, for seconds
        uv pip install -q --compile-bytecode --python "$venv/bin/python" $hashes -r "$requirements"
    else
        "$venv/bin/python" -m pip install -q --disable-pip-version-check $hashes -r "$requirements"
    fi
}

find_source() { # a relative path, so that a moved or copied project runs its own code
    for packages in "$venv"/lib/python3*/site-packages; do
        rm -f "$packages"/__editable__.digits-*.pth # of an earlier version: the absolute path
        echo ../../../../src >"$packages/digits.pth"
    done
}

relocate_scripts() { # They name their Python by its absolute path: after a move another one's, or none.
    "$venv/bin/python" - <<'END'
import re, sys, venv
from pathlib import Path

absolute = re.compile(rb"""\A#!(/.*/python[\d.]*|/bin/sh\n'''exec' ['"]?/.*/python[\d.]*['"]? "\$0" "\$@"\n' ''')\n""")
relative = b"""#!/bin/sh\n'''exec' "$(dirname "$0")/python" "$0" "$@"\n' '''\n"""
for script in Path(sys.prefix, "bin").iterdir():
    text = script.read_bytes() if script.is_file() else b""
    if absolute.match(text):
        script.write_bytes(absolute.sub(relative, text))
builder = venv.EnvBuilder()
builder.setup_scripts(builder.ensure_directories(sys.prefix))  # activate
END
}

if is_current; then exit; fi
wait_for_others
is_usable || build
if ! holds "$stamp" "$checksum"; then
    [ ! -e "$stamp" ] || : >"$stamp" # until this has ended
    install
    [ "$name" = kaggle-image ] || find_source # the kernel's one file is all that Kaggle has
fi
relocate_scripts
echo "$folder" >"$venv/folder"
echo "$checksum" >"$stamp"
