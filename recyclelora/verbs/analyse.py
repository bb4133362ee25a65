"""`analyse`: measure the adapters of finished runs that have no analysis yet."""

import argparse

from recyclelora.verbs.arguments import add_data_root, add_results, add_sweeps

HELP = "analyse the adapters of finished runs that have no analysis"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sweeps(parser)
    add_results(parser)
    add_data_root(parser)


def run(given: argparse.Namespace) -> int:
    from recyclelora.methods import DEFAULT, METHODS
    from recyclelora.sweeps.commit import commit_tags
    from recyclelora.trials.analysis import analyse_finished
    from recyclelora.trials.analysis_files import FILES, read_analysis, series_of
    from recyclelora.verbs.console import CONSOLE, open_existing, paths_of
    from recyclelora.verbs.sweep_names import names_of

    store, paths = open_existing(given), paths_of(given)
    records = {record.fingerprint: record for name in names_of(store, given.sweeps) for record in store.records(name)}
    missing, code = 0, "{commit} (modified)" if commit_tags()["dirty"] == "true" else "{commit}"
    code = code.format(**commit_tags())
    for record in records.values():
        lacks = not any(metric.startswith("adapter/") for metric in record.metrics)
        method = METHODS[str(record.config.get("adapter.method", DEFAULT))]
        if record.outcome != "finished" or not method.ANALYSED or not lacks:
            continue
        folder = paths.trial(record.fingerprint)
        if not (folder / "adapter.safetensors").exists():
            missing += 1
            continue
        analysis = read_analysis(folder) or analyse_finished(folder, paths.cache, paths.data_root)
        for name in FILES:
            if (folder / name).exists():
                store.log_artifact(record.tags["run_id"], name, folder / name)
        store.add_metrics(record.tags["run_id"], analysis.summary, series_of(analysis), {"analysis_commit": code})
        CONSOLE.print(f"{record.tags.get('cell', record.fingerprint)}, seed {record.tags.get('seed')}: analysed",
                      highlight=False)
    if missing:
        CONSOLE.print(f"{missing} runs have no trial folder in {paths.results}, so they were not analysed",
                      highlight=False)
    return 0
