"""nbval compares with what a notebook holds: one that holds nothing would pass. So first: it holds something."""

import pytest
from replib.press import extract
from replib.press.layout import Layout
from replib.record import RECORD_MIME, parse

from tests.conftest import ROOT

LAYOUT = Layout(ROOT)


@pytest.mark.parametrize("slug", LAYOUT.chapters)
def test_the_executed_smoke_notebook_has_references(slug):
    notebook = extract.read_notebook(LAYOUT.executed(slug, "smoke"))
    checked = [c for c in notebook["cells"] if "nbval-check-output" in c["metadata"].get("tags", [])]
    assert len(checked) == 1
    text = "".join("".join(o.get("text", "")) for o in checked[0]["outputs"])
    record = parse(extract.bundles(notebook, RECORD_MIME)[0], slug)
    lines = text.splitlines()
    assert len(lines) == len(record.claims) + len(record.controls)
    for claim, line in zip(record.claims, lines, strict=False):
        verdict = "judged by times: see the table" if claim.timed else str(claim.verdict)
        assert line.split(maxsplit=1) == [claim.id, verdict]
    assert all(c.get("execution_count") for c in notebook["cells"] if c["cell_type"] == "code")
