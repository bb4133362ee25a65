"""The checks before the first trial. A check is one file here: what it measures on a node, and how it judges what the
driver and the node measured. To add one is to add its file and its entry to CHECKS."""

from collections.abc import Iterator

from recyclelora.errors import reason_of
from recyclelora.preflight import (
    advisories,
    clocks,
    code_version,
    disk_space,
    file_modes,
    memory_room,
    open_ports,
    package_versions,
    ray_token,
    shared_folder,
    store_access,
    trial_identity,
)
from recyclelora.preflight.finding import Answers, Check, Finding, Question

CHECKS: tuple[Check, ...] = tuple(check.CHECK for check in (
    code_version, package_versions, trial_identity, shared_folder, store_access, disk_space, memory_room, clocks,
    advisories, ray_token, open_ports, file_modes))
FAILED = "failed"  # the key of an answer that only says why there is none


def measure(asked: Question) -> Answers:
    """The answers of this machine. Never raises: a check that cannot be made is a finding too."""
    answers = {}
    for check in CHECKS:
        try:
            answers[check.name] = check.measure(asked)
        except Exception as error:
            answers[check.name] = {FAILED: reason_of(error)}
    return answers


def judge(asked: Question, here: Answers, there: Answers, node: str) -> Iterator[Finding]:
    """What is wrong on a node: `here` are the driver's answers, `there` the node's."""
    for check in CHECKS:
        answers = here[check.name], there[check.name]
        failed = [answer[FAILED] for answer in answers if isinstance(answer, dict) and FAILED in answer]
        if failed:
            yield Finding(check.name, node, f"cannot be checked ({failed[-1]})")
            continue
        for text, stops in check.judge(asked, *answers):
            yield Finding(check.name, node, text, stops)
