"""What a chapter's result depends on: its text, its claims, the library modules it imports, the lock, the profile.

The modules are found without running anything: the notebook's import statements are read from its
syntax tree, and grimp's static import graph gives what those modules import in turn. The digest
is a hash of contents; touching a file or changing an unrelated module leaves it as it was.
"""

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

import grimp

from replib.press.layout import BuildError, Layout
from replib.record import write_atomically

PACKAGE = "replib"


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=1)
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


def _module_file(root: Path, module: str) -> Path:
    base = root / "lib" / Path(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def direct_imports(path: Path) -> set[str]:
    """The library modules that a text notebook names in import statements.

    Raises:
        BuildError: the notebook is not valid Python, or imports a library module that does not exist.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise BuildError(f"{path} is not valid Python: {error}") from None
    known = _graph().modules
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == PACKAGE}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    missing = found - known
    if missing:
        raise BuildError(f"{path} imports {', '.join(sorted(missing))}, which the library does not have")
    return found


def modules(path: Path) -> set[str]:
    """The library modules a notebook depends on, directly or not, with the packages around them."""
    graph = _graph()
    direct = direct_imports(path)
    found = set(direct)
    for module in direct:
        found |= graph.find_upstream_modules(module)
    for module in list(found):
        parts = module.split(".")
        found |= {".".join(parts[:i]) for i in range(1, len(parts))}
    return found


def describe(layout: Layout, slug: str, profile: str) -> dict[str, object]:
    """Everything a run depends on, by name and hash, and the hash of it all under ``digest``."""
    path = layout.chapter(slug)
    parts: dict[str, object] = {
        "source_sha256": sha256(path),
        "claims_sha256": sha256(path.with_suffix(".toml")) if path.with_suffix(".toml").exists() else "",
        "modules": {m: sha256(_module_file(layout.root, m)) for m in sorted(modules(path))},
        "lock_sha256": sha256(layout.lock),
    }
    whole = json.dumps([slug, profile, parts], sort_keys=True).encode()
    return {"digest": hashlib.sha256(whole).hexdigest(), **parts}


def refresh(layout: Layout, profiles: tuple[str, ...]) -> None:
    """Write the digest files of all chapters; a file whose content is right is not touched."""
    for slug in layout.chapters:
        for profile in profiles:
            text = json.dumps(describe(layout, slug, profile), indent=1) + "\n"
            target = layout.digest(slug, profile)
            if not target.exists() or target.read_bytes() != text.encode():
                write_atomically(target, text)
