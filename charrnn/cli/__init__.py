"""The door: one file a command. Parse, call one function, render."""
