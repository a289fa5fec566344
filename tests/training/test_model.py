"""The network against torch's own cells, and what its first weights promise."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from charrnn.config.schema import ModelConfig
from charrnn.training.batches import IGNORE_INDEX
from charrnn.training.initialization import forget_gate, init_weights
from charrnn.training.model import CharRNN
from charrnn.training.rng import Noise
from charrnn.training.step import summed_loss

CELLS = ("lstm", "gru", "rnn")
V = 11


def small_model(**options: object) -> CharRNN:
    settings = {"hidden_size": 6, "embedding_size": 5, "dropout": 0.0, **options}
    torch.manual_seed(3)
    model = CharRNN(ModelConfig(**settings), V)  # type: ignore[arg-type]
    init_weights(model, unknown_id=1)
    return model


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_onehot_input_equals_torch_on_dense_onehot_vectors(cell: str, layers: int) -> None:
    model = small_model(cell=cell, input="onehot", layers=layers)
    ids_BT = torch.randint(V, (4, 9))
    state = torch.randn_like(model.initial_state(4))

    logits, after = model(ids_BT, state)
    logits.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}  # type: ignore[union-attr]
    model.zero_grad()

    dense_TBV = functional.one_hot(ids_BT.T, V).float()
    parts = (state[0], state[1]) if cell == "lstm" else state[0]
    hidden, expected_after = model.rnn(dense_TBV, parts)
    expected = model.output(hidden).transpose(0, 1)
    expected.square().sum().backward()

    torch.testing.assert_close(logits, expected)
    expected_state = expected_after if cell == "lstm" else (expected_after,)
    torch.testing.assert_close(after, torch.stack(tuple(expected_state)))
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", ["embedding", "onehot"])
def test_reading_in_two_parts_with_the_state_carried_equals_reading_at_once(
    cell: str, kind: str
) -> None:
    model = small_model(cell=cell, input=kind, layers=2)
    ids = torch.randint(V, (3, 10))
    whole, end = model(ids, model.initial_state(3))
    first, middle = model(ids[:, :4], model.initial_state(3))
    second, after = model(ids[:, 4:], middle)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)
    torch.testing.assert_close(after, end)


def test_recurrent_matrices_begin_orthogonal_gate_by_gate() -> None:
    for cell in CELLS:
        model = small_model(cell=cell, layers=2)
        for layer in range(2):
            for gate in getattr(model.rnn, f"weight_hh_l{layer}").split(6):
                torch.testing.assert_close(gate @ gate.T, torch.eye(6), atol=1e-5, rtol=0)


def test_forget_gates_begin_open_and_other_biases_at_zero() -> None:
    model = small_model(cell="lstm", layers=2)
    for layer in range(2):
        bias = getattr(model.rnn, f"bias_ih_l{layer}") + getattr(model.rnn, f"bias_hh_l{layer}")
        assert torch.equal(forget_gate(bias), torch.ones(6))
        assert float(bias.detach().sum()) == 6.0


def test_the_forget_gate_is_the_one_that_torch_multiplies_the_cell_with() -> None:
    lstm = torch.nn.LSTM(1, 2)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        forget_gate(dict(lstm.named_parameters())["bias_ih_l0"]).fill_(100.0)
    cell = torch.tensor([[[0.5, -2.0]]])
    _, (_, after) = lstm(torch.zeros(1, 1, 1), (torch.zeros(1, 1, 2), cell))
    torch.testing.assert_close(after, cell)


def test_what_is_unknown_is_read_as_silence() -> None:
    assert not small_model().embedding.weight[1].any()  # type: ignore[union-attr]
    assert not small_model(input="onehot").rnn.weight_ih_l0[:, 1].any()


def test_tied_weights_are_one_matrix() -> None:
    model = small_model(tie_weights=True, embedding_size=6)
    assert model.output.weight is model.embedding.weight  # type: ignore[union-attr]
    names = dict(model.named_parameters())
    assert "embedding.weight" in names
    assert "output.weight" not in names


def test_dropout_acts_on_a_single_layer_and_depends_on_its_place_alone() -> None:
    model = small_model(dropout=0.5)
    ids, state = torch.randint(V, (2, 5)), model.initial_state(2)

    def logits(noise: Noise | None) -> Tensor:
        drawn: Tensor = model(ids, state, noise)[0]
        return drawn

    def noise_at(seed: int, step: int, part: int) -> Noise:
        return Noise(seed, step, part, torch.device("cpu"))

    here = logits(noise_at(1, 2, 0))
    assert torch.equal(here, logits(noise_at(1, 2, 0)))
    for elsewhere in (noise_at(2, 2, 0), noise_at(1, 3, 0), noise_at(1, 2, 1), None):
        assert not torch.equal(here, logits(elsewhere))
    assert torch.equal(logits(None), logits(None))


def test_dropout_keeps_the_mean_and_drops_the_share() -> None:
    dropped = Noise(0, 0, 0, torch.device("cpu")).drop(torch.ones(100_000), 0.3)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)


def test_the_loss_sums_over_the_targets_and_leaves_out_what_is_ignored() -> None:
    logits = torch.tensor([[[0.0, 0.0], [5.0, -5.0]], [[1.0, 0.0], [0.0, 3.0]]])
    targets = torch.tensor([[0, IGNORE_INDEX], [1, 1]])
    by_hand = np.log(2) + np.log(1 + np.exp(1)) + np.log(1 + np.exp(-3))
    assert float(summed_loss(logits, targets)) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("kind", ["embedding", "onehot"])
def test_what_stands_in_the_padding_changes_neither_loss_nor_gradient(kind: str) -> None:
    model = small_model(input=kind)
    targets = torch.tensor([[4, 5, 6, 7], [8, 9, IGNORE_INDEX, IGNORE_INDEX]])
    gradients = []
    for padding in (0, 10):
        ids = torch.tensor([[2, 4, 5, 6], [2, 8, padding, padding]])
        model.zero_grad()
        loss = summed_loss(model(ids, model.initial_state(2))[0], targets)
        loss.backward()
        gradients.append(
            (loss.detach(), *(p.grad.clone() for p in model.parameters()))  # type: ignore[union-attr]
        )
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
