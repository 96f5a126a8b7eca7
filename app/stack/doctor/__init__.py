"""What a host lacks to run the marketplace, and how to mend it.

Every probe runs beside the others, with an end of its own: what hangs is a finding like any other.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from app.config import Settings
from app.observability import scrubbing
from app.stack.doctor import chains, machine, node, parts, servers
from app.stack.doctor.finding import FAIL, OK, WARN, Finding, reason_of
from app.stack.doctor.place import Place, look_around

__all__ = ["FAIL", "OK", "WARN", "Finding", "examine", "together"]

PROBE_SECONDS, NODE_SECONDS = 10.0, 60.0
Probe = Callable[[], Iterable[Finding]]


def examine(settings: Settings) -> list[Finding]:
    """Everything looked at, good or bad, always in the same order; longer than NODE_SECONDS it never takes. No finding tells a
    secret: what a server answers brings its address, and that may bring a key."""
    scrubbing.know(settings)
    place = look_around(settings)
    probes: dict[str, Probe] = {name: partial(look, place) for name, look in _PROBES.items()}
    return together(probes, {"node": NODE_SECONDS})


def together(probes: Mapping[str, Probe], seconds: Mapping[str, float], most_seconds: float = PROBE_SECONDS) -> list[Finding]:
    """Run all probes at once, in threads that end with the process; `seconds` gives some of them more time than the others."""
    done: queue.SimpleQueue[tuple[str, list[Finding]]] = queue.SimpleQueue()
    for name, probe in probes.items():
        threading.Thread(target=lambda name=name, probe=probe: done.put((name, _looked(name, probe))), daemon=True).start()
    began, found = time.monotonic(), dict[str, list[Finding]]()
    ends = {name: began + seconds.get(name, most_seconds) for name in probes}
    while waiting := [ends[name] for name in probes if name not in found]:
        try:
            name, findings = done.get(timeout=max(0.0, min(waiting) - time.monotonic()))
            found.setdefault(name, findings)
        except queue.Empty:
            for name in [name for name in probes if name not in found and ends[name] <= time.monotonic()]:
                took, advice = f"no answer in {ends[name] - began:.0f} s", "look at that part's log: one of them hangs"
                found[name] = [Finding(FAIL, name, took, advice)]
    return [finding for name in probes for finding in found[name]]


def _looked(name: str, probe: Probe) -> list[Finding]:
    try:
        return [replace(finding, text=scrubbing.scrub(finding.text)) for finding in probe()]
    except Exception as error:  # a probe meets whatever a broken machine has; that is what it is for
        text = f"could not be looked at: {type(error).__name__}: {reason_of(error)}"
        return [Finding(FAIL, name, scrubbing.scrub(text), "mend what this says, then run `lightyard doctor` again")]


_PROBES: dict[str, Callable[[Place], Iterable[Finding]]] = {
    "settings": parts.settings,
    "python": machine.python,
    "packages": machine.packages,
    "user": machine.server_user,
    "home": machine.home,
    "files": machine.open_files,
    "ports": machine.ports,
    "leftovers": machine.leftovers,
    "postgres": servers.postgres,
    "valkey": servers.valkey,
    "broker": servers.broker,
    "storage": parts.storage,
    "solana": chains.solana,
    "ton": chains.ton,
    "evm": chains.evm,
    "signer": parts.signer,
    "node": node.examine,
}
