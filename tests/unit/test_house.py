"""What must hold of the repository itself."""

import ast
import importlib.util
import re
import subprocess
import tomllib

import jupytext
import pytest
import yaml
from replib.press.catalogue import title
from replib.press.layout import Layout
from replib.press.mathml import mathml
from replib.record import read


@pytest.fixture(scope="module")
def layout():
    from tests.conftest import ROOT

    return Layout(ROOT)


@pytest.fixture(scope="module")
def tracked(layout):
    """Files in git, or those that would be."""
    result = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=layout.root,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        pytest.skip("not a git checkout")
    return [layout.root / line for line in result.stdout.splitlines() if (layout.root / line).is_file()]


def test_no_outputs_in_git(tracked):
    assert [p for p in tracked if p.suffix in {".ipynb", ".html"}] == []
    assert [p for p in tracked if p.stat().st_size > 1_000_000] == []


def test_toc_notebooks_and_references_agree(layout):
    toc = yaml.safe_load((layout.root / "_toc.yml").read_text())
    files = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    assert len(files) == len(set(files))
    listed = {f.split("/")[1]: f.split("/")[0] for f in files if "/" in f}
    known = {*layout.chapters, *layout.registered}
    assert listed == {slug: layout.part(slug) for slug in known}
    keys = re.findall(r"@\w+\{(\w+),", (layout.root / "references.bib").read_text())
    assert len(keys) == len(set(keys))
    assert known <= set(keys)
    pages = {p.stem for p in (layout.root / "book").glob("*.md")}
    assert pages == {f for f in [toc["root"], *files] if "/" not in f}


def test_records_belong_to_chapters_and_every_committed_chapter_has_one(layout, committed):
    records = {p.name: read(p) for p in (layout.root / "book" / "records").glob("*.json")}
    for name, record in records.items():
        assert name == f"{record.slug}.{record.profile}.json"
        assert record.slug in layout.chapters
        assert record.profile != "smoke"
        assert record.provenance is not None
    assert {f"{slug}.quick.json" for slug in layout.chapters if committed(slug)} <= set(records)


def test_every_chapter_has_claims(layout):
    assert [slug for slug in layout.chapters if not layout.claims(slug).exists()] == []


def chapters():
    from tests.conftest import ROOT

    return sorted((ROOT / "notebooks").glob("*/*.py"))


@pytest.mark.parametrize("path", chapters(), ids=lambda p: p.stem)
class TestChapter:
    def test_converts_and_converts_back_unchanged(self, path, tmp_path):
        text = path.read_text(encoding="utf-8")
        notebook = jupytext.reads(text, fmt="py:percent")
        jupytext.write(notebook, tmp_path / "n.ipynb")
        again = jupytext.read(tmp_path / "n.ipynb")
        written = jupytext.writes(again, fmt="py:percent")
        # jupytext may add which version wrote the file
        assert re.sub(r"#\s+(format|jupytext)_version: .*\n", "", written) == text

    def test_has_what_a_chapter_needs(self, path, layout):
        notebook = jupytext.read(path)
        code = [c for c in notebook.cells if c.cell_type == "code"]
        tags = [c.metadata.get("tags", []) for c in code]
        assert sum("parameters" in t for t in tags) == 1
        checked = [c for c, t in zip(code, tags, strict=True) if "nbval-check-output" in t]
        assert [c.source for c in checked] == ["chapter.verdicts()"]
        assert code[-1].source == "chapter.report()"
        assert f'begin("{path.stem}", profile, seed)' in path.read_text()
        assert title(path)

    def test_no_cell_ends_with_a_semicolon_or_holds_a_magic(self, path):
        for cell in jupytext.read(path).cells:
            if cell.cell_type == "code":
                assert not cell.source.rstrip().endswith(";")
                assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE)

    def test_every_formula_can_be_drawn(self, path):
        for cell in jupytext.read(path).cells:
            if cell.cell_type == "markdown":
                for display, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+?)\$", cell.source, re.DOTALL):
                    mathml(display or inline, display=bool(display))  # names what it cannot translate

    def test_seeds_nothing_global(self, path):
        calls = [ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not {"torch.manual_seed", "np.random.seed", "random.seed", "numpy.random.seed"} & set(calls)


def test_library_modules_name_no_path_of_a_machine(tracked):
    for path in tracked:
        if path.suffix in {".py", ".md", ".yml", ".toml", ".css", ".js", ".json"}:
            assert not re.search(r"/(root|home)/\w+/", path.read_text(encoding="utf-8")), path


def test_install_script_and_project_agree_on_torch(layout):
    spec = importlib.util.spec_from_file_location("install", layout.root / "tools" / "install.py")
    install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install)
    project = tomllib.loads((layout.root / "pyproject.toml").read_text())["project"]
    low, high = install.ADMITTED
    assert f"torch>={low[0]}.{low[1]},<{high[0]}.{high[1]}" in project["dependencies"]
    entry = install.TORCH_ENTRY.search(layout.lock.read_text())
    assert install.admitted(entry["version"])
    assert install.admitted("2.11.0+cu130")
    assert not install.admitted("2.10.9")
    assert not install.admitted("")


def test_lock_pins_everything_with_hashes_and_no_cuda(layout):
    text = layout.lock.read_text()
    entries = re.findall(r"^([a-zA-Z0-9._-]+)==\S+.*?(?=^[a-zA-Z]|\Z)", text, re.MULTILINE | re.DOTALL)
    blocks = re.split(r"^(?=[a-zA-Z0-9._-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert not [e for e in entries if e.startswith(("nvidia", "triton", "cuda"))]
    named = {e.lower().replace("_", "-") for e in entries}
    project = tomllib.loads((layout.root / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    assert {re.match(r"[\w.-]+", w)[0].lower() for w in wanted} <= named


def test_workflows_pin_their_actions_and_ask_for_little(layout):
    for path in (layout.root / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] in ({}, {"contents": "read"})
        for action in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), f"{path.name}: {action}"
