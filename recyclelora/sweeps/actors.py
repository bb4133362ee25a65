"""Which trial gets an actor that has become free, and what trials without one wait for.

An actor that runs one trial after the other saves each the start of a process that imports torch and this package: on
two nodes with one busy core each, 24 trials of 0.3 s took 5 s with two actors, and with an actor for each 22 s a trial.
But Tune hands the actor of a trial that has ended to the trial that has waited longest, even if that one's own actor is
just starting on another node, and kills the starting one. Trials shorter than the start of an actor then all run on the
first node. Here a trial whose actor is starting keeps it, and the free one goes to the next trial that has none."""

from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from recyclelora.sweeps import placement
from recyclelora.sweeps.halt import halting
from recyclelora.sweeps.queue import Unpickled


class InTurn(Unpickled, FIFOScheduler):
    """Lets trials run in their order. `waiting` hears again and again what they wait for, in words, and "" once they
    wait no more."""

    def __init__(self, waiting: Callable[[str], None], **given: Any) -> None:
        super().__init__(**given)
        self.waiting, self.lack = waiting, ""
        self.pending: list[Trial] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        super().on_trial_add(tune_controller, trial)
        self.pending.append(trial)

    @halting
    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that has waited longest without an actor of its own."""
        self.pending = [trial for trial in self.pending if trial.status == Trial.PENDING]
        waiting = [trial for trial in self.pending if not _has_actor(tune_controller, trial)]
        if waiting or self.lack:
            out = [trial for trial in tune_controller.get_live_trials() if not trial.is_finished()]
            before, self.lack = self.lack, placement.lack(len(waiting), len(out) - len(waiting))
            if before or self.lack:
                self.waiting(self.lack)
        return waiting[0] if waiting else None


class StoppingEarly(InTurn, AsyncHyperBandScheduler):
    """ASHA, with trials in their order."""


def _has_actor(tune_controller: Any, trial: Trial) -> bool:
    """Whether the node of a trial is found, and its actor starts there."""
    actor = tune_controller._trial_to_actor.get(trial)
    return actor is not None and tune_controller._actor_manager.is_actor_started(actor)
