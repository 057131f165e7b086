# SPDX-License-Identifier: Apache-2.0
"""The rules that hold the source together, checked on the syntax trees: nothing of the package is run.

Each rule is a function from a `Source` to complaints; `test_rules_complain` shows that each one can fail.
"""

import ast
import configparser
import importlib
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOORS = (
    ("_types", "_allocator"),
    ("_struct", "_checks", "_precision", "_flops", "_lazy", "_compile", "_random", "_stack", "_symmetric"),
    ("parallel",),
    ("amplitude",),
    ("network",),
    ("linalg", "ode", "stats", "io"),
    ("symmetry", "hilbert"),
    ("lattice", "operator"),
    ("hamiltonian", "ansatz", "sampler", "exact"),
    ("estimator",),
    ("transfer",),
    ("state",),
    ("sr", "observables"),
    ("driver",),
    ("plot",),
    ("program", "testing"),
)
"""From the ground up; a package imports from lower floors only, and not from its neighbours."""
LEVEL = {package: level for level, floor in enumerate(FLOORS) for package in floor}

MAX_FILE = 600
MAX_FUNCTION = 80
"""Lines, docstring not counted."""
MAX_PROGRAM = 120

READS_ENVIRONMENT = (
    "manybody/__init__.py",
    "manybody/parallel/cluster.py",
    "manybody/_allocator.py",  # what is said to the C library and to the compiler there counts
    "manybody/_compile.py",
)
ROOT_WORDS = ("import ", "MANYBODY_X64", "jax_cpu_enable_async_dispatch", "def __getattr__(", "def __dir__(")
KEEPS_STATE = ("manybody/driver/", "manybody/program/")
CONSTRUCTORS = ("__init__", "__post_init__")
COLLECTIVES = frozenset(
    "all_gather all_gather_invariant all_to_all axis_index axis_size pbroadcast pcast pmax pmean pmin ppermute "
    "pshuffle psum psum_scatter pswapaxes pvary ragged_all_to_all".split()
)


@dataclass(frozen=True)
class Source:
    """One Python file; `path` is relative to the top folder, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def module(self) -> str:
        """Dotted name as installed."""
        parts = self.path.removesuffix(".py").removesuffix("/__init__").split("/")
        return ".".join(["manybody", *parts] if parts[0] == "drivers" else parts)

    @property
    def is_init(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def package(self) -> str | None:
        """The unit that has a floor: `hilbert` for manybody/hilbert/spin.py; none for manybody/__init__.py."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "manybody" and len(parts) > 1 else None


