#!/bin/sh
# matplotlib 3.11.2 reads svg.hashsalt when a figure is saved, while most of its style is fixed when the figure is made.
#
# A figure made inside rc_context(style) and saved outside has the style's colours and fonts but random ids: two saves of
# the same figure differ in bytes, and a build that compares files sees a change where there is none. Save inside the
# context too.
#
# Seen: saved outside the context: 2 different files; inside: 1
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check matplotlib==3.11.2
"$folder/venv/bin/python" - <<'PY'
import io

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

style = {"svg.hashsalt": "fixed", "lines.marker": "o"}


def made():
    with matplotlib.rc_context(style):
        figure, axes = plt.subplots()
        axes.plot([1, 2], [3, 4])
    return figure


def saved(figure):
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


outside = {saved(made()) for _ in range(2)}
with matplotlib.rc_context(style):
    inside = {saved(made()) for _ in range(2)}
print(f"saved outside the context: {len(outside)} different files; inside: {len(inside)}")
assert (len(outside), len(inside)) == (2, 1), "the behaviour has changed"
PY
