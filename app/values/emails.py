"""E-mail addresses, in the one spelling that an account is found by."""

import unicodedata

from email_validator import EmailNotValidError, validate_email

from app.errors import InvalidInput

EMAIL_LIMIT_CHARS = 254


def normalise(text: str) -> str:
    """The address in lower case and composed characters, its domain decoded; InvalidInput for what is no address.

    Mail servers may tell capitals apart in the local part; nobody who signs in does. Whether mail arrives is not asked.
    """
    if len(text) > EMAIL_LIMIT_CHARS:
        raise InvalidInput(f"email must be an address of at most {EMAIL_LIMIT_CHARS} characters")
    try:
        found = validate_email(text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise InvalidInput(f"email is not an address such as name@example.com: {error}") from None
    return unicodedata.normalize("NFC", found.normalized.lower())
