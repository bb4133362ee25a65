"""Sweeps as jobs of a cluster's job server, which runs their drivers on its head. Who submits a sweep may leave; the
same sweep is followed again later, and never runs twice at a time."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from recyclelora.errors import InputError, Outage, reason_of
from recyclelora.preflight.ray_token import auth_mode, token

SWEEP = "sweep"  # the key of a job's metadata
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
# Seconds, by Ray's own choice 3: until a driver that is told to stop is killed. It has its runs to close.
_GRACE = {"RAY_JOB_STOP_WAIT_TIME_S": "60"}


class Submission(NamedTuple):
    """A sweep on the job server. `status`: PENDING, RUNNING or one of ENDED; `began`: seconds since 1970."""

    id: str
    sweep: str
    status: str
    began: float
    message: str

    @property
    def running(self) -> bool:
        return self.status not in ENDED


class Server(NamedTuple):
    """A job server, and Ray's client of it."""

    address: str
    client: Any


def connect(address: str) -> Server:
    """The job server at `address`, asked with the token that lies where Ray looks for one. Raises InputError where none
    answers there, and where it refuses the token."""
    try:
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise InputError(f"the client of a job server needs ray[default] ({error.name} is not installed); pip install "
                         "'ray[default]'") from None
    headers = {"Authorization": f"Bearer {token()}"} if auth_mode() == "token" else {}
    with _told(address):
        return Server(address, JobSubmissionClient(address, headers=headers))


def submissions(server: Server, sweep: str | None = None) -> list[Submission]:
    """The sweeps on the server, or the submissions of one, the oldest first."""
    with _told(server.address):
        found = [Submission(job.submission_id, job.metadata[SWEEP], str(job.status), (job.start_time or 0) / 1000,
                            " ".join((job.message or "").split()))
                 for job in server.client.list_jobs() if job.submission_id and SWEEP in (job.metadata or {})]
    return sorted((each for each in found if sweep in (None, each.sweep)), key=lambda each: each.began)


def submit(server: Server, sweep: str, digest: str, entrypoint: str) -> tuple[str, bool]:
    """Submit a sweep; returns its id and whether it is new. The id is its name and the digest of its trials, with a
    number from the second time on, since Ray takes no id twice. One that still runs is not submitted again."""
    known = {each.id: each for each in submissions(server)}
    for number in itertools.count(1):
        name = f"{sweep}-{digest}" + (f"-{number}" if number > 1 else "")
        if name not in known:
            break
        if known[name].running:
            return name, False
    with _told(server.address):
        server.client.submit_job(entrypoint=entrypoint, submission_id=name, metadata={SWEEP: sweep},
                                 runtime_env={"env_vars": _GRACE})
    return name, True


def follow(server: Server, name: str) -> Iterator[str]:
    """What the job prints, from its beginning, as it comes, until it has ended."""
    stream = server.client.tail_job_logs(name)
    with asyncio.Runner() as runner, _told(server.address):
        while (text := runner.run(_next(stream))) is not None:
            yield text


async def _next(stream: Any) -> str | None:
    return await anext(stream, None)  # type: ignore[no-any-return]


def status(server: Server, name: str) -> Submission:
    return next(each for each in submissions(server) if each.id == name)


def stop(server: Server, name: str) -> None:
    """Tell the driver to stop (SIGTERM), as Ctrl-C does where it runs in a terminal; it is killed a minute later."""
    with _told(server.address):
        server.client.stop_job(name)


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """Whatever the server or the way to it says, in one line."""
    try:
        yield
    except (InputError, Outage):
        raise
    except Exception as error:
        text = reason_of(error)
        if type(error).__name__ == "AuthenticationError" or "status code 401" in text or "status code 403" in text:
            shown = "refused the token" if auth_mode() == "token" else "asks for a token, and none was found"
            raise InputError(f"ray.jobs: the job server at {address} {shown}; put the cluster's into "
                             "~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH") from None
        if isinstance(error, ConnectionError) and "Failed to connect to Ray" in text:
            raise InputError(f"ray.jobs: no job server answers at {address}; start the cluster's head with "
                             "ray[default] installed, or open the way to it: ssh -L 8265:127.0.0.1:8265 HEAD") from None
        raise Outage(f"the job server at {address} failed ({text})") from None
