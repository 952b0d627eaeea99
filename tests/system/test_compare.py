"""`cutout compare` processes a sample twice and leaves nothing but its page."""

import re

from support.commands import cutout
from support.paths import SAMPLES


def test_two_recipes_over_a_sample(weights, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUTOUT_MODEL", "u2netp")
    recipe, output = tmp_path / "quick.yaml", tmp_path / "page.html"
    recipe.write_text("quality: {refine: none, passes: 1}\nrenditions: [{format: jpg}]")
    answer = cutout("compare", "u2netp", recipe, SAMPLES, "--sample", "2", "-o", output)
    assert answer.returncode == 0, answer.stderr
    text = output.read_text()
    assert "2 photographs; 2 mattes compared. Failed: 0 by A, 0 by B." in text
    assert len(re.findall('<img class="[ab]"', text)) == 4
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("cutout-compare")]
    assert left == []
    wrong = cutout("compare", "u2netp", "no-such", SAMPLES)
    assert (wrong.returncode, "recipe_unknown" in wrong.stderr) == (1, True)
