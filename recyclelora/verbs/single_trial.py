"""One trial on the terminal: its config checked before it runs, its scores printed after."""

from collections.abc import Mapping

from rich.table import Table

from recyclelora.config import Config, flatten
from recyclelora.errors import InputError
from recyclelora.settings import Settings
from recyclelora.trials.build import check
from recyclelora.trials.paths import Paths
from recyclelora.trials.second_stage import check_start
from recyclelora.verbs.console import CONSOLE


def resolve_checked(settings: Settings, paths: Paths) -> Config:
    """The config of these settings. Raises InputError, with file and line where they are known, for one that cannot
    run."""
    config = settings.resolve()
    try:
        check(config, paths)
        check_start(flatten(config), paths.trials)
    except InputError as error:
        raise (settings.locate(error) if error.key else error) from None
    return config


def print_scores(metrics: Mapping[str, float]) -> None:
    table = Table("domain", "mIoU %", "chance %")
    for name, value in metrics.items():
        if name.startswith("miou/") and name != "miou/target_mean":
            domain = name.removeprefix("miou/")
            table.add_row(domain, f"{100 * value:.2f}", f"{100 * metrics[f'chance/{domain}']:.2f}")
    if "miou/target_mean" in metrics:
        table.add_row("mean of targets", f"{100 * metrics['miou/target_mean']:.2f}", "")
    CONSOLE.print(table)
