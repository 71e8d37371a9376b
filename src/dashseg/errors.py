"""The exception for errors that users can fix."""


class InputError(Exception):
    """The input is wrong. The message says what is wrong, where, and what would be right.

    The command line prints it as one line on stderr and exits with 2. A traceback of any other
    exception is a defect of dashseg.
    """
