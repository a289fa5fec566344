"""What may come next, against the network's logits and a softmax in double precision."""

from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import UserError
from charrnn.generation.language_model import LanguageModel, load
from tests.models import write_run


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(write_run(tmp_path_factory.mktemp("runs") / "stream"))


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load(write_run(tmp_path_factory.mktemp("runs") / "lines", lines=True))


def softmax_after(model: LanguageModel, ids: list[int]) -> dict[str, float]:
    """The probability of every entry of the vocabulary after these ids."""
    state = model.network.initial_state(1)
    logits_BTV, _ = model.network.advance(np.array([ids], np.intp), state)
    weights = np.exp(logits_BTV[0, -1].astype(np.float64))
    return dict(zip(model.vocabulary.characters, weights / weights.sum(), strict=True))


def test_the_likeliest_come_first_with_the_models_own_probabilities(stream: LanguageModel) -> None:
    expected = softmax_after(stream, stream.vocabulary.encode("the se").tolist())
    found = stream.next_characters("the se", 5)
    assert len(found) == 5
    for each in found:
        assert each.probability == pytest.approx(expected[each.character], rel=1e-5)
    falling = sorted((p for name, p in expected.items() if len(name) == 1), reverse=True)
    assert [each.probability for each in found] == pytest.approx(falling[:5], rel=1e-5)


def test_more_than_there_are_is_all_of_them(stream: LanguageModel) -> None:
    found = stream.next_characters("a", 1000)
    known = [char for char in stream.vocabulary.characters if len(char) == 1]
    assert sorted(each.character for each in found) == sorted(known)
    expected = softmax_after(stream, stream.vocabulary.encode("a").tolist())
    total = 1 - sum(p for name, p in expected.items() if len(name) > 1)
    assert sum(each.probability for each in found) == pytest.approx(total, abs=1e-5)


def test_the_end_of_a_line_is_among_what_may_come(lines: LanguageModel) -> None:
    ids = [lines.vocabulary.bos_id, *lines.vocabulary.encode("ann").tolist()]
    expected = softmax_after(lines, ids)
    found = {each.character: each.probability for each in lines.next_characters("ann", 100)}
    assert found["<eos>"] == pytest.approx(expected["<eos>"], rel=1e-5)
    assert not {"<pad>", "<unk>", "<bos>"} & found.keys()


def test_defaults_of_the_run_do_not_shape_it(tmp_path: Path) -> None:
    from charrnn.config.schema import GenerateConfig

    plain, cold = (
        load(write_run(tmp_path / name, generate=options)).next_characters("a", 3)
        for name, options in (("a", None), ("b", GenerateConfig(temperature=0.1, top_k=1)))
    )
    assert plain == cold


def test_a_seed_or_a_count_that_cannot_be_is_refused(stream: LanguageModel) -> None:
    with pytest.raises(UserError, match="does not know the character 'É'"):
        stream.next_characters("É")
    assert stream.next_characters("aÉ", 1, unknown="skip") == stream.next_characters("a", 1)
    with pytest.raises(UserError, match="`count` is 0"):
        stream.next_characters("a", 0)
