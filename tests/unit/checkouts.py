"""Small checkouts for the tests of the build."""

import json

from replib.press import skeleton
from replib.press.layout import Layout
from replib.press.status import Status

SLUG = "author2024_topic"
BIBTEX = f"""@article{{{SLUG},
  author = {{Author, Ann and Brook, Bob and Cole, Cy}},
  title  = {{A Topic}},
  year   = {{2024}}
}}
"""


def small_checkout(tmp_path, root):
    """A checkout with one chapter, the skeleton that ``replib new`` writes."""
    (tmp_path / "lib").symlink_to(root / "lib")
    (tmp_path / "requirements.lock").write_text("numpy==1\n")
    (tmp_path / "_toc.yml").write_text(f"parts:\n- caption: A part\n  chapters:\n  - file: part/{SLUG}\n")
    (tmp_path / "references.bib").write_text(BIBTEX)
    chapter = tmp_path / "notebooks" / "part" / f"{SLUG}.py"
    chapter.parent.mkdir(parents=True)
    chapter.write_text(skeleton.NOTEBOOK.format(**skeleton.named(SLUG)))
    chapter.with_suffix(".toml").write_text(skeleton.CLAIMS)
    return Layout(tmp_path)


def publish(layout, record):
    path = layout.outcome(SLUG, "quick")
    path.parent.mkdir(parents=True, exist_ok=True)
    status = Status(SLUG, "quick", "ok", 1.0, {})
    payload = {"status": vars(status), "record": record.model_dump(mode="json")}
    path.write_text(json.dumps(payload))
