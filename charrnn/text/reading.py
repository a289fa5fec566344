"""Any text with a vocabulary that exists already: what a trained model is scored on."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from charrnn.config.schema import DataConfig
from charrnn.text.code_points import CodePoints
from charrnn.text.corpus import Split
from charrnn.text.manifest import TextOptions
from charrnn.text.pieces import Mode
from charrnn.text.progress import Progress, silent
from charrnn.text.sources import open_sources
from charrnn.text.split_file import START_TYPE
from charrnn.text.survey import read_pieces
from charrnn.text.vocabulary import Vocabulary


def read_text(
    names: Sequence[str],
    data: DataConfig,
    vocabulary: Vocabulary,
    *,
    unknown: Callable[[CodePoints], None] | None = None,
    progress: Progress = silent,
) -> Split:
    """Read files, folders, `-` or URLs whole, as ids in memory.

    Args:
        names: What to read, as `charrnn prepare` takes it.
        data: How the model's own text was read: encoding, errors, normalisation.
        vocabulary: The model's; it also says whether the text is taken as lines.
        unknown: Told, piece by piece, which characters became `<unk>`.
        progress: Opens a display for the reading.

    Raises:
        UserError: A source cannot be read or decoded.
        RunFailedError: The network or the disk failed.
    """
    mode: Mode = "lines" if vocabulary.has_lines else "stream"
    options = TextOptions.from_config(replace(data, mode=mode, shuffle=False))
    ids, starts, length = [np.empty(0, vocabulary.id_type)], [np.zeros(1, START_TYPE)], 0
    with (
        open_sources(names, progress=progress) as request,
        progress("reading", request.size, unit="bytes") as advance,
    ):
        for piece in read_pieces(request, options, lambda _source, chunk: advance(len(chunk))):
            ids.append(vocabulary.encode_code_points(piece.points))
            if unknown is not None:
                unknown(piece.points[ids[-1] == vocabulary.unk_id])
            if piece.ends is not None:
                starts.append((piece.ends + length).astype(START_TYPE))
            length += len(piece.points)
    return Split(np.concatenate(ids), np.concatenate(starts) if vocabulary.has_lines else None)
