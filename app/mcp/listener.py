"""Whoever waits for a call's answer: it hears how far the call is, and may go before the end."""


class Listener:
    """Nobody in particular, who hears nothing and stays."""

    def hear(self, done: float, total: float, message: str) -> None:
        """How far the call is; whoever has gone ends it here, by an exception of its own."""

    def assert_there(self) -> None:
        """The same, with nothing to tell."""


NOBODY = Listener()
