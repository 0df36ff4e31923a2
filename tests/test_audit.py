"""The audit of packages: each fault is told, and this checkout has none."""

import pytest

from tests.audit import ROOMS, ROOT, audit, imported, installed

PYPROJECT = """
[build-system]
requires = ["build_tool==1.0"]
[project]
dependencies = ["alpha>=1", "beta-two[all]>=2; python_version > '3'"]
[project.optional-dependencies]
dev = ["gamma", "alpha>=1"]
"""
CONSTRAINTS = "# how\nalpha==1.2\nbeta_two==2.0\nbuild-tool==1.0\ngamma==3\nneeded-besides==9\n"
CORE = f"alpha==1.2 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\nbeta-two==2.0 ; sys_platform == 'linux' \\\n"
CORE += "".join(f"    --hash=sha256:{'2' * 64}\n{last}" for last in ("build-tool==1.0 \\\n", ""))
MODULES = {"alpha", "beta_two", "gamma", "build_tool"}
HERE = {"alpha": "1.2", "beta-two": "2.0+cpu", "gamma": "3", "build-tool": None}


def test_nothing_to_say():
    found = audit(PYPROJECT, CONSTRAINTS, CORE, MODULES, HERE.get)
    assert found.pinned == {"alpha": "1.2", "beta-two": "2.0", "build-tool": "1.0", "gamma": "3"}
    assert not any(found[1:])


@pytest.mark.parametrize(
    ("what", "changed", "said"),
    [
        ("unpinned", {"constraints": CONSTRAINTS.replace("gamma==3", "")}, ["gamma"]),
        ("unpinned", {"pyproject": PYPROJECT.replace("build_tool==1.0", "build_tool")}, ["build-tool"]),
        ("unpinned", {"pyproject": PYPROJECT.replace("build_tool==1.0", "build_tool>=1.0")}, ["build-tool"]),
        ("unpinned", {"pyproject": PYPROJECT.replace("build_tool==1.0", "build_tool==1.1")}, ["build-tool"]),
        ("unhashed", {"core": CORE.replace("alpha==1.2", "alpha==1.3")}, ["alpha"]),
        ("unhashed", {"core": CORE.replace("build-tool==1.0", "other==1.0")}, ["build-tool", "other"]),
        ("unhashed", {"core": CORE.rpartition("    --hash")[0]}, ["build-tool"]),
        ("differs", {"version": (HERE | {"alpha": "1.3"}).get}, ["alpha 1.3 for 1.2"]),
        ("unused", {"modules": MODULES - {"beta_two"}}, ["beta-two"]),
    ],
)
def test_each_fault_is_told(what, changed, said):
    usual = {"pyproject": PYPROJECT, "constraints": CONSTRAINTS, "core": CORE, "modules": MODULES, "version": HERE.get}
    found = audit(**usual | changed)
    assert getattr(found, what) == said


def test_imports_are_found_wherever_they_stand():
    text = "import a.b\nfrom c.d import e\nfrom . import f\ndef g():\n    import h\n    pytest.importorskip('i')\n"
    assert {"a", "c", "h", "i"} <= imported([text])
    assert "f" not in imported([text])


def test_this_checkout_passes():
    sources = [path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    found = audit(
        *((ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt", "constraints-core.txt")),
        modules=imported(sources),
        version=installed,
    )
    assert not found.unpinned
    assert not found.unhashed
    assert not found.unused