def read(path: Path) -> Source:
    return Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def sources(*folders: str) -> list[Source]:
    return [read(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


# --- what a file imports and names ------------------------------------------------------------------------------------


def imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything imported; `from a import b` counts as `a.b`."""
    package = source.module.split(".") if source.is_init else source.module.split(".")[:-1]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)


def dotted(node: ast.AST) -> str:
    """`a.b.c` for an attribute chain, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions, however deep, with the name of the class that they are methods of."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inside, node
            yield from functions(node, inside)
        else:
            yield from functions(node, node.name if isinstance(node, ast.ClassDef) else inside)


def top_level_names(tree: ast.Module) -> set[str]:
    """Names bound when the module runs: definitions, imports, assignments, also those below `if` and `try`."""
    names = set()
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return names


def exported(tree: ast.Module) -> list[str] | None:
    """The literal value of `__all__`, None without one."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(dotted(target) == "__all__" for target in node.targets):
            return list(ast.literal_eval(node.value))
    return None


# --- the rules --------------------------------------------------------------------------------------------------------


def floors(source: Source) -> Iterator[str]:
    """Imports point downwards; nothing imports the root package or the programs."""
    own = source.package
    if own is None or source.path.startswith("drivers/"):
        return
    if own not in LEVEL:
        yield f"1: `{own}` is on no floor; see FLOORS and setup.cfg"
        return
    for line, name in imported_modules(source):
        root, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if root == "drivers" or (root == "manybody" and target == "drivers"):
            yield f"{line}: imports the programs ({name})"
        elif root == "manybody" and target not in LEVEL:
            yield f"{line}: imports {name}, which is no package of a lower floor"
        elif root == "manybody" and target != own and LEVEL[target] >= LEVEL[own]:
            yield f"{line}: {own} (floor {LEVEL[own]}) imports {target} (floor {LEVEL[target]})"


def file_length(source: Source) -> Iterator[str]:
    """A file is one idea."""
    limit = MAX_PROGRAM if source.path.startswith("drivers/") else MAX_FILE
    if len(source.lines) > limit:
        yield f"1: {len(source.lines)} lines, at most {limit}"


def function_length(source: Source) -> Iterator[str]:
    """A function fits on a page, unless `# long: <reason>` stands on its `def` line or on the line above."""
    for _, node in functions(source.tree):
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        above = source.lines[first - 2] if first > 1 else ""
        if re.search(r"# long: \S", above + source.lines[node.lineno - 1]):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node, clean=False) is not None:
            length -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
        if length > MAX_FUNCTION:
            yield f"{node.lineno}: `{node.name}` has {length} lines, at most {MAX_FUNCTION} or `# long: <reason>`"


def no_mutation(source: Source) -> Iterator[str]:
    """Objects do not change: no `self.x = ...` outside the constructor (`setup` is that of a Flax module)."""
    if source.path.startswith(KEEPS_STATE):
        return
    allowed = {*CONSTRUCTORS, "setup"} if source.path.startswith("manybody/ansatz/") else set(CONSTRUCTORS)
    for _, function in functions(source.tree):
        if function.name in allowed:
            continue
        for node in ast.walk(function):
            is_write = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)
            if is_write and dotted(node.value) == "self":
                yield f"{node.lineno}: `{function.name}` writes self.{node.attr}"
            is_call = isinstance(node, ast.Call) and dotted(node.func) == "object.__setattr__"
            if is_call and node.args and dotted(node.args[0]) == "self":
                yield f"{node.lineno}: `{function.name}` calls object.__setattr__"


def no_wildcard(source: Source) -> Iterator[str]:
    """Every name says where it comes from."""
    for line, name in imported_modules(source):
        if name.endswith(".*"):
            yield f"{line}: imports {name}"


def init_only_exports(source: Source) -> Iterator[str]:
    """An `__init__.py` has a docstring, imports from the package and `__all__`.

    The first one also sets 64 bits, and loads the packages when they are asked for.
    """
    if not source.is_init:
        return
    is_root = source.path == "manybody/__init__.py"
    bound, body = set(), source.tree.body
    has_docstring = ast.get_docstring(source.tree) is not None
    if not has_docstring:
        yield "1: no docstring"
    for node in body[1:] if has_docstring else body:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "manybody"):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and dotted(node.targets[0]) in {"__all__", "__version__"}:
            pass
        elif is_root and any(word in ast.unparse(node) for word in ROOT_WORDS):
            pass
        else:
            yield f"{node.lineno}: more than re-exports"
    missing = sorted(bound - set(exported(source.tree) or ()))
    if missing:
        yield f"1: imported but not in __all__: {', '.join(missing)}"


def exports_exist(source: Source) -> Iterator[str]:
    """Every name in `__all__` is there, once."""
    names = exported(source.tree) or []
    for name in sorted(set(names) - top_level_names(source.tree)):
        yield f"1: __all__ names `{name}`, which is not there"
    if len(set(names)) < len(names):
        yield "1: __all__ has a name twice"


def spdx(source: Source) -> Iterator[str]:
    """The licence of a file stands in its first line, below `#!` if there is one."""
    head = [line for line in source.lines[:2] if not line.startswith("#!")]
    if not head or head[0] != "# SPDX-License-Identifier: Apache-2.0":
        yield "1: no SPDX line"


def no_environment(source: Source) -> Iterator[str]:
    """Nothing depends on the environment behind the caller's back."""
    if source.path in READS_ENVIRONMENT:
        return
    forbidden = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"}
    for node in ast.walk(source.tree):
        if dotted(node) in forbidden:
            yield f"{node.lineno}: {dotted(node)}"
    for line, name in imported_modules(source):
        if name in forbidden:
            yield f"{line}: imports {name}"


def collectives_in_parallel(source: Source) -> Iterator[str]:
    """Only `parallel` knows MPI, meshes and devices; all others are given a `Comm`."""
    if source.path.startswith("manybody/parallel/"):
        return
    used = [(node.lineno, dotted(node)) for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)]
    for line, name in [*used, *imported_modules(source)]:
        head, _, last = name.rpartition(".")
        is_collective = last in COLLECTIVES and head.split(".")[-1] == "lax"
        is_backend = name.split(".")[0] in {"mpi4py", "mpi4jax"} or "multihost_utils" in name.split(".")
        if is_collective or is_backend or (last in {"shard_map", "pmap"} and name.startswith("jax.")):
            yield f"{line}: {name}"


Rule = Callable[[Source], Iterator[str]]
PACKAGE_RULES: tuple[Rule, ...] = (
    floors,
    file_length,
    function_length,
    no_mutation,
    no_wildcard,
    init_only_exports,
    exports_exist,
    spdx,
    no_environment,
    collectives_in_parallel,
)


def complaints(rule: Rule, found: list[Source]) -> list[str]:
    return [f"{source.path}:{complaint}" for source in found for complaint in rule(source)]


@pytest.mark.parametrize("rule", PACKAGE_RULES, ids=lambda rule: rule.__name__)
def test_package_and_programs(rule: Rule) -> None:
    assert not complaints(rule, sources("manybody", "drivers"))


@pytest.mark.parametrize("rule", [spdx, no_wildcard], ids=lambda rule: rule.__name__)
def test_everything_else(rule: Rule) -> None:
    assert not complaints(rule, sources("tests", "examples", "benchmarks", "docs"))


SPDX = "# SPDX-License-Identifier: Apache-2.0\n"
BROKEN = [
    (floors, "manybody/hilbert/x.py", "from manybody.lattice import square"),
    (floors, "manybody/hilbert/x.py", "from ..lattice import square"),
    (floors, "manybody/hilbert/x.py", "def f():\n    import manybody.lattice.bonds"),
    (floors, "manybody/hilbert/x.py", "from manybody import lattice"),
    (floors, "manybody/hilbert/x.py", "from manybody.symmetry import Permutation"),
    (floors, "manybody/sampler/x.py", "from manybody.ansatz import RBM"),
    (floors, "manybody/operator/x.py", "from manybody.state import VariationalState"),
    (floors, "manybody/amplitude.py", "import manybody"),
    (floors, "manybody/parallel/x.py", "from manybody.amplitude import Amplitude"),
    (floors, "manybody/program/x.py", "import manybody.drivers.ground_state"),
    (floors, "manybody/driver/x.py", "import drivers"),
    (floors, "manybody/nowhere/x.py", ""),
    (file_length, "manybody/x.py", "\n" * (MAX_FILE + 1)),
    (file_length, "drivers/x.py", "\n" * (MAX_PROGRAM + 1)),
    (function_length, "manybody/x.py", "class A:\n    def f():" + "\n        pass" * MAX_FUNCTION),
    (function_length, "manybody/x.py", "# long:\ndef f():" + "\n    pass" * MAX_FUNCTION),
    (no_mutation, "manybody/x.py", "class A:\n    def f(self):\n        self.x = 1"),
    (no_mutation, "manybody/x.py", "class A:\n    def f(self):\n        self.x += 1"),
    (no_mutation, "manybody/x.py", "class A:\n    def f(self):\n        a, (self.x, b) = c"),
    (no_mutation, "manybody/x.py", "class A:\n    def f(self):\n        del self.x"),
    (no_mutation, "manybody/x.py", "class A:\n    def setup(self):\n        self.x: int = 1"),
    (no_mutation, "manybody/x.py", "class A:\n    def f(self):\n        object.__setattr__(self, 'x', 1)"),
    (no_wildcard, "tests/x.py", "from numpy import *"),
    (init_only_exports, "manybody/x/__init__.py", '"""Doc."""\nx = 1'),
    (init_only_exports, "manybody/x/__init__.py", '"""Doc."""\nimport jax'),
    (init_only_exports, "manybody/x/__init__.py", '"""Doc."""\nfrom manybody.x.y import z'),
    (init_only_exports, "manybody/x/__init__.py", "__all__ = []"),
    (init_only_exports, "manybody/__init__.py", '"""Doc."""\ndef f(): ...'),
    (exports_exist, "manybody/x.py", '__all__ = ["f"]'),
    (exports_exist, "manybody/x.py", '__all__ = ["f", "f"]\ndef f(): ...'),
    (spdx, "manybody/x.py", '"""Doc."""'),
    (no_environment, "manybody/x.py", 'import os\nos.environ.get("A")'),
    (no_environment, "manybody/x.py", 'import os\nos.getenv("A")'),
    (no_environment, "drivers/x.py", "from os import environ"),
    (collectives_in_parallel, "manybody/x.py", 'jax.lax.psum(x, "workers")'),
    (collectives_in_parallel, "manybody/x.py", "from jax.lax import all_gather"),
    (collectives_in_parallel, "manybody/x.py", "lax.pmax(x, 'workers')"),
    (collectives_in_parallel, "manybody/x.py", "jax.shard_map(f)"),
    (collectives_in_parallel, "manybody/x.py", "import mpi4jax"),
]
FINE = [
    (
        floors,
        "manybody/hilbert/x.py",
        "import jax\nfrom manybody import _checks\nfrom manybody.hilbert.base import A",
    ),
    (floors, "manybody/amplitude.py", "from manybody.parallel import comm"),
    (floors, "manybody/__init__.py", "from manybody import lattice"),
    (floors, "drivers/x.py", "import manybody as mb"),
    (function_length, "manybody/x.py", "# long: one formula\n@jit\ndef f():" + "\n    pass" * MAX_FUNCTION),
    (function_length, "manybody/x.py", 'def f():\n    """Doc.' + "\n" * MAX_FUNCTION + '"""'),
    (no_mutation, "manybody/x.py", "class A:\n    def __init__(self):\n        self.x = 1"),
    (no_mutation, "manybody/ansatz/x.py", "class A:\n    def setup(self):\n        self.x = 1"),
    (no_mutation, "manybody/driver/x.py", "class A:\n    def run(self):\n        self.x = 1"),
    (no_mutation, "manybody/x.py", "class A:\n    def f(cls):\n        object.__setattr__(new, 'x', 1)"),
    (init_only_exports, "manybody/x/__init__.py", '"""Doc."""\nfrom manybody.x.y import z\n__all__ = ["z"]'),
    (exports_exist, "manybody/x.py", 'if y:\n    f = 1\nfrom a import b as c\n__all__ = ["f", "c"]'),
    (spdx, "manybody/x.py", "#!/usr/bin/env python3\n" + SPDX),
    (collectives_in_parallel, "manybody/x.py", "comm.psum(x)\nself.comm.all_gather(x)\nlax.scan(f)"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_rules_complain(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), FINE)
def test_rules_are_content(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(Source(path, text)))


def test_every_rule_is_seen_to_fail() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(PACKAGE_RULES)


# --- what the configuration repeats -----------------------------------------------------------------------------------


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def test_import_linter_knows_the_same_floors() -> None:
    layers = setup_cfg()["importlinter:contract:floors"]["layers"].split("\n")
    listed = [set(re.findall(r"\w+", layer)) for layer in layers if layer.strip()]
    assert listed[::-1] == [set(floor) for floor in FLOORS]


def test_every_package_is_installed() -> None:
    listed = setup_cfg()["options"]["packages"].split()
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "manybody").rglob("*.py")}
    found = {".".join(folder.parts) for folder in folders}
    assert listed == sorted(listed)
    assert found - set(listed) == set(), "packages that setup.cfg does not list"


def test_every_package_is_one() -> None:
    folders = {path.parent for path in (ROOT / "manybody").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("module", [source.module for source in sources("manybody") if source.is_init])
def test_exports_can_be_had(module: str) -> None:
    package = importlib.import_module(module)
    assert [name for name in getattr(package, "__all__", ()) if not hasattr(package, name)] == []


def test_readme_commands() -> None:
    """The commands in the README are those that CI runs, and the console command exists."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".ci").iterdir() if path.is_file())
    for command in ("python3 -m venv .venv", ".venv/bin/pytest"):
        assert command in readme
        assert command in scripts
    assert "bash .ci/setup && .venv/bin/pytest" in readme
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"manybody": "manybody.program.cli:main"}
