"""What the server answers when it says no: toncenter's codes and words."""


class ApiError(Exception):
    """One refusal: the HTTP status, which is in the body too, and the words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> ApiError:
    return ApiError(422, f"Validation error: {message}")


def liteserver(message: str) -> ApiError:
    return ApiError(500, f"LITE_SERVER_UNKNOWN: {message}")
