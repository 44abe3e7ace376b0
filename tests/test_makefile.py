"""Which environment `make` builds and when, whose code it runs, and what it passes to the commands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from command import ROOT
from tools import licences

CPU, JAX, CUDA, JAX_CUDA = licences.ENVIRONMENTS
INSTALLER = f"{licences.FOLDER}/install.sh"
TOOLS = ("awk", "cat", "chmod", "cksum", "dirname", "echo", "ls", "make", "mkdir", "rm", "sh", "sleep", "touch", "tr")
# Not passed on from what runs the tests, such as `make test`.
VARIABLES = (
    *("BACKEND", "CUDA_VISIBLE_DEVICES", "GPU", "JAX_PLATFORMS", "KERAS_BACKEND"),
    *("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON", "PYTHONPATH", "VENV"),
)
# Builds real environments, but installs nothing but a script, and notes what it was asked for. Waits if told to.
UV = f"""
echo "$*" >>asked.txt
for last; do :; done
if [ $1 = venv ]; then exec "{sys.executable}" -m venv --without-pip "$last"; fi
while [ -e wait ]; do sleep 0.02; done
tool=$(dirname $6)/tool
printf '#!%s\\nimport digits; print(digits.__file__)\\n' "$PWD/$6" >$tool
chmod +x $tool
"""
# In the place of the command line: prints the folder of its code, its arguments, and what the environment says.
MAIN = """
import os, pathlib, sys
print(pathlib.Path(__file__).parents[2].name, sys.argv[1:])
for name in ("KERAS_BACKEND", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS"):
    if name in os.environ:
        print(f"{name}={os.environ[name]}")
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make")


class Project:
    """The Makefile, its requirements and its installer in a folder with a stub of the source, on a faked machine."""

    def __init__(self, folder: Path):
        self.folder = folder / "project"
        self.tools = folder / "tools"
        for file in ("Makefile", INSTALLER, *licences.LOCKS, *licences.OTHERS):
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, self.folder / file)
        (self.folder / "src/digits").mkdir(parents=True)
        (self.folder / "src/digits/__init__.py").touch()
        (self.folder / "src/digits/__main__.py").write_text(MAIN)
        self.tools.mkdir()
        for tool in TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool))
        self.fake("uname", "echo Linux x86_64")
        self.fake("python3", f'exec "{sys.executable}" "$@"')
        self.fake("uv", UV)

    def fake(self, tool: str, script: str) -> None:
        (self.tools / tool).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / tool).chmod(0o755)

    def gpu(self) -> None:
        self.fake("nvidia-smi", 'test "$1" = -L && echo "GPU 0: NVIDIA H100 (UUID: GPU-0)"')

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        return subprocess.Popen(
            [str(self.tools / "make"), *arguments],
            cwd=self.folder,
            env={**kept, "PATH": str(self.tools), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def succeed(self, *arguments: str, **environment: str) -> list[str]:
        """The lines that it prints; `install VENV REQUIREMENTS` for those of an installation."""
        done = self.make(*arguments, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        lines = re.sub(r"installing .* into (\S+) from (\S+): .*", r"install \1 \2", done.stdout).splitlines()
        return [line for line in lines if not line.startswith("building ")]

    def submit(self, *arguments: str, **environment: str) -> list[str]:
        """What `make submit` installs, and the backend and devices that its command is told."""
        lines = self.succeed("submit", *arguments, **environment)
        lines.remove(f"{self.folder.name} ['submit']")
        return lines

    def asked(self) -> list[str]:
        """What uv was asked to do, in its first words."""
        file = self.folder / "asked.txt"
        return [" ".join(line.split()[:2]) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("variables", "without_gpu", "with_gpu"),
    [
        ([], f".venv {CPU}", f".venv {CUDA}"),
        (["BACKEND=tensorflow"], f".venv {CPU}", f".venv {CUDA}"),
        (["BACKEND=jax"], f".venv-jax {JAX}", f".venv-jax {JAX_CUDA}"),
        (["GPU=0"], f".venv {CPU}", f".venv {CPU}"),
        (["BACKEND=jax", "GPU=0"], f".venv-jax {JAX}", f".venv-jax {JAX}"),
    ],
)
def test_the_lock_follows_the_backend_and_the_gpu(project, variables, without_gpu, with_gpu):
    def planned() -> str:
        return project.succeed("-n", "submit", *variables)[0]

    assert planned() == f"sh {INSTALLER} {without_gpu}"
    project.fake("nvidia-smi", "echo 'NVIDIA-SMI has failed'; exit 9")  # a driver that does not run
    assert planned() == f"sh {INSTALLER} {without_gpu}"
    project.gpu()
    assert planned() == f"sh {INSTALLER} {with_gpu}"


@pytest.mark.parametrize("machine", ["Darwin arm64", "Linux aarch64"])
def test_the_cuda_build_is_for_linux_on_x86_64(project, machine):
    project.gpu()
    project.fake("uname", f"echo {machine}")
    assert project.succeed("-n", "install") == [f"sh {INSTALLER} .venv {CPU}"]


def test_what_is_installed_is_installed_again_when_its_lock_changes(project):
    assert project.submit() == [f"install .venv {CPU}"]
    (project.folder / CPU).touch()
    assert project.submit() == []
    with (project.folder / CPU).open("a") as lock:
        lock.write("# changed\n")
    assert project.submit() == [f"install .venv {CPU}"]


def test_a_machine_that_gets_a_gpu_gets_the_cuda_build_and_keeps_it(project):
    assert project.submit() == [f"install .venv {CPU}"]
    project.gpu()
    assert project.submit("GPU=0") == ["CUDA_VISIBLE_DEVICES=-1", "JAX_PLATFORMS=cpu"]
    assert project.submit() == [f"install .venv {CUDA}"]
    assert project.submit("GPU=0") == ["CUDA_VISIBLE_DEVICES=-1", "JAX_PLATFORMS=cpu"]
    (project.tools / "nvidia-smi").unlink()
    assert project.submit() == []


def test_what_explores_goes_on_top_of_either_environment(project):
    lock = f"{licences.FOLDER}/explore.txt"
    for variables, venv, complete in (([], ".venv", CPU), (["BACKEND=jax"], ".venv-jax", JAX)):
        assert project.succeed("-n", "explore", *variables)[:2] == [
            f"sh {INSTALLER} {venv} {complete}",
            f"sh {INSTALLER} {venv} {lock}",
        ]


def test_an_environment_like_kaggles_is_built_by_the_same_installer_and_lacks_the_project(project):
    image = f"{licences.FOLDER}/kaggle-image.txt"
    assert project.succeed("install-kaggle") == [f"install .venv {CPU}", f"install .venv/kaggle {image}"]
    assert project.succeed("install-kaggle") == []
    assert len(list(project.folder.rglob("digits.pth"))) == 1


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


def test_another_python_is_refused_and_the_one_that_is_named_is_used(project):
    project.fake("old", "exit 1")
    done = project.make("submit", "PYTHON=old")
    assert done.returncode == 2
    assert "error: no Python 3.11 to 3.13 found under PYTHON=old" in done.stderr
    (project.tools / "python3").rename(project.tools / "mine")
    assert "no Python 3.11 to 3.13 found;" in project.make("submit").stderr
    assert project.submit("PYTHON=mine") == [f"install .venv {CPU}"]


def test_a_moved_project_runs_its_own_code_and_installs_nothing(project):
    project.submit()
    project.folder = project.folder.rename(project.folder.with_name("moved (1)"))
    asked = project.asked()
    assert project.submit() == []
    assert project.asked() == asked
    assert where(project, ".venv/bin/tool") == project.folder / "src/digits/__init__.py"
    assert where(project, "sh", "-c", '. .venv/bin/activate && echo "$VIRTUAL_ENV"') == project.folder / ".venv"


def test_a_copied_project_runs_its_own_code_and_so_does_the_first(project):
    project.submit()
    first, copy = project.folder, project.folder.with_name("copy")
    shutil.copytree(first, copy, symlinks=True, copy_function=shutil.copy)  # as `cp -r`: with new times
    for project.folder in (copy, first):  # `submit` asserts whose code runs
        assert where(project, ".venv/bin/tool") == project.folder / "src/digits/__init__.py"
        assert project.submit() == []


def test_an_environment_of_an_earlier_version_stops_running_the_code_of_another_folder(project, tmp_path):
    project.submit()
    (project.folder / ".venv/folder").unlink()
    (project.folder / ".venv/installed-requirements").rename(project.folder / ".venv/installed")
    (packages,) = (project.folder / ".venv/lib").glob("python3*/site-packages")
    (packages / "digits.pth").rename(packages / "__editable__.digits-0.1.0.pth").write_text(f"{tmp_path}/src")
    shutil.copytree(project.folder / "src", tmp_path / "src")
    assert project.submit() == [f"install .venv {CPU}"]
    assert project.asked().count("venv -q") == 1  # it is kept


def test_two_at_once_install_once(project):
    (project.folder / "wait").touch()
    first = project.start("submit")
    wait_for(lambda: "pip install" in project.asked())
    second = project.start("submit")
    assert second.stdout.readline() == "waiting for another make, which is installing\n"
    (project.folder / "wait").unlink()
    for process in (first, second):
        assert process.communicate(timeout=60)[0].splitlines()[-1] == "project ['submit']"
    assert project.asked() == ["venv -q", "pip install"]


def test_a_killed_installation_is_made_anew(project):
    (project.folder / "wait").touch()
    process = project.start("submit")
    wait_for(lambda: "pip install" in project.asked())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (project.folder / "wait").unlink()
    assert project.submit() == [f"install .venv {CPU}"]
    assert project.asked() == ["venv -q", "pip install"] * 2
    assert project.submit() == []


def test_variables_become_options_whatever_their_values_hold(project):
    values = ["CONFIG=my config.yaml", "DATA=it's", 'RUN="a" $$b;c', "SET=a=1 b=[x,'y']", "TRIALS=5", "SPACE="]
    _, line = project.succeed("tune", *values, "ROWS=9")
    passed = ["--config", "my config.yaml", "--data", "it's", "--run", '"a" $b;c', "--set", "a=1", "--set", "b=[x,'y']"]
    assert line == f"project {['tune', '--trials', '5', *passed]}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["predict", "IMAGES=a.png 'b c.png'", "SPLIT=1"], "digits predict a.png 'b c.png' --split"),
        (["validate"], "digits validate 'output/submission.csv'"),
        (["export", "FORMAT=litert"], "digits export --format 'litert'"),
        (["validate", "FILE=my file.csv", "RUN=a"], "digits validate 'my file.csv' --run 'a'"),
        (["compare", "A=one", "B=the other"], "digits compare 'one' 'the other'"),
        (["tune", "SCHEDULER=tcp://host:8786"], "digits tune --scheduler 'tcp://host:8786'"),
        (["fuzz", "TARGETS=table config", "SECONDS=5"], "tests/fuzz/fuzz.py table config --seconds '5'"),
        (["bench-scale", "ROWS=10000"], "tests/tools/bench_scale.py --most '10000'"),
    ],
)
def test_some_variables_are_passed_otherwise(project, arguments, expected):
    assert project.succeed("-n", *arguments)[-1].endswith(expected)


def test_compare_asks_for_two_runs(project):
    done = project.make("compare", "A=one")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (2, "error: name two runs: make compare A=one B=other")


def test_clean_removes_both_environments(project):
    for name in (".venv", ".venv-jax"):
        (project.folder / name).mkdir()
    project.make("clean")
    assert not list(project.folder.glob(".venv*"))


def test_help_lists_every_target_and_variable_within_80_columns(project):
    text = project.make().stdout
    makefile = (ROOT / "Makefile").read_text()
    assert max(map(len, text.splitlines())) <= 80
    headings = re.findall(r"(?m)^[A-Z].*", text)
    assert (headings[0], headings[-2:]) == ("Main", ["Development", "Variables"])
    targets, variables = text.split("\nVariables\n")
    described = re.findall(r"(?m)^  ([a-z-]+) ", targets)
    assert described[:7] == ["submit", "tune", "evaluate", "cluster", "report", "predict", "explore"]
    assert sorted(described) == sorted(set(re.findall(r"(?m)^([a-z-]+):", makefile)) - {"install-kaggle"})
    named = {name for names in re.findall(r"VARIABLES := (.*)", makefile) for name in names.split()}
    assert set(re.findall(r"(?m)^  ([A-Z]+) ", variables)) == named | {"BACKEND", "GPU", "PYTHON"}


@pytest.mark.parametrize("lock", [*licences.LOCKS, f"{licences.FOLDER}/kaggle-image.txt"])
def test_the_installer_says_what_it_installs_and_how_much_that_is(project, lock):
    command = ["sh", INSTALLER, ".venv", lock]
    environment = os.environ | {"PATH": str(project.tools)}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=True)
    building, line = done.stdout.splitlines()
    assert ("--require-hashes" in (project.folder / "asked.txt").read_text()) == (lock in licences.LOCKS)
    assert building.startswith("building .venv with Python 3.1")
    assert line.startswith("installing ")
    assert lock in line
    assert " GB" in line
    assert ("CUDA" in line) == (lock in licences.CUDA)


def where(project: Project, *command: str) -> Path:
    """The path that a command in the project's folder prints."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def wait_for(condition: object) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
