"""A training that was stopped after its first step, to be gone on with again and again."""

from pathlib import Path

from charrnn.config.schema import Config, DataConfig, ModelConfig, TrainConfig
from charrnn.run.checkpoint_files import STATE_FILE
from charrnn.run.paths import LAST_FOLDER
from charrnn.run.writer import RunWriter
from charrnn.text.corpus import Corpus
from charrnn.training.model import new_model
from charrnn.training.trainer import Trainer
from tests.models import begin_run

CONFIG = Config(
    data=DataConfig(mode="lines"),
    model=ModelConfig(hidden_size=2, embedding_size=2),
    train=TrainConfig(batch_size=2, steps=3, save_every_steps=1, precision="float32", threads=1),
)


class StoppedTraining:
    """The run directory of such a training, put back after each time."""

    def __init__(self, run: Path, corpus: Corpus) -> None:
        """Train one step of a tiny network on this corpus."""
        self.run = run
        self.corpus = corpus
        self.state = run / LAST_FOLDER / STATE_FILE
        with begin_run(run, CONFIG, corpus.vocabulary) as writer:
            trainer = self._trainer(writer)
            for _event in trainer.run():
                if trainer.progress.step == 1:
                    trainer.request_stop()
        self.whole = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def go_on(self) -> None:
        """Resume, take no step, evaluate and save as a training does that is stopped at once."""
        with RunWriter.reopen(self.run) as writer:
            trainer = self._trainer(writer)
            trainer.resume()
            trainer.request_stop()
            list(trainer.run())

    def put_back(self) -> None:
        """Make the directory what it was."""
        for path in self.run.rglob("*"):
            if path.is_file() and path not in self.whole:
                path.unlink()
        for path, content in self.whole.items():
            path.write_bytes(content)

    def _trainer(self, writer: RunWriter) -> Trainer:
        return Trainer(CONFIG, self.corpus, new_model(CONFIG, self.corpus), writer)
