"""No package is older than the version that mends a published weakness of it."""

import re

from recyclelora.preflight.finding import Answer, Check, Faults, Question
from recyclelora.preflight.package_versions import version_of

# package -> the first version without it, which advisory, and what it allows
ADVISORIES = {
    "torch": ("2.10", "CVE-2025-32434, CVE-2026-24747", "a weights file that is loaded can run code"),
    "ray": ("2.54", "GHSA-gx77-xgc2-4888, CVE-2026-27482",
            "jobs can be deleted from a web page, and no token can be asked for before 2.52"),
    "mlflow": ("3.5", "CVE-2023-1177, CVE-2023-3765, CVE-2023-6909, CVE-2024-1483, CVE-2024-2928, CVE-2024-3848",
               "a server can be read from through paths, and web pages of others can call it"),
}


def measure(asked: Question) -> Answer:
    return {package: version_of(package) for package in ADVISORIES}


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    for package, (mended, names, what) in ADVISORIES.items():
        found = there[package]
        if found and numbers(found) < numbers(mended):
            yield f"{package} {found}: {what} ({names}); install {mended} or newer", True


def numbers(text: str) -> list[int]:
    """The numbers of a version, to be compared: 2.10 comes after 2.9, and 2.10.0rc1 counts as 2.10."""
    return [int(part) for part in re.findall(r"\d+", text)[:2]]


CHECK = Check("advisories", measure, judge)
