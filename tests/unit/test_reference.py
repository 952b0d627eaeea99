from support.paths import ROOT


def test_the_references_are_current(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "generate")
    import references

    stale = ", ".join(path.name for path in references.stale())
    assert not stale, f"{stale}: not current. Run `make docs`."
