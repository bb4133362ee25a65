"""The clocks of the nodes agree with the driver's. Runs are ordered by their times, and files known by theirs."""

import time

from recyclelora.preflight.finding import Answer, Check, Faults, Question

NAME = "clock"
TOLD, TOO_FAR = 2.0, 60.0  # seconds


def measure(asked: Question) -> Answer:
    """The earliest and the latest that the clock may have shown when the other one was read; here it is read."""
    now = time.time()
    return [now, now]


def judge(asked: Question, here: Answer, there: Answer) -> Faults:
    """`here` is known as an interval: from when the question was sent until the answer came."""
    off = max(0.0, there[0] - here[1], here[0] - there[1])
    if off > TOLD:
        direction = "ahead of" if there[0] > here[1] else "behind"
        yield (f"is at least {off:,.0f} s {direction} the driver's; run NTP or chrony on both"), off > TOO_FAR


CHECK = Check(NAME, measure, judge)
