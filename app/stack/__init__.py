"""The local stack: embedded servers, and the processes that `lightyard up` runs."""
