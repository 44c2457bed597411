"""This checkout as the house tests see it: its files, and copies of its rules to plant mistakes in."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PURE_FLOORS = ("domain", "strategies", "trading", "operations")
# Lowest first, as DESIGN and the floors contract have them; rooms of one floor share a tuple.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("domain",),
    ("strategies",),
    ("trading",),
    ("operations",),
    ("analytics",),
    ("ports",),
    ("market", "storage", "bus"),
    ("venue",),
    ("brokers",),
    ("research",),
    ("service",),
    ("simulation",),
    ("reporting",),
    ("cli",),
)


def tracked_files(root: Path = ROOT) -> list[Path]:
    """The files that belong to the repository: git's list, or without git all that is not made here."""
    listed = None
    if shutil.which("git"):
        # safe.directory: a checkout may belong to another user than the one who tests it
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={root}", "ls-files", "-z"],
            cwd=root,
            capture_output=True,
            check=False,
        )
    if listed is not None and listed.returncode == 0 and listed.stdout:
        names = listed.stdout.decode().split("\0")
        return [root / name for name in names if name and (root / name).is_file()]
    made = {".venv", ".venv.lock", ".git", "__pycache__", "books", "node_modules"}
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not made & set(path.relative_to(root).parts) and ".egg-info" not in str(path)
    ]


def package_modules() -> list[Path]:
    """Every Python module of the platform and of its pages."""
    return [path for path in tracked_files() if path.suffix == ".py" and _room(path) in {"qmworkbench", "dashboards"}]


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def empty_house(folder: Path) -> Path:
    """A house of empty rooms under this checkout's own pyproject.toml, to plant a mistake in."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("qmworkbench", "dashboards", *(f"qmworkbench/{room}" for floor in FLOORS for room in floor)):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text('"""A room."""\n')
    return folder
