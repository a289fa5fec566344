"""One text, character by character: the loop that everything else is made to be quick for."""

from collections.abc import Iterator

from charrnn.generation.jobs import Job, Opening, log_normalizers
from charrnn.generation.rules import Rules
from charrnn.generation.sampling import Sampler
from charrnn.inference.network import Stepper, stepper_for
from charrnn.network import Network


class Stream:
    """Makes the text of one job with a network of its own.

    The network has always read everything but the last id that was drawn, which it reads when
    the next character is wanted: so a stream that was set aside goes on as if it had not been.
    """

    def __init__(self, network: Network, rules: Rules, job: Job) -> None:
        """Prepare to go on from the job's opening."""
        self.job = job
        job.begin()
        self._stepper: Stepper = stepper_for(network, rows=1)
        if job.opening.state_SL1H is not None:
            self._stepper.set_state(job.opening.state_SL1H)
        self._unread = list(job.opening.ids)
        self._sampler = Sampler(
            rules.options, first_id=rules.first_id, vocabulary_size=network.vocabulary_size
        )

    @property
    def has_ended(self) -> bool:
        """Whether the text is complete."""
        return self.job.draft.ended_by is not None

    def advance(self) -> str:
        """Draw one id; return the text that is certain to stay from now on, perhaps none."""
        job, stepper = self.job, self._stepper
        for id_ in self._unread:
            stepper.read(id_)
        logits_V = stepper.predict()
        drawn = self._sampler.draw(logits_V, job.uniforms.next(), job.draft.allowed())
        self._unread = [drawn]
        if job.is_scored:
            job.note(float(logits_V[drawn] - log_normalizers(logits_V)))
        return job.take(drawn)

    def pieces(self) -> Iterator[str]:
        """The text as it is made."""
        while not self.has_ended:
            if piece := self.advance():
                yield piece

    def go_on_with(self, stepper: Stepper) -> None:
        """Let another stepper of the same network do the rest."""
        stepper.set_state(self._stepper.state())
        self._stepper = stepper

    def opening(self) -> Opening:
        """Where this text can be taken up again."""
        return Opening(self._unread, self._stepper.state())


def read_ahead(opening: Opening, network: Network) -> Opening:
    """The same opening with all ids but the last read, for many texts to go on from."""
    *ids, last = opening.ids
    if not ids:
        return opening
    stepper = stepper_for(network, rows=1)
    if opening.state_SL1H is not None:
        stepper.set_state(opening.state_SL1H)
    for id_ in ids:
        stepper.read(id_)
    return Opening([last], stepper.state())
