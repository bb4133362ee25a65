"""What is no longer made goes, and nothing else does."""

from pathlib import Path

from recyclelora.tables.stale import keep_only


def made(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    return [folder / name for name in names]


def test_what_was_written_before_and_is_not_now_is_removed(tmp_path: Path) -> None:
    assert keep_only(made(tmp_path, "a.md", "a.differences.md", "a/plot.svg"), tmp_path, "a") == []
    assert keep_only(made(tmp_path, "a.md"), tmp_path, "a") == [tmp_path / "a.differences.md", tmp_path / "a/plot.svg"]
    assert (tmp_path / "a.md").exists() and not (tmp_path / "a.differences.md").exists()
    assert keep_only(made(tmp_path, "a.md"), tmp_path, "a") == []


def test_other_files_stay(tmp_path: Path) -> None:
    """Those of other sweeps, also where a sweep's name begins with another's; the user's own; those that were edited."""
    keep_only(made(tmp_path, "a.md", "a.differences.md", "a.effects.md", "a.adapters.md"), tmp_path, "a")
    keep_only(made(tmp_path, "a.b.md", "a.b.differences.md"), tmp_path, "a.b")
    made(tmp_path, "a.notes.md", "a.importances.md")
    (tmp_path / "a.differences.md").write_text("with a note in the margin")
    (tmp_path / "a.effects.md").unlink()
    (tmp_path / "a.adapters.md").unlink()
    (tmp_path / "a.adapters.md").symlink_to(tmp_path / "a.notes.md")
    assert keep_only(made(tmp_path, "a.md"), tmp_path, "a") == []
    assert {path.name for path in tmp_path.glob("a*")} == {
        "a.md", "a.differences.md", "a.adapters.md", "a.b.md", "a.b.differences.md", "a.notes.md", "a.importances.md"}


def test_a_damaged_memory_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    outside = made(tmp_path, "outside.md")[0]
    for text in ("{", "[1]", '{"../outside.md": "x"}', '{"a.md": 3}'):
        (tmp_path / "out" / ".a.files.json").write_text(text)
        assert keep_only(made(tmp_path / "out", "a.md"), tmp_path / "out", "a") == []
    assert outside.exists()
