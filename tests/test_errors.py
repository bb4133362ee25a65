"""What an exception says, in one line."""

import sqlite3

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from recyclelora.errors import InputError, Outage, reason_of


def test_a_store_says_what_its_database_said() -> None:
    """MLflow wraps SQLAlchemy's error, which wraps the driver's and adds the statement."""
    with pytest.raises(MlflowException) as caught, create_engine("sqlite://").connect() as connection:
        try:
            connection.execute(text("SELECT * FROM absent"))
        except SQLAlchemyError as error:
            raise MlflowException(message=error) from error
    assert reason_of(caught.value) == "OperationalError: no such table: absent"
    with pytest.raises(SQLAlchemyError) as plain, create_engine("sqlite://").connect() as connection:
        connection.execute(text("SELECT * FROM absent"))
    assert reason_of(plain.value) == "OperationalError: no such table: absent"


@pytest.mark.parametrize(("error", "said"), [
    (ValueError("\n\n one \n two"), "ValueError: one"), (TimeoutError(), "TimeoutError"),
    (sqlite3.OperationalError("database or disk is full"), "OperationalError: database or disk is full"),
    (RuntimeError("x" * 1000), "RuntimeError: " + "x" * 300)])
def test_kind_and_first_line(error: Exception, said: str) -> None:
    assert reason_of(error) == said


@pytest.mark.parametrize("kind", [InputError, Outage])
def test_what_is_told_is_one_line(kind: type[Exception]) -> None:
    assert str(kind("two\n  lines\t of  it")) == "two lines of it"
