"""What a command line asks `generate` for, and what of it cannot be had together."""

from dataclasses import dataclass
from typing import Any

from charrnn.errors import UserError
from charrnn.messages import join_words

ENGINES = ("auto", "numpy", "torch")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """The options of one call, seeds still unread."""

    run: str | None
    seed: str | None
    seed_file: str | None
    seeds: str | None
    escapes: bool
    wishes: dict[str, Any]
    rng_seed: int | None
    samples: int
    echo: bool
    null: bool
    json: bool
    logprobs: bool
    novelty: int | None
    load_state: str | None
    save_state: str | None
    batch_size: int | None
    engine: str

    @property
    def is_single(self) -> bool:
        """Whether there is one text to make, which can be shown while it is made."""
        return self.seeds is None and self.samples == 1

    def check(self) -> None:
        """Look for what can be wrong without knowing the model.

        Raises:
            UserError: Options contradict each other or are out of range.
        """
        self._check_numbers()
        self._check_seeds()
        self._check_state()
        if self.engine not in ENGINES:
            raise UserError(f"--engine {self.engine} is not known; it is {join_words(ENGINES)}")
        if self.logprobs and not self.json:
            raise UserError("--logprobs goes with --json", hint="text alone has no room for them")
        if self.null and self.json:
            raise UserError("--null and --json exclude each other: JSON is one object a line")

    def _check_numbers(self) -> None:
        for name, number in (
            ("--samples", self.samples),
            ("--batch-size", self.batch_size),
            ("--novelty", self.novelty),
        ):
            if number is not None and number < 1:
                raise UserError(f"{name} is {number}; it must be 1 or more")

    def _check_seeds(self) -> None:
        given = {"--seed": self.seed, "--seed-file": self.seed_file, "--seeds": self.seeds}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise UserError(f"{' and '.join(names)} exclude each other")

    def _check_state(self) -> None:
        for name, path in (("--load-state", self.load_state), ("--save-state", self.save_state)):
            if path is not None and not self.is_single:
                raise UserError(f"{name} is for one text", hint="leave --seeds and --samples out")
        if self.save_state is not None and self.wishes["match"] is not None:
            raise UserError("--save-state and --match exclude each other: a match is complete")
