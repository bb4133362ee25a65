"""The one exception that means "the user's input is wrong"; the command line turns it into one line and exit code 2."""


class InputError(ValueError):
    """Bad input, said in one line: what is wrong, where (file, line, key), and what would be right.

    `key` is the dotted config key at fault where there is one, so that whoever knows the files can say the line."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.key = key


class Absent(InputError):
    """Sound input that this machine cannot serve: a data set or weights that are not here. A plan goes on without."""
