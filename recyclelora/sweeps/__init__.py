"""Ray and Optuna, and the only room that knows them."""

import os

# Ray reads these when it is imported. Its own loggers, reporters and signal handling would write into the results
# folder, talk over our display, and swallow the first Ctrl-C.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Trials that wait for a node. Our queue says how many there may be (`placement.room`); Tune would take one at a time.
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "1000000")
