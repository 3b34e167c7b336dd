"""The installed package: wheel, sdist and editable install have one importable name, `epochbank`; its extras."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from epochbank import EpochbankError, __version__
from epochbank.train.training import backend

ROOT = Path(__file__).parents[1]

CUSTOM = '''
import numpy as np

def darker(image, generator):
    """A custom operation."""
    return np.minimum(image, generator.integers(100, 200)).astype(np.uint8)
'''
RECIPE = '[[stage]]\noperation = [{ op = "my_operations:darker" }]\n'
LIBRARY = """
import epochbank

def main():
    digits = epochbank.generate("digits", "mine.toml", epochs=1, limit=200, jobs=2, sets="own-sets")
    images, labels = next(iter(digits.batches(16)))
    assert images.max() < 256 and len(labels) == 16
    print("library ok")

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheel and sdist, built from a copy of the checkout, without network access."""
    out = tmp_path_factory.mktemp("dist")
    copy = tmp_path_factory.mktemp("checkout") / "epochbank"
    ignored = {".git", ".venv", ".venv-backends", "sets", "runs", "tests", "benchmarks", "docs", "__pycache__"}
    copy.mkdir()
    for path in ROOT.iterdir():
        if path.name not in ignored and not path.name.startswith(".") and path.suffix != ".egg-info":
            subprocess.run(["cp", "-a", str(path), str(copy)], check=True)
    return {kind: build(kind, copy, out) for kind in ("wheel", "sdist")}


def build(kind: str, folder: Path, out: Path) -> Path:
    """Build the `wheel` or `sdist` of the project in `folder` into `out`; return its path."""
    code = (
        "import os, sys; from setuptools import build_meta; kind, folder, out = sys.argv[1:]; os.chdir(folder)\n"
        "print(getattr(build_meta, f'build_{kind}')(out))"
    )
    words = [sys.executable, "-c", code, kind, str(folder), str(out)]
    return out / subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1]


@pytest.fixture(scope="session")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` directory of a fresh environment with the wheel; dependencies come from the tests' environment."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))
    command = [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*command, str(built["wheel"])], check=True, capture_output=True)
    # Plain paths in a .pth file: the .pth files in there, such as that of the editable install, are not read.
    (site / "dependencies.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return home / "bin"


def run(folder: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder, capture_output=True, text=True, timeout=250, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_wheel_and_sdist_hold_one_package_and_its_data(built: dict[str, Path]) -> None:
    """All files of the checkout (modules, recipes, templates, `py.typed`) are regular files below `epochbank`."""
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"epochbank"}
    expected = {
        f"epochbank/{path.relative_to(parent)}"
        for parent, folder in ((ROOT, "augment"), (ROOT, "train"), (ROOT / "src/epochbank", "."))
        for path in (parent / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {
        "epochbank/py.typed",
        "epochbank/api/contents.py",
        "epochbank/augment/distortion/recipes/kanji.toml",
    } <= expected
    assert {name for name in names if name.startswith("epochbank/")} == expected
    with tarfile.open(built["sdist"]) as sdist:
        members = {"/".join(member.name.split("/")[1:]): member for member in sdist.getmembers()}
    assert all(members[f"src/{name}"].isfile() for name in expected)


def test_the_wheel_from_the_sdist_is_that_of_the_checkout(built: dict[str, Path], tmp_path: Path) -> None:
    """The sdist lacks nothing that a wheel has, though it has no symbolic links."""
    with tarfile.open(built["sdist"]) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    with zipfile.ZipFile(built["wheel"]) as one, zipfile.ZipFile(build("wheel", folder, tmp_path)) as other:
        assert {name: one.read(name) for name in one.namelist()} == {
            name: other.read(name) for name in other.namelist()
        }


def test_nothing_called_augment_or_train_is_importable(installed: Path, tmp_path: Path) -> None:
    """The wheel installs one importable name, and both commands print its version."""
    code = "import importlib.util as u; print([u.find_spec(name) for name in ('augment', 'train')])"
    assert run(tmp_path, installed / "python", "-c", code).stdout.strip() == "[None, None]"
    where = run(tmp_path, installed / "python", "-c", "import epochbank; print(epochbank.__file__)").stdout
    assert str(installed.parent) in where
    versions = {run(tmp_path, installed / command, "--version").stdout for command in ("augment", "train")}
    versions |= {
        run(tmp_path, installed / "python", "-m", f"epochbank.{name}", "--version").stdout
        for name in ("augment", "train")
    }
    assert versions == {f"epochbank, version {__version__}\n"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder with a custom operation and a recipe that uses it."""
    (tmp_path / "my_operations.py").write_text(CUSTOM)
    (tmp_path / "mine.toml").write_text(RECIPE)
    return tmp_path


