"""What comes with charrnn, found by its name in any folder."""

from pathlib import Path

import pytest

from charrnn.errors import UserError
from charrnn.shipped import find_config
from tests.cli.process import charrnn, succeed

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_is_found_by_its_name_in_an_empty_folder(name: str, tmp_path: Path) -> None:
    ways = (name, f"{name}.yaml", ROOT / "configs" / f"{name}.yaml")
    settings = [succeed("train", "--config", way, "--print-config", cwd=tmp_path) for way in ways]
    assert len(set(settings)) == 1


def test_the_names_can_be_learned_in_an_empty_folder(tmp_path: Path) -> None:
    tiny = ["--set", "model.hidden_size=8", "--set", "train.steps=2", "--set", "train.threads=1"]
    assert charrnn("train", "--config", "names", *tiny, cwd=tmp_path).returncode == 0
    assert (tmp_path / "runs" / "names" / "model.json").exists()
    prepared = (tmp_path / "data/prepared").glob("*/vocabulary.json")
    assert [path for path in prepared if "A" in path.read_text()]


def test_a_file_here_goes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart.yaml").write_text("train: {steps: 7}\n")
    (tmp_path / "names").mkdir()
    assert find_config(Path("quickstart.yaml")) == Path("quickstart.yaml")
    assert find_config(Path("quickstart")).parent.name == "configs"
    assert find_config(Path("names")).parent.name == "configs"
    for other in ("-", "no/quickstart.yaml", "quickstart.json"):
        assert find_config(Path(other)) == Path(other)


def test_a_misspelt_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    done = charrnn("train", "--config", "quickstrat", "--print-config", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean quickstart?" in done.stderr
    with pytest.raises(UserError) as caught:
        find_config(Path("zzz"))
    assert all(name in caught.value.hint for name in NAMES)
