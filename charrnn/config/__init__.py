"""The configuration: one typed schema, and everything that reads, checks and writes it.

`schema` says what there is; `yaml_reader` reads YAML without its traps; `load` puts file and
command line together and finds all that is wrong; `memory` does the arithmetic of what a training
needs.
"""
