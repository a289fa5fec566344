"""The colours of numbers and of series, the same in a terminal, a plot and a page.

They can be told apart by readers with any of the common kinds of colour blindness (Okabe & Ito
2008), and letters in black can be read on them.
"""

import math

Rgb = tuple[int, int, int]

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#a08c00")
POSITIVE: Rgb = (240, 120, 50)
NEGATIVE: Rgb = (80, 155, 235)
WHITE: Rgb = (255, 255, 255)


def colour_of(value: float | None, most: float | None) -> Rgb | None:
    """The background of a character; None where nothing is known of it.

    From white at 0 to orange at `most`; without `most`, from blue at -1 through white to orange.
    """
    if value is None or not math.isfinite(value):
        return None
    share = max(-1.0, min(1.0, value / most if most else value))
    full = POSITIVE if share >= 0 else NEGATIVE
    red, green, blue = (
        round(light + (dark - light) * abs(share)) for light, dark in zip(WHITE, full, strict=True)
    )
    return red, green, blue
