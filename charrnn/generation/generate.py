"""The loop that writes one text: read the last id, predict, draw the next one."""

from collections.abc import Iterator

from charrnn.generation.sampling import log_normalizers
from charrnn.generation.seeds import Prefix
from charrnn.generation.sequence import Sequence
from charrnn.generation.task import GenerationTask
from charrnn.inference.network import NumpyNetwork, NumpyStepper


class Stream:
    """Writes the text of one sequence, character by character.

    The network has always read everything but the last id that was drawn, which it reads when
    the next character is wanted: so a stream that was saved goes on as if it had not been.
    """

    def __init__(self, task: GenerationTask, sequence: Sequence) -> None:
        """Prepare to go on from the sequence's prefix."""
        self.sequence = sequence
        sequence.start_clock()
        self._stepper = stepper_at(sequence.prefix, task.network)
        self._unread = list(sequence.prefix.ids)
        self._sampler = task.sampler()

    @property
    def has_ended(self) -> bool:
        """Whether the text is complete."""
        return self.sequence.ended_by is not None

    def advance(self) -> str:
        """Draw one character; return the text that is certain to stay from now on, perhaps none."""
        text = self._draw()
        while self.sequence.is_within_character:
            text += self._draw()
        return text

    def _draw(self) -> str:
        """Draw one id."""
        sequence = self.sequence
        for id_ in self._unread:
            self._stepper.read(id_)
        logits_V = self._stepper.predict()
        drawn = self._sampler.draw(logits_V, sequence.uniforms.next(), sequence.allowed())
        self._unread = [drawn]
        if sequence.is_scored:
            return sequence.take(drawn, float(logits_V[drawn] - log_normalizers(logits_V)))
        return sequence.take(drawn)

    def pieces(self) -> Iterator[str]:
        """The text as it is made."""
        while not self.has_ended:
            if piece := self.advance():
                yield piece

    def prefix(self) -> Prefix:
        """Where this text can be taken up again."""
        return Prefix(self._unread, self._stepper.state())


def prefill(prefix: Prefix, network: NumpyNetwork) -> Prefix:
    """Read all ids of a prefix but the last, for many texts to go on from."""
    *ids, last = prefix.ids
    if not ids:
        return prefix
    stepper = stepper_at(prefix, network)
    for id_ in ids:
        stepper.read(id_)
    return Prefix([last], stepper.state())


def stepper_at(prefix: Prefix, network: NumpyNetwork) -> NumpyStepper:
    """A stepper with the state in which the ids of a prefix are read."""
    stepper = NumpyStepper(network, rows=1)
    if prefix.state_SL1H is not None:
        stepper.set_state(prefix.state_SL1H)
    return stepper
