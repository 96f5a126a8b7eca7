"""`make check`: secrets in tracked files, by detect-secrets and by the forms that this hub's own take. Run as
`python -m tests.audit.secrets`; `--accept` writes what is found now into known.txt, for what is no secret or a test's own.

Tests and local chains are full of made-up keys: there only what can't be mistaken is looked for.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from detect_secrets.core.scan import get_plugins, scan_file
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).parent.parent.parent
KNOWN = Path(__file__).parent / "known.txt"
SKIPPED = re.compile(r"\.(lock|png|jpg|exr|blend|glb|zip|svg|ico|boc)$|package-lock\.json$|^tests/audit/known\.txt$")
MADE_UP = re.compile(r"^(tests|devnet|bench|monitoring)/")
CERTAIN = ("AWSKeyDetector", "AzureStorageKeyDetector", "DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector",
           "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector",
           "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector",
           "TwilioKeyDetector")  # fmt: skip
LIKELY = ("BasicAuthDetector", "KeywordDetector")
ENTROPY = ({"name": "Base64HighEntropyString", "limit": 4.5}, {"name": "HexHighEntropyString", "limit": 3.0})
OWN = {
    "API key of a hub": re.compile(r"\b(?:ly|rc)_[A-Za-z0-9_-]{40,}"),
    "Stripe's signing secret": re.compile(r"\bwhsec_[A-Za-z0-9]{32}\b"),
    "key pair of a wallet": re.compile(r"\[\s*(?:\d{1,3}\s*,\s*){63}\d{1,3}\s*\]"),
    "32 bytes in hex": re.compile(r"\b0x[0-9a-fA-F]{64}\b"),
}
Finding = tuple[str, str, str]
"""(path, what it looks like, SHA-1 of it); the line is told apart, since it moves."""


def main(arguments: list[str]) -> int:
    """1 when something is found that known.txt does not have."""
    found = dict(scan(tracked()))
    if "--accept" in arguments:
        KNOWN.write_text("".join(f"{' | '.join(finding)}\n" for finding in sorted(found)))
        return 0
    known = {tuple(line.split(" | ")) for line in KNOWN.read_text().splitlines()}
    news = {finding: line for finding, line in found.items() if finding not in known}
    for (path, kind, _), line in sorted(news.items()):
        print(f"{path}:{line}: looks like a secret ({kind})")
    if news:
        print("A real one: take it out, and end it. None, or a test's own: python -m tests.audit.secrets --accept")
    return 1 if news else 0


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for path in listed.split("\0") if path and (ROOT / path).is_file() and not SKIPPED.search(path)]


def scan(paths: list[str]) -> Iterator[tuple[Finding, int]]:
    """Everything that looks like a secret, and its line."""
    certain = [{"name": name} for name in CERTAIN]
    likely = [*certain, *({"name": name} for name in LIKELY), *ENTROPY]
    for plugins, is_made_up in ((certain, True), (likely, False)):
        with transient_settings({"plugins_used": plugins}):
            forms = [form for plugin in get_plugins() if is_made_up for form in plugin.denylist]
            for path in paths:
                if bool(MADE_UP.match(path)) == is_made_up:
                    yield from _read(path, forms)


def _read(path: str, forms: list[re.Pattern[str]]) -> Iterator[tuple[Finding, int]]:
    """`forms`: where there are some, only a file with one of them is read line by line."""
    text = (ROOT / path).read_text(errors="replace")
    if not forms or any(form.search(text) for form in forms):
        for secret in scan_file(str(ROOT / path)):
            yield (path, secret.type, secret.secret_hash), secret.line_number
    for kind, form in OWN.items():
        for match in form.finditer(text):
            digest = hashlib.sha1(match[0].encode(), usedforsecurity=False).hexdigest()
            yield (path, kind, digest), text.count("\n", 0, match.start()) + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
