"""`evaluate`: a trained model scored on any data set, by the protocol it was trained with. Its trial is not changed."""

import argparse

from recyclelora.verbs.arguments import add_data_root, add_json, add_model, add_results, positive

HELP = "score a trained model on any domain"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("domains", nargs="+", metavar="DOMAIN", help="see `recyclelora data`")
    parser.add_argument("--split", default=None,
                        help="split of all domains [test, or val where there is no test]")
    parser.add_argument("--images", type=positive, default=None, metavar="N",
                        help="at most N images of each domain [all]")
    parser.add_argument("--classes", action="store_true", help="print the IoU of each class too")
    add_json(parser)
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.verbs.domain_scores import evaluate

    return evaluate(given)
