"""Text that is guaranteed to match a regular expression in full (`--match`).

A pattern passes through these rooms: `syntax` reads it into a tree; `alphabet` sorts the
vocabulary's characters into classes that the pattern cannot tell apart; `graph` unrolls the tree
and `automaton` makes it a nondeterministic automaton over those classes; `subsets` follows that
deterministically; `countdown` knows what is possible before the least length; `walk` puts all this
together and says which ids may come next.
"""

from charrnn.generation.pattern.subsets import State
from charrnn.generation.pattern.walk import Pattern

__all__ = ["Pattern", "State"]
