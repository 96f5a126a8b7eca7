"""A real Prometheus, of Debian's package, with the project's own configuration and rules, over servers of a test."""

import math
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from app.stack.ports import free_port
from tests.factories import rabbitmq as brokers
from tests.factories.missing import go_without
from tests.factories.rabbitmq import RabbitMQ
from tests.factories.stacks import wait_until

FOLDER = Path(__file__).parent.parent.parent / "monitoring" / "prometheus"
SCRAPE_SECONDS = 2


def configuration(addresses: Mapping[str, Sequence[str]], token_file: Path) -> dict[str, Any]:
    """monitoring/prometheus/prometheus.yml with addresses by the jobs' names, and shorter intervals; jobs that have none are left
    out."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    found["global"] |= dict.fromkeys(("scrape_interval", "evaluation_interval", "scrape_timeout"), f"{SCRAPE_SECONDS}s")
    found["rule_files"] = [str(FOLDER / name) for name in found["rule_files"]]
    found.pop("alerting", None)
    jobs = {job["job_name"]: job for job in found["scrape_configs"]}
    assert addresses.keys() <= jobs.keys(), f"prometheus.yml has {sorted(jobs)}"
    for name, targets in addresses.items():
        job = jobs[name]
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": list(targets)}]
        for interval in ("scrape_interval", "scrape_timeout"):
            job.pop(interval, None)
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(token_file)
    found["scrape_configs"] = [jobs[name] for name in addresses]
    return found


@contextmanager
def exporter(program: str, *options: str) -> Iterator[str]:
    """An exporter of Debian's packages; the address that it listens at."""
    found, port = shutil.which(program), free_port()
    if found is None:
        go_without(f"{program} is not here (Debian's package of that name), so its figures are missing")
    address = f"127.0.0.1:{port}"
    command = [found, f"--web.listen-address={address}", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """A RabbitMQ with its own exporter; the address that it listens at."""
    if reason := brokers.missing():
        go_without(reason)
    folder.mkdir()
    port = free_port()
    server = RabbitMQ(folder, prometheus__tcp__ip="127.0.0.1", prometheus__tcp__port=str(port))
    (folder / "plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n")
    try:
        server.start()
        yield f"127.0.0.1:{port}"
    finally:
        server.stop()


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    """An Alertmanager that tells nobody; the address that it listens at."""
    folder.mkdir()
    (folder / "alertmanager.yml").write_text(yaml.safe_dump({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}))
    options = (f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder}", "--cluster.listen-address=")
    with exporter("prometheus-alertmanager", *options) as address:
        yield address


class Prometheus:
    """Its HTTP API, for queries as Grafana sends them."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)

    def _get(self, path: str, **params: Any) -> Any:
        answer = self._http.get(f"/api/v1/{path}", params=params)
        body = answer.json()
        assert body["status"] == "success", f"{params}: {body}"
        return body["data"]

    def now(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of each series now; series that are not a number are left out."""
        found = ((row["metric"], float(row["value"][1])) for row in self._get("query", query=expression)["result"])
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    def over_time(self, expression: str, range_seconds: float, step: float) -> list[dict[str, str]]:
        """Labels of each series that was a number at any step of the last `range_seconds`."""
        end = math.floor(time.time() / step) * step
        found = self._get("query_range", query=expression, start=end - range_seconds, end=end, step=step)["result"]
        return [row["metric"] for row in found if any(not math.isnan(float(value)) for _, value in row["values"])]

    def label_values(self, label: str, series: str, range_seconds: float) -> list[str]:
        """As Grafana lists a variable's values."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": series, "start": time.time() - range_seconds})
        return found

    def is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(folder: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """A Prometheus in `folder` that ends with the block."""
    program, port = shutil.which("prometheus"), free_port()
    if program is None:
        go_without("no Prometheus is here (Debian's package prometheus), so nothing was scraped")
    for job in config["scrape_configs"]:
        if job["job_name"] == "prometheus":
            job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]  # itself
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        found = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(lambda: process.poll() is not None or found.is_ready(), "Prometheus is ready", 30)
        assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
