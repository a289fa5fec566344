"""The loss of a text under a network, exact, for every network that speaks the protocol."""
