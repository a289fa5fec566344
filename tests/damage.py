"""A whole file, damaged in every way of a kind."""

from collections.abc import Iterator


def cut_off_everywhere(content: bytes) -> Iterator[bytes]:
    """The file at every length that is less than its own."""
    return (content[:length] for length in range(len(content)))


def with_each_byte_damaged(content: bytes) -> Iterator[bytes]:
    """The file with one bit wrong, in each of its bytes another one."""
    for place, byte in enumerate(content):
        yield content[:place] + bytes([byte ^ 1 << place % 8]) + content[place + 1 :]


def with_each_bit_flipped(content: bytes) -> Iterator[bytes]:
    """The file with one bit wrong, for each of its bits."""
    for place, byte in enumerate(content):
        for bit in range(8):
            yield content[:place] + bytes([byte ^ 1 << bit]) + content[place + 1 :]
