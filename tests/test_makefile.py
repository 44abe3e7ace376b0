"""Which environment `make` builds, where there is a GPU and where there is none, and what it tells its commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from command import ROOT
from tools import licences

CPU, JAX, CUDA, JAX_CUDA = licences.ENVIRONMENTS
TOOLS = ("make", "sh", "cat", "chmod", "echo", "env", "grep", "mkdir", "rm", "touch")
# Not passed on from what runs the tests, such as `make test`.
VARIABLES = (
    *("BACKEND", "CUDA_VISIBLE_DEVICES", "GPU", "JAX_PLATFORMS", "KERAS_BACKEND"),
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "VENV"),
)
# In the place of src/install.sh: notes the lock, and makes a Python that prints what the command line would see.
INSTALL = """#!/bin/sh
echo "install $*"
mkdir -p $1/bin
printf '#!/bin/sh\\nenv | grep -E "^(KERAS_BACKEND|CUDA_VISIBLE_DEVICES|JAX_PLATFORMS)=" || true\\n' >$1/bin/python
chmod +x $1/bin/python
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make")


class Project:
    """The Makefile and its requirements in a folder, with an installer that installs nothing, on a faked machine."""

    def __init__(self, folder: Path):
        self.folder = folder / "project"
        self.tools = folder / "tools"
        for file in ("Makefile", "pyproject.toml", *licences.LOCKS):
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, self.folder / file)
        (self.folder / "src").mkdir()
        (self.folder / "src/install.sh").write_text(INSTALL)
        self.tools.mkdir()
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool))
        self.fake("uname", "echo Linux x86_64")

    def fake(self, tool: str, script: str) -> None:
        (self.tools / tool).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / tool).chmod(0o755)

    def gpu(self) -> None:
        self.fake("nvidia-smi", 'test "$1" = -L && echo "GPU 0: NVIDIA H100 (UUID: GPU-0)"')

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        environment = {**kept, "PATH": str(self.tools), **environment}
        command = [str(self.tools / "make"), *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def submit(self, *arguments: str, **environment: str) -> list[str]:
        """What `make submit` installs, and the backend and devices that its command is told."""
        done = self.make("submit", *arguments, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return sorted(done.stdout.splitlines())


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("variables", "without_gpu", "with_gpu"),
    [
        ([], f"install .venv {CPU}", f"install .venv {CUDA}"),
        (["BACKEND=tensorflow"], f"install .venv {CPU}", f"install .venv {CUDA}"),
        (["BACKEND=jax"], f"install .venv-jax {JAX}", f"install .venv-jax {JAX_CUDA}"),
        (["GPU=0"], f"install .venv {CPU}", f"install .venv {CPU}"),
        (["BACKEND=jax", "GPU=0"], f"install .venv-jax {JAX}", f"install .venv-jax {JAX}"),
    ],
)
def test_the_lock_follows_the_backend_and_the_gpu(project, variables, without_gpu, with_gpu):
    assert without_gpu in project.make("-n", "submit", *variables).stdout.replace("sh src/install.sh", "install")
    project.fake("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")  # a driver that does not run
    assert without_gpu in project.submit(*variables)
    shutil.rmtree(project.folder / without_gpu.split()[1])
    project.gpu()
    assert with_gpu in project.submit(*variables)


@pytest.mark.parametrize("machine", ["Darwin arm64", "Linux aarch64"])
def test_the_cuda_build_is_for_linux_on_x86_64(project, machine):
    project.gpu()
    project.fake("uname", f"echo {machine}")
    assert project.submit() == [f"install .venv {CPU}"]


def test_what_is_installed_is_not_installed_again(project):
    assert project.submit() == [f"install .venv {CPU}"]
    assert project.submit() == []
    (project.folder / "pyproject.toml").touch()
    assert project.submit() == [f"install .venv {CPU}"]


def test_a_machine_that_gets_a_gpu_gets_the_cuda_build_and_keeps_it(project):
    assert project.submit() == [f"install .venv {CPU}"]
    project.gpu()
    assert project.submit("GPU=0") == ["CUDA_VISIBLE_DEVICES=-1", "JAX_PLATFORMS=cpu"]
    assert project.submit() == [f"install .venv {CUDA}"]
    assert project.submit() == []
    assert project.submit("GPU=0") == ["CUDA_VISIBLE_DEVICES=-1", "JAX_PLATFORMS=cpu"]
    (project.tools / "nvidia-smi").unlink()
    assert project.submit() == []


def test_an_environment_from_before_the_stamp_named_its_lock_is_brought_up_to_date(project):
    project.submit()
    (project.folder / ".venv/installed").write_text("")
    assert project.submit() == [f"install .venv {CPU}"]


def test_what_explores_goes_on_top_of_either_environment(project):
    lock = f"{licences.FOLDER}/explore.txt"
    for variables, venv, complete in (([], ".venv", CPU), (["BACKEND=jax"], ".venv-jax", JAX)):
        out = project.make("explore", *variables).stdout.splitlines()
        assert out[:2] == [f"install {venv} {complete}", f"install {venv} {lock}"]
        assert not [line for line in project.make("explore", *variables).stdout.splitlines() if "install" in line]


def test_the_commands_are_told_the_backend_that_was_asked_for(project):
    project.submit()
    assert project.submit() == []  # Keras's own choice, such as that of ~/.keras/keras.json, is left alone
    assert project.submit("BACKEND=tensorflow") == ["KERAS_BACKEND=tensorflow"]
    project.submit("BACKEND=jax")
    assert project.submit("BACKEND=jax") == ["KERAS_BACKEND=jax"]
    assert project.submit(KERAS_BACKEND="jax") == ["KERAS_BACKEND=jax"]  # and finds .venv-jax


@pytest.mark.parametrize("backend", ["torch", "JAX", "tensorflow jax"])
def test_another_backend_is_refused_before_anything_is_installed(project, backend):
    for done in (project.make("submit", f"BACKEND={backend}"), project.make("submit", KERAS_BACKEND=backend)):
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2
        assert f"BACKEND={backend} is not known; the backends are tensorflow (the default) and jax" in line
        assert done.stdout == ""
    assert not list(project.folder.glob(".venv*"))


def test_clean_removes_both_environments_and_help_knows_the_variables(project):
    project.submit()
    project.submit("BACKEND=jax")
    assert len(list(project.folder.glob(".venv*"))) == 2
    project.make("clean")
    assert not list(project.folder.glob(".venv*"))
    (project.tools / "awk").symlink_to(shutil.which("awk"))
    text = project.make("help").stdout
    assert "  BACKEND " in text
    assert "  GPU " in text


@pytest.mark.parametrize("lock", licences.LOCKS)
def test_the_installer_says_what_a_lock_installs_and_how_much_that_is(tmp_path, lock):
    for tool, script in {"python": "exit 0", "uv": "exit 0"}.items():
        file = tmp_path / ("bin" if tool == "python" else "tools") / tool
        file.parent.mkdir()
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "tools"), os.environ["PATH"]])
    command = ["sh", "src/install.sh", str(tmp_path), lock]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("installing ")
    assert lock in line
    assert " GB" in line
    assert ("CUDA" in line) == (lock in licences.CUDA)
