"""The configuration: one typed schema, and everything that reads, checks and documents it.

`schema` says what there is; `fields` understands its annotations; `yaml_reader` reads YAML without
its traps; `checks` finds all that is wrong; `reader` puts them together; `memory` does the
arithmetic of what a training needs; `reference` makes the JSON Schema and the documentation.
"""