@pytest.mark.parametrize(
    ("script", "python_path"),
    [
        pytest.param("train.py", False, marks=pytest.mark.long),
        pytest.param("augment.py", True, marks=pytest.mark.long),
        pytest.param("experiment.py", False, marks=pytest.mark.long),
        pytest.param("train.py", True, marks=pytest.mark.long),
    ],
)
def test_a_user_may_call_modules_augment_and_train(
    installed: Path, project: Path, script: str, python_path: bool
) -> None:
    """The library, both commands and worker processes ignore the user's modules and packages of these names."""
    for name in ("train", "augment"):
        path = project / (f"{name}/__init__.py" if script == "experiment.py" else f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('a module of the user was imported')")
    (project / script).write_text(LIBRARY)
    environment = {"PYTHONPATH": "."} if python_path else {}
    assert "library ok" in run(project, installed / "python", script, **environment).stdout
    words = ("run", "digits", "--recipe", "mine.toml", "--epochs", 1, "--limit", 200, "--jobs", 2, "--shard-size", 32)
    assert "Next: train fit" in run(project, installed / "augment", *words, **environment).stdout
    assert "images/s" in run(project, installed / "train", "bench", "--seconds", 0, **environment).stdout
    run(project, installed / "python", "-m", "epochbank.augment", "verify", "--jobs", 2, **environment)


def test_a_users_own_modules_do_not_reach_starting_workers(installed: Path, project: Path) -> None:
    """Files named like modules of the standard library do not break the workers of a command."""
    for name in ("queue.py", "random.py", "tempfile.py"):
        (project / name).write_text("raise SystemExit('the file of the user was imported')")
    words = ("run", "digits", "--recipe", "mine.toml", "--epochs", 1, "--limit", 200, "--jobs", 2, "--shard-size", 32)
    assert "Next: train fit" in run(project, installed / "augment", *words).stdout


@pytest.mark.long
def test_an_editable_install_is_type_checked_from_outside(tmp_path: Path) -> None:
    """mypy reports wrong uses of the public names in a user's script."""
    (tmp_path / "user.py").write_text(
        "from epochbank import AugmentedSet, generate, open_set, plan\n"
        "one: AugmentedSet = open_set()\n"
        "two: int = generate('digits', epochs=2, size=(8, 8))\n"
        "three: int = plan('digits').images_to_write\n"
        "generate('digits', colour='rgb')\n"
    )
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--follow-imports=silent", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = [line.split(": error: ")[0] for line in done.stdout.splitlines() if ": error: " in line]
    assert errors == ["user.py:3", "user.py:5"], done.stdout + done.stderr


def test_named_extras_exist() -> None:
    """Every extra in a message, a document or a make target is one of pyproject.toml."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [*ROOT.glob("*.*"), ROOT / "Makefile", ROOT / "Dockerfile"]
    for folder in ("augment", "train", "src", "docs", "examples", "faults", "tools"):
        files += (ROOT / folder).rglob("*.*")
    named: dict[str, Path] = {}
    for path in files:
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".sbatch", ".sh", ""} and path.is_file():
            for match in re.findall(r"(?:epochbank|\s'?\.)\[([a-z][a-z0-9,-]*)\]", path.read_text()):
                named |= dict.fromkeys(match.split(","), path)
    assert {"train", "train-cuda", "jax", "torch", "report", "cluster", "dev"} <= set(extras)
    assert {"train", "cluster", "export", "dev"} <= set(named)
    assert {extra: path for extra, path in named.items() if extra not in extras} == {}


@pytest.mark.parametrize(
    ("name", "extra"), [("", "train"), ("tensorflow", "train"), ("jax", "jax"), ("torch", "torch")]
)
def test_a_missing_backend_names_its_extra(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra of the backend that is asked for, and a backend that is installed."""
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(backend, "find_spec", lambda module: object() if module == "torch" else None)
    with pytest.raises(EpochbankError) as refused, backend._needed():
        raise ImportError(f"No module named '{name}'")
    assert f"pip install 'epochbank[{extra}]'" in str(refused.value)
    assert ("set KERAS_BACKEND=torch" in str(refused.value)) == (name != "torch")


def test_the_version_is_the_same_everywhere() -> None:
    """CHANGELOG.md and CITATION.cff have the version of the package."""
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__
    assert re.search(rf"^version: {re.escape(__version__)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
