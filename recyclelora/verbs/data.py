"""`data`: list the domains, check the files of some, or prepare the files that they are read from."""

import argparse
from pathlib import Path

from recyclelora.errors import InputError
from recyclelora.verbs.arguments import add_data_root, add_json, add_results, positive

HELP = "list the domains, check the files of some, or prepare them"
ACTIONS = ("check", "prepare")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="*", default=[], metavar="[check|prepare] DOMAIN",
                        help="`check DOMAIN ...` reads every file and reports what is wrong; `prepare DOMAIN ...` "
                             "makes the copies and labels that are read from then on; without words, all domains are "
                             "listed")
    parser.add_argument("--split", default=None, help="this split alone [all]")
    parser.add_argument("--images", type=positive, default=None, metavar="N",
                        help="check at most N images of each split [all]")
    parser.add_argument("--sheet", type=Path, default=None, metavar="PNG", help="draw some samples into this file")
    add_json(parser)
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.documents import nearest
    from recyclelora.verbs.console import paths_of
    from recyclelora.verbs.data_check import check_domains, list_domains

    words = list(given.what)
    action = words.pop(0) if words and words[0] in ACTIONS else "check"
    if not given.what:
        return list_domains(paths_of(given), as_json=given.json)
    named = given.what[0] in ACTIONS
    if not words or (len(words) > 1 and not named):
        near = "" if named else nearest(given.what[0], ACTIONS)
        raise InputError(f"data {' '.join(given.what)}: expected `data check DOMAIN` or `data prepare DOMAIN`{near}")
    domains = list(dict.fromkeys(words))
    if action == "prepare":
        from recyclelora.verbs.data_preparation import prepare_data

        return max(prepare_data(domain, given) for domain in domains)
    return check_domains(domains, given)
