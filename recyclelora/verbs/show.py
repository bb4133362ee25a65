"""`show`: a config with the origin of each value, the trials of a space, or the preview of one of its cells."""

import argparse
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.verbs.arguments import add_base, add_cells, add_data_root, add_json, add_overrides, add_results

HELP = "print a resolved config with the origin of each value, the trials of a space, or the preview of a cell"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a config or a space")
    add_overrides(parser, "the config")
    add_base(parser)
    add_cells(parser, help="the preview of one cell")
    add_json(parser)
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.documents import read
    from recyclelora.settings import from_document, parse_overrides
    from recyclelora.spaces.space_file import read_space
    from recyclelora.trials.stated import is_imported
    from recyclelora.verbs.console import paths_of
    from recyclelora.verbs.preview import describe
    from recyclelora.verbs.preview_tables import print_config, print_trial
    from recyclelora.verbs.space_preview import show_space

    document = read(given.file)
    overrides = parse_overrides(given.overrides)
    if "parameters" in document.data or "method" in document.data:
        return show_space(read_space(given.file, overrides, given.at), given)
    if given.at or given.cell:
        raise InputError(f"{given.file}: a config has neither bases nor cells; leave out --at and --cell")
    settings = from_document(document).override(overrides, "command line")
    if is_imported(given.file.parent / "head.safetensors"):
        return print_config(settings.resolve(), settings, as_json=given.json, stated=frozenset(settings.values))
    return print_trial(describe(settings, paths_of(given)), as_json=given.json)
