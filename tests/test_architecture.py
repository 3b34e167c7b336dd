"""The layers of both stages: which module may import which, anywhere in a file."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = "epochbank"

LAYERS = (
    # What both stages share.
    ("augment.errors",),
    ("augment.shared.closest", "augment.shared.notebook", "augment.shared.signals", "augment.shared.streams"),
    ("augment.console",),
    ("augment.shared",),
    ("augment.store",),
    # Stage 1, from the source to the set.
    ("augment.sources",),
    ("augment.distortion",),
    ("augment.ingest",),
    ("augment.split",),
    ("augment.generation",),
    ("augment.views",),
    ("augment.lifecycle",),
    ("augment.exchange",),
    # Stage 2, from the set to the trained model.
    ("train.reading",),
    ("train.streaming",),
    ("train.feeding",),
    ("train.training",),
    ("train.study",),
    ("train.benchmark",),
    # What people call.
    ("api",),
    ("augment.cli", "train.cli"),
    ("augment.__main__", "train.__main__"),
)
"""From the lowest to the highest: a module imports from its own layer and from those above it in this list."""

COMMON = ("augment.errors", "augment.console", "augment.shared", "augment.store", "augment.distortion")
"""All that stage 2 imports from stage 1: the set on disk, what both command lines share, and the distortions."""


def modules() -> dict[str, Path]:
    """Return the file of every module below `epochbank`, by its full name."""
    files = {}
    for parent, package in ((ROOT / "src/epochbank", "api"), (ROOT, "augment"), (ROOT, "train")):
        for path in sorted((parent / package).rglob("*.py")):
            parts = path.relative_to(parent).with_suffix("").parts
            files[".".join([TOP, *(parts[:-1] if parts[-1] == "__init__" else parts)])] = path
    return files


MODULES = modules()


def imports_of(name: str, *, at_once: bool = False) -> set[str]:
    """Return the modules that a module imports anywhere; with `at_once`, only those it imports when it is loaded.

    Imports for type checkers are omitted.
    """
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        if at_once and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            submodules = {f"{module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= submodules | ({module} if len(submodules) < len(node.names) else set())
        nodes += ast.iter_child_nodes(node)
    return found - {name}


def layer_of(name: str) -> int | None:
    """Return the number of a module's layer; None for packages that only contain others."""
    for number, layer in enumerate(LAYERS):
        if any(name == f"{TOP}.{prefix}" or name.startswith(f"{TOP}.{prefix}.") for prefix in layer):
            return number
    return None


def test_every_module_has_a_layer() -> None:
    """Every folder is in the list above, so that its imports are checked."""
    assert {name for name in MODULES if layer_of(name) is None} == {f"{TOP}.augment", f"{TOP}.train"}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_from_a_higher_layer(name: str) -> None:
    """This holds for imports inside functions, too."""
    own = layer_of(name)
    higher = {other for other in imports_of(name) & set(MODULES) if own is not None and (layer_of(other) or 0) > own}
    assert not higher


def test_there_is_no_import_circle() -> None:
    """All imports taken together, even those within functions, have an order."""
    graph = {name: imports_of(name) & set(MODULES) for name in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def test_modules_import_each_other_relatively() -> None:
    """`import augment` would find a user's own module. Of the facade a module takes only the version."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                named = {node.module or ""}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = {node.value} & set(MODULES)  # An argument of importlib.import_module.
            else:
                continue
            assert not {one.split(".")[0] for one in named} & {"augment", "train", TOP}, f"{name}: {named}"
        assert facade_names(name) <= {"__version__"}, name


def facade_names(name: str) -> set[str]:
    """Return the names that a module imports from the package `epochbank` itself."""
    path = MODULES[name]
    depth = len(name.split(".")) - (path.name != "__init__.py")
    nodes = ast.walk(ast.parse(path.read_text()))
    froms = (node for node in nodes if isinstance(node, ast.ImportFrom) and node.level == depth and not node.module)
    return {alias.name for node in froms for alias in node.names}


def test_stage_1_imports_no_framework() -> None:
    """Stage 1 runs without TensorFlow, Keras and PyTorch; only views and charts import Matplotlib, within functions."""
    for name in MODULES:
        if name.startswith(f"{TOP}.augment"):
            tops = {other.split(".")[0] for other in imports_of(name)}
            at_once = {other.split(".")[0] for other in imports_of(name, at_once=True)}
            assert not tops & {"tensorflow", "keras", "torch"}, name
            plots = name.startswith((f"{TOP}.augment.views.", f"{TOP}.augment.shared.html."))
            assert "matplotlib" not in (at_once if plots else tops), name


def test_stage_2_imports_only_the_set_on_disk_from_stage_1() -> None:
    """It also imports what both command lines share: errors, messages, files and locks."""
    allowed = tuple(f"{TOP}.{prefix}" for prefix in COMMON)
    for name in MODULES:
        if name.startswith(f"{TOP}.train"):
            taken = {other for other in imports_of(name) if other.startswith(f"{TOP}.augment")}
            assert not {other for other in taken if not other.startswith(allowed)}, name


def test_opening_a_set_imports_no_framework() -> None:
    """Functions import Keras and TensorFlow, or modules that no other module loads."""
    assert not any("tensorflow" in imports_of(name, at_once=True) for name in MODULES)
    seen, left = set(), {f"{TOP}.train.feeding.augmented_set"}
    while left:
        seen |= (new := left - seen)
        left = {other for name in new & set(MODULES) for other in imports_of(name, at_once=True)} - seen
    assert not {other.split(".")[0] for other in seen} & {"keras", "torch", "tensorflow"}


def test_the_architecture_page_names_what_exists() -> None:
    """Every path and module that docs/architecture.md names exists."""
    text = (ROOT / "docs/architecture.md").read_text()
    paths = set(re.findall(r"`((?:augment|train|src|tests)/[\w/.]*)`", text))
    assert len(paths) > 20
    assert not {path for path in paths if not (ROOT / path).exists()}
    named = set(re.findall(r"`((?:ingest|generation|augment)\.\w+)`", text))
    known = {name.removeprefix("epochbank.").removeprefix("augment.") for name in MODULES} | set(MODULES)
    known |= {f"augment.{name}" for name in known}
    assert not named - known
