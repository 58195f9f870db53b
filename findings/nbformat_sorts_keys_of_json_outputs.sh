#!/bin/sh
# nbformat 5.10.4 sorts the keys of JSON outputs when it writes a notebook.
#
# A cell that shows {"step": ..., "accuracy": ...} as application/json leaves a file with accuracy before step: the
# author's order of columns is lost, although JSON libraries keep the order of objects and reading gives no hint. Data
# whose order matters must be a list of pairs.
#
# Seen: order written: step, accuracy; order in the file: accuracy, step
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nbformat==5.10.4
"$folder/venv/bin/python" - "$folder/n.ipynb" <<'PY'
import json
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

columns = {"step": [1, 2], "accuracy": [0.5, 0.9]}
output = new_output("display_data", {"application/json": columns})
nbformat.write(new_notebook(cells=[new_code_cell("", outputs=[output])]), sys.argv[1])
with open(sys.argv[1]) as file:
    found = json.load(file)["cells"][0]["outputs"][0]["data"]["application/json"]
print(f"order written: {', '.join(columns)}; order in the file: {', '.join(found)}")
assert list(found) == ["accuracy", "step"], "the behaviour has changed"
PY
