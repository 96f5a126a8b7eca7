"""`make check`: known vulnerabilities of what is locked, by pip-audit. Run as `python -m tests.audit.advisories`.

pip-audit ends well where its database answers nothing at all. So a canary goes first, a package with famous holes: a database
that does not name them is not there, which is said loudly, and nothing is claimed.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
LOCKS = ("requirements.lock", "requirements-hub.lock", "requirements-node.lock", "requirements-liteserver.lock",
         "requirements-tracing.lock", "requirements-mcp.lock", "devnet/evm/requirements.lock",
         "devnet/ton/requirements.lock")  # fmt: skip
CANARY = f"jinja2==2.4.1 --hash=sha256:{'0' * 64}\n"
SERVICES = ("pypi", "osv")
TIMEOUT_SECONDS, LONGEST_SECONDS = 5, 240
ACCEPTED: dict[str, str] = {}
"""Advisories that do not concern this hub, by their id, each with its reason."""


def main(services: tuple[str, ...] = SERVICES) -> int:
    """0 where nothing is known, or nobody could be asked; 1 where something is."""
    service = next((name for name in services if answers(name)), None)
    if service is None:
        print(f"\n!!! NOT AUDITED: no advisory database ({', '.join(services)}) answers here. Nothing is known about\n"
              f"!!! {', '.join(LOCKS)}.\n!!! Run `make check` where the internet can be reached.\n", file=sys.stderr)  # fmt: skip
        return 0
    found = audit(service, [ROOT / lock for lock in LOCKS])
    unasked = [item["name"] for item in found if "skip_reason" in item]
    if unasked:
        print(f"!!! NOT AUDITED: {service} knows nothing of {', '.join(unasked)}", file=sys.stderr)
    known = [(item, hole) for item in found for hole in item.get("vulns", [])]
    holes = [(item, hole) for item, hole in known if not {hole["id"], *hole["aliases"]} & set(ACCEPTED)]
    for item, hole in holes:
        print(f"{item['name']} {item['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no release yet'}")
    print(f"{len(found) - len(unasked)} locked packages audited by {service}: {len(holes)} known vulnerabilities")
    return 1 if holes else 0


def answers(service: str) -> bool:
    """Whether the database is there and knows what everybody knows."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(CANARY)
        return any(item.get("vulns") for item in audit(service, [canary]))


def audit(service: str, files: list[Path]) -> list[dict[str, Any]]:
    """What a database says of each pinned package; empty where it could not be asked."""
    named = [part for file in files for part in ("-r", str(file))]
    options = ["--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off", "--aliases", "on"]
    command = [sys.executable, "-m", "pip_audit", "-s", service, "--timeout", str(TIMEOUT_SECONDS), *options, *named]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS)
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return []
    return found


if __name__ == "__main__":
    sys.exit(main())
