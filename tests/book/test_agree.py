"""``replib agree`` on runs that differ for a known reason: it must name that reason first."""

import os
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

# sums whose last bits hang on the order of adding: of numpy's build, of the threads, of the processor's instructions
CHAPTER = """
# %% [markdown]
# # Sums

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %%
import torch
from replib import estimate
from replib.chapter import begin
from replib.randomness import numpy_generator

chapter = begin("author2024_sums", profile, seed)
values = [numpy_generator(s, "values").standard_normal(1_000_000) for s in chapter.seeds(3)]
tensors = [torch.tensor(v, dtype=torch.float32) for v in values]
chapter.measure("numpy", estimate.mean([float(v.sum()) for v in values]))
sums = [float(t.sum()) + float(torch.nn.functional.softplus(t).double().sum()) for t in tensors]
chapter.measure("torch", estimate.mean(sums))
chapter.report()
"""
CLAIMS = """
[[claim]]
id = "numpy"
statement = "a sum in numpy"
paper = "none"
criterion = "> -1e9"

[[claim]]
id = "torch"
statement = "a sum in torch"
paper = "none"
criterion = "> -1e9"
"""
OTHER_NUMPY = "2.2.6"


def execute(path, notebook, **variables):
    command = [sys.executable, "-m", "papermill", str(notebook), str(path), "--kernel", "python3", "--no-progress-bar"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    # the claims lie beside the notebook
    subprocess.run(command, env=environment, cwd=notebook.parent, check=True, capture_output=True)
    return path


def agree(run, published):
    command = [str(Path(sys.executable).parent / "replib"), "agree", str(run), "--with", str(published)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def first_cause(output):
    lines = output.splitlines()
    return lines[next(k for k, line in enumerate(lines) if line.startswith("likely cause")) + 1].strip()


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("agree") / "sums.ipynb"
    jupytext.write(jupytext.reads(CHAPTER, fmt="py:percent"), path)
    (path.parent / "author2024_sums.toml").write_text(CLAIMS)
    return path


@pytest.fixture(scope="module")
def published(notebook):
    return execute(notebook.with_name("published.ipynb"), notebook)


def test_the_same_again_gives_the_same_bits_and_no_cause(notebook, published, tmp_path):
    output = agree(execute(tmp_path / "run.ipynb", notebook), published)
    assert "4 of 4 agree" in output
    assert "likely cause" not in output


def test_more_threads_are_named(notebook, published, tmp_path):
    run = execute(tmp_path / "run.ipynb", notebook, OMP_NUM_THREADS="2", REPLIB_THREADS="2")
    assert first_cause(agree(run, published)) == "threads: 1 in the published run, 2 in this one"


def test_another_instruction_set_is_named(notebook, published, tmp_path):
    run = execute(tmp_path / "run.ipynb", notebook, ATEN_CPU_CAPABILITY="default")
    cause = first_cause(agree(run, published))
    assert cause.startswith("CPU capability: ")
    assert cause.endswith("DEFAULT in this one")


def test_another_numpy_is_named(notebook, published, tmp_path):
    target = tmp_path / "numpy"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    if subprocess.run([*command, f"numpy=={OTHER_NUMPY}"], capture_output=True, check=False).returncode:
        pytest.skip(f"numpy {OTHER_NUMPY} cannot be installed here: no package index")
    run = execute(tmp_path / "run.ipynb", notebook, PYTHONPATH=str(target))
    output = agree(run, published)
    assert first_cause(output).startswith("version of numpy: ")
    assert first_cause(output).endswith(f"{OTHER_NUMPY} in this one")
    assert "same bits         torch" in output
